import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import type { RouteConfig, z } from '@hono/zod-openapi';
import { Problem, UserError } from '../schemas/problem.ts';
// Types only: the command line loads this file, and the routes bring every schema with them.
import type * as routes from './control/routes.ts';
import type { FeedbackAnswer } from './serving/feedback.ts';

/** Nobody answers at the address: what the command line turns into exit code 3. */
export class ApiUnreachable extends UserError {
  constructor(url: string, because: string) {
    super(
      'ApiUnreachable',
      `The Gauntlet API does not answer at ${url} (${because}). Start it with: npx gauntlet up - or name another with --api or GAUNTLET_API.`,
    );
  }
}

/** An answer that was not a success, with the problem that the API gave. */
export class ApiProblem extends UserError {
  readonly status: number;
  readonly problem: Problem;
  constructor(problem: Problem) {
    const text = problem.detail ?? problem.title;
    super(problem.type, problem.next ? `${text} ${problem.next}` : text, problem.issues);
    this.status = problem.status;
    this.problem = problem;
  }
}

type JsonOf<T> = T extends { content: { 'application/json': { schema: infer S } } }
  ? S extends z.ZodType
    ? z.output<S>
    : never
  : never;
/** What a route answers when it succeeds. */
export type AnswerOf<R extends RouteConfig> = JsonOf<R['responses'][Extract<keyof R['responses'], 200 | 201 | 202>]>;
type PartOf<R extends RouteConfig, K extends 'params' | 'query'> = R extends { request: { [P in K]: infer S } }
  ? S extends z.ZodType
    ? z.input<S>
    : never
  : undefined;
type BodyOf<R extends RouteConfig> = R extends {
  request: { body: { content: { 'application/json': { schema: infer S } } } };
}
  ? S extends z.ZodType
    ? z.input<S>
    : never
  : undefined;

interface Sent<R extends RouteConfig> {
  params?: PartOf<R, 'params'>;
  query?: PartOf<R, 'query'>;
  json?: BodyOf<R>;
  form?: FormData;
}

export type Client = ReturnType<typeof createClient>;

/**
 * The one client of Gauntlet's API, typed by the route values themselves.
 *
 * @param o.apiKey  sent with every request; default: GAUNTLET_API_KEY
 * @throws {ApiUnreachable} when nobody answers
 * @throws {ApiProblem} when the API refuses: its text is the problem's, with the fields that were wrong
 */
export function createClient(url: string, o: { fetch?: typeof fetch; apiKey?: string | undefined } = {}) {
  const base = url.replace(/\/+$/, '');
  const send = o.fetch ?? fetch;
  const apiKey = o.apiKey ?? (process.env['GAUNTLET_API_KEY'] || undefined);

  async function request<T>(
    method: string,
    path: string,
    body?: { json?: unknown; form?: FormData; ndjson?: string },
  ): Promise<T> {
    let answer: Response;
    let text: string;
    try {
      const type = body?.ndjson !== undefined ? 'application/x-ndjson' : body?.json !== undefined && 'application/json';
      const sent = body?.form ?? body?.ndjson ?? (body?.json === undefined ? undefined : JSON.stringify(body.json));
      answer = await send(base + path, {
        method: method.toUpperCase(),
        headers: {
          ...(type && { 'content-type': type }),
          ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
        },
        ...(sent !== undefined && { body: sent }),
      });
      text = await answer.text();
    } catch (error) {
      throw new ApiUnreachable(base, reasonOf(error));
    }
    const value = parseJson(text);
    if (answer.ok && value !== undefined) return value as T;
    const problem = Problem.safeParse(value);
    if (problem.success && !answer.ok) throw new ApiProblem(problem.data);
    throw new UserError(
      'NotGauntlet',
      `${method.toUpperCase()} ${base}${path} answered ${answer.status} with something that is not Gauntlet's JSON: ${shorten(text)}. Is another program listening there? Name the API with --api or GAUNTLET_API.`,
    );
  }

  /** Method and path are the route's own, which the compiler checks. */
  const call = <R extends RouteConfig>(
    method: R['method'],
    path: R['path'],
    sent: Sent<R> = {},
  ): Promise<AnswerOf<R>> => {
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(String((sent.params as Record<string, unknown> | undefined)?.[name])),
    );
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries<string | number | undefined>(sent.query ?? {}))
      if (value !== undefined) query.set(name, String(value));
    const search = query.size > 0 ? `?${query.toString()}` : '';
    return request(method, filled + search, { json: sent.json, form: sent.form });
  };

  return {
    url: base,
    status: () => call<typeof routes.getStatus>('get', '/v1/status'),
    models: () => call<typeof routes.listModels>('get', '/v1/models'),
    model: (model: string) => call<typeof routes.getModel>('get', '/v1/models/{model}', { params: { model } }),
    versions: (model: string) =>
      call<typeof routes.listVersions>('get', '/v1/models/{model}/versions', { params: { model } }),
    version: (model: string, n: number) =>
      call<typeof routes.getVersion>('get', '/v1/models/{model}/versions/{n}', { params: { model, n } }),
    history: (model: string, query: { at?: string; limit?: number } = {}) =>
      call<typeof routes.getHistory>('get', '/v1/models/{model}/history', { params: { model }, query }),
    train: (model: string, body: BodyOf<typeof routes.startTraining>, workflowId?: string) =>
      call<typeof routes.startTraining>('post', '/v1/models/{model}/train', {
        params: { model },
        query: { workflowId },
        json: body,
      }),
    training: (workflowId: string) =>
      call<typeof routes.getTraining>('get', '/v1/trainings/{workflowId}', { params: { workflowId } }),
    runs: (query: { model?: string; limit?: number } = {}) =>
      call<typeof routes.listRuns>('get', '/v1/runs', { query }),
    run: (model: string, id: string) =>
      call<typeof routes.getRun>('get', '/v1/runs/{model}/{id}', { params: { model, id } }),
    startRollout: (model: string, body: BodyOf<typeof routes.startRollout>) =>
      call<typeof routes.startRollout>('post', '/v1/models/{model}/rollouts', { params: { model }, json: body }),
    rollout: (model: string) =>
      call<typeof routes.getRollout>('get', '/v1/models/{model}/rollout', { params: { model } }),
    approve: (model: string, body: BodyOf<typeof routes.approveRollout>) =>
      call<typeof routes.approveRollout>('post', '/v1/models/{model}/rollout/approve', {
        params: { model },
        json: body,
      }),
    reject: (model: string, body: BodyOf<typeof routes.rejectRollout>) =>
      call<typeof routes.rejectRollout>('post', '/v1/models/{model}/rollout/reject', { params: { model }, json: body }),
    pause: (model: string, body: BodyOf<typeof routes.pauseRollout>) =>
      call<typeof routes.pauseRollout>('post', '/v1/models/{model}/rollout/pause', { params: { model }, json: body }),
    resume: (model: string, body: BodyOf<typeof routes.resumeRollout>) =>
      call<typeof routes.resumeRollout>('post', '/v1/models/{model}/rollout/resume', { params: { model }, json: body }),
    advance: (model: string, body: BodyOf<typeof routes.advanceRollout>) =>
      call<typeof routes.advanceRollout>('post', '/v1/models/{model}/rollout/advance', {
        params: { model },
        json: body,
      }),
    /** Of a rollout that runs, by its workflow; `rollback` needs no workflow. */
    rollbackRollout: (model: string, body: BodyOf<typeof routes.rollbackRollout>) =>
      call<typeof routes.rollbackRollout>('post', '/v1/models/{model}/rollout/rollback', {
        params: { model },
        json: body,
      }),
    changePlan: (model: string, body: BodyOf<typeof routes.changePlanOfRollout>) =>
      call<typeof routes.changePlanOfRollout>('post', '/v1/models/{model}/rollout/change-plan', {
        params: { model },
        json: body,
      }),
    looks: (model: string, query: PartOf<typeof routes.listLooks, 'query'> = {}) =>
      call<typeof routes.listLooks>('get', '/v1/models/{model}/looks', { params: { model }, query }),
    look: (model: string, look: string) =>
      call<typeof routes.getLook>('get', '/v1/models/{model}/looks/{look}', { params: { model, look } }),
    judge: (model: string, look: string, body: BodyOf<typeof routes.judgeLook> = {}) =>
      call<typeof routes.judgeLook>('post', '/v1/models/{model}/looks/{look}/judge', {
        params: { model, look },
        json: body,
      }),
    importLabels: (model: string, body: BodyOf<typeof routes.startImportLabels> = {}) =>
      call<typeof routes.startImportLabels>('post', '/v1/models/{model}/import-labels', {
        params: { model },
        json: body,
      }),
    rollback: (model: string, body: BodyOf<typeof routes.rollBackModel>) =>
      call<typeof routes.rollBackModel>('post', '/v1/models/{model}/rollback', { params: { model }, json: body }),
    project: (model: string) => call<typeof routes.getProject>('get', '/v1/projects/{model}', { params: { model } }),
    why: (requestId: string, query: { around?: string; row?: number; model?: string } = {}) =>
      call<typeof routes.getWhy>('get', '/v1/why/{requestId}', { params: { requestId }, query }),
    doctor: () => call<typeof routes.getDiagnosis>('get', '/v1/doctor'),

    /** Files by their path inside the project folder. */
    async apply(files: ReadonlyMap<string, Uint8Array | { file: string }>, query: { dryRun?: boolean; by?: string }) {
      const form = new FormData();
      for (const [path, body] of files)
        form.set(path, body instanceof Uint8Array ? new Blob([body]) : await openAsBlob(body.file), basename(path));
      return call<typeof routes.applyFolder>('post', '/v1/projects', {
        query: { by: query.by, ...(query.dryRun ? { dryRun: 'true' as const } : {}) },
        form,
      });
    },

    /** Labels, one JSON object on each line. */
    feedback: (model: string, lines: string) =>
      request<FeedbackAnswer>('post', `/v1/models/${encodeURIComponent(model)}/feedback`, { ndjson: lines }),
    predict: (model: string, row: unknown) =>
      request<Record<string, unknown>>('post', `/v1/models/${encodeURIComponent(model)}/predict`, { json: row }),
    predictRows: (model: string, rows: unknown[]) =>
      request<{ predictions: Record<string, unknown>[]; version: number; revision: number }>(
        'post',
        `/v1/models/${encodeURIComponent(model)}/predict`,
        { json: { rows } },
      ),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line || 'nothing';
}

/** What the system said: fetch hides it in `cause`, and there perhaps one for each address tried. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof AggregateError && cause.errors.length > 0) return reasonOf(cause.errors[0]);
  if (cause instanceof Error) return (cause as NodeJS.ErrnoException).code ?? cause.message;
  return String(cause);
}

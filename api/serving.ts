import { Hono, type Context } from 'hono';
import type { Logger } from 'pino';
import type { Stores } from '../bucket/index.ts';
import { didYouMean } from '../schemas/index.ts';
import { docsRoutes } from './docs.ts';
import { openApiDocument, type OpenApiPart } from './openapi.ts';
import { problem, problemMethod, problemNotFound, problemOf, problemOnError, ProblemError } from './problem.ts';
import { requestId } from './request-id.ts';
import { Follower, predict, readJson, type Current, type FollowerStatus } from './serving/index.ts';

export interface ServingOptions {
  stores: Pick<Stores, 'objects' | 'versions' | 'serving'>;
  /** What POST /predict asks; else the only model that is served. */
  defaultModel?: string;
  /** How long to wait before the serving log is asked again after it had nothing new; default 1000. */
  pollMs?: number;
  /** Milliseconds since 1970; default the clock. It is also predicted_at. */
  now?: () => number;
  log: Logger;
  /** Bytes; default 1 MB. */
  maxBodyBytes?: number;
  /** What else /openapi.json describes: the control app, where it is on the same port. */
  extraPaths?: () => OpenApiPart;
}

export interface Readiness {
  ready: boolean;
  /** In words, what is awaited or what has failed. */
  because: string;
  status: FollowerStatus;
}

export interface ServingApp {
  app: Hono;
  /** Ends when the serving log was read and every champion tried once. The log is followed until `stop`. */
  start(): Promise<void>;
  ready(): Readiness;
  status(): FollowerStatus;
  /** Ends when the last request has left and every session is closed. */
  stop(): Promise<void>;
}

/** The app that answers: predictions by what the serving log says, and nothing but a bucket and ONNX Runtime behind them. */
export function createServing(options: ServingOptions): ServingApp {
  const { stores, defaultModel, pollMs = 1000, now = Date.now, log, maxBodyBytes = 1_000_000, extraPaths } = options;
  const follower = new Follower({ stores, pollMs, now, log });
  const app = new Hono();

  const answer = async (c: Context, choose: () => string): Promise<Response> => {
    const from = performance.now();
    const noted: { requestId: string; model?: string; version?: number } = { requestId: requestId(c) };
    const headers: Record<string, string> = { 'x-request-id': noted.requestId };
    const respond = async (): Promise<Response> => {
      const body = await readJson(c.req.raw, maxBodyBytes);
      noted.model = choose();
      // Whatever serves from here on, this version answers the whole request.
      const current = currentOf(follower, noted.model);
      noted.version = current.model.version.n;
      headers['x-gauntlet-assigned'] = 'champion';
      headers['x-gauntlet-version'] = String(noted.version);
      return c.json(await predict(current, body, now(), noted.requestId), 200, headers);
    };
    const response = await respond().catch((error: unknown) => {
      const fields = problemOf(error);
      if (fields.status === 500) log.error({ ...noted, err: error }, 'prediction failed');
      return problem(c, { ...fields, headers: { ...headers, ...fields.headers } });
    });
    const line = { ...noted, status: response.status, ms: Math.round((performance.now() - from) * 100) / 100 };
    if (response.ok) log.debug(line, 'request answered');
    else log.info(line, 'request refused');
    return response;
  };

  app.post('/v1/models/:model/predict', (c) => answer(c, () => c.req.param('model')));
  app.all('/v1/models/:model/predict', problemMethod('POST'));
  app.post('/predict', (c) => answer(c, () => defaultOf(follower, defaultModel)));
  app.all('/predict', problemMethod('POST'));

  app.get('/health', (c) => c.json({ status: 'alive' }));
  app.all('/health', problemMethod('GET'));
  app.get('/ready', (c) => {
    const readiness = readinessOf(follower.status());
    return c.json(readiness, readiness.ready ? 200 : 503);
  });
  app.all('/ready', problemMethod('GET'));

  let document: { generation: number; text: string } | undefined;
  app.get('/openapi.json', (c) => {
    if (document?.generation !== follower.generation)
      document = {
        generation: follower.generation,
        text: JSON.stringify(
          openApiDocument({
            versions: follower.serving().map(({ model }) => model.version),
            defaultModel,
            maxBodyBytes,
            extra: extraPaths?.(),
          }),
        ),
      };
    return c.body(document.text, 200, { 'content-type': 'application/json', 'cache-control': 'no-cache' });
  });
  app.all('/openapi.json', problemMethod('GET'));
  app.route('/', docsRoutes());

  app.onError(problemOnError(log));
  app.notFound(problemNotFound);

  return {
    app,
    start: () => follower.start(),
    ready: () => readinessOf(follower.status()),
    status: () => follower.status(),
    stop: () => follower.stop(),
  };
}

function currentOf(follower: Follower, name: string): Current {
  const current = follower.current(name);
  if (current) return current;
  const served = follower.served();
  if (follower.status().revision !== undefined && !served.includes(name))
    throw new ProblemError({
      status: 404,
      type: 'no-such-model',
      title: 'No such model',
      detail: `No model named ${name.slice(0, 80)} is served.${didYouMean(name.slice(0, 80), served)} ${servedInWords(served)}`,
      next: 'gauntlet models lists every model; gauntlet promote serves a version of one.',
    });
  throw notLoaded(readinessOf(follower.status()).because);
}

const notLoaded = (detail: string): ProblemError =>
  new ProblemError({
    status: 503,
    type: 'not-loaded',
    title: 'Not loaded yet',
    detail,
    next: 'GET /ready says when it is.',
    headers: { 'retry-after': '1' },
  });

const servedInWords = (served: string[]): string =>
  served.length === 0 ? 'No model is served yet.' : `Served: ${served.join(', ')}.`;

function defaultOf(follower: Follower, defaultModel: string | undefined): string {
  if (defaultModel !== undefined) return defaultModel;
  const served = follower.served();
  if (served.length === 0) throw notLoaded(readinessOf(follower.status()).because);
  if (served.length > 1)
    throw new ProblemError({
      status: 409,
      type: 'which-model',
      title: 'Which model?',
      detail: `${served.length} models are served, and none of them is the default: ${served.join(', ')}.`,
      next: 'POST /v1/models/<model>/predict, or set GAUNTLET_DEFAULT_MODEL.',
    });
  return served[0]!;
}

/** Ready: there is a champion, and for every model that has one a version is loaded and warm. */
function readinessOf(status: FollowerStatus): Readiness {
  const { revision, bucketFailure, models } = status;
  const missing = models.filter(({ serving }) => !serving);
  const lines = models.flatMap(({ model, failures, serving }) =>
    failures.map(
      ({ version, because }) =>
        `${model} version ${version} could not be loaded${serving ? ` (version ${serving.version} goes on serving)` : ''}: ${because}`,
    ),
  );
  if (bucketFailure) lines.push(`the serving log cannot be read: ${bucketFailure.because}`);
  for (const { model, champion, failures } of missing)
    if (failures.length === 0) lines.push(`${model} version ${champion} is being loaded`);
  if (revision === undefined && !bucketFailure) lines.push('the serving log has not been read yet');
  else if (models.length === 0 && !bucketFailure)
    lines.push('nothing has been promoted yet: gauntlet promote <model> serves its newest version');
  const ready = models.length > 0 && missing.length === 0;
  return { ready, because: lines.join('; ') || 'every served model is loaded and warm', status };
}

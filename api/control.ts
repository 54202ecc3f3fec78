import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { isKey, rollBack, rollbackCause, type Stores } from '../bucket/index.ts';
import { didYouMean, type Scope } from '../schemas/index.ts';
import { diagnose } from './control/doctor.ts';
import { readHistory } from './control/history.ts';
import { importLabels } from './control/label-import.ts';
import type { OpenApiPart } from './openapi-part.ts';
import {
  detailModel,
  listModels,
  requireModel,
  requireVersion,
  summarizeRun,
  summarizeVersions,
} from './control/models.ts';
import { applyUpload, MAX_PROJECT_BYTES, tooLarge } from './control/projects.ts';
import * as routes from './control/routes.ts';
import { judgeAgain, listLooks, readLook } from './control/looks.ts';
import {
  describeRollout,
  onlyNamed,
  rollbackRoundsApproval,
  roundsApproval,
  startRollout,
  tellRollout,
  type Said,
  type Word,
} from './control/rollouts.ts';
import type { Check } from './control/shapes.ts';
import { readStatus } from './control/status.ts';
import { ensureLabelSchedule } from './control/schedules.ts';
import { startWorkflow, withTemporal, type TemporalOptions } from './control/temporal.ts';
import { createWhy } from './control/why.ts';
import { describeTraining } from './control/training.ts';
import {
  issuesOfZod,
  problem,
  problemNotFound,
  problemOf,
  problemOnError,
  ProblemError,
  type ErrorLog,
} from './problem.ts';
import { received } from './received.ts';
import { actorOf, byOf, KeyRing, keysRequired, secretOf } from './keys.ts';
import { requestId } from './request-id.ts';
import { sameOriginOnly } from './same-origin.ts';

export interface ControlOptions extends TemporalOptions {
  stores: Stores;
  now?: () => Date;
  log: ErrorLog;
  /** What this process knows about the models it has loaded, for the doctor. */
  serving?: () => Check[];
  /** Brings answers of this process that are not in the bucket yet to it; who asks why waits a few seconds for it. */
  flushLog?: () => Promise<void>;
  /** This machine's folder, for scratch files; default: the system's. */
  home?: string;
  /** How long a promotion is waited for before the answer says that it is under way. */
  promotionWaitMs?: number;
  /** How long a rollout that is superseded is given for its clean end. */
  supersedeWaitMs?: number;
  /** API keys; default: those of the bucket. */
  keys?: KeyRing;
}

/** What a request needs a key for, where the bucket has any. Whatever is not named here needs `operate`. */
function scopeOf(path: string): Scope | undefined {
  if (/^\/v1\/models\/[^/]+\/rollout\/(approve|reject)$/.test(path)) return 'approve';
  return /^\/v1\/models\/[^/]+\/looks\/[^/]+\/judge$/.test(path) ? undefined : 'operate';
}

/** The operators' API: bucket, Temporal and the actions on models. Predictions are `serving`'s. */
export function createControl(o: ControlOptions): OpenAPIHono {
  const { stores } = o;
  const now = o.now ?? (() => new Date());
  const app = new OpenAPIHono({
    defaultHook: (result, c) => {
      if (result.success) return undefined;
      const issues = issuesOfZod(result.error);
      return problem(c, { status: 422, type: 'invalid', title: 'The request is not valid', issues });
    },
  });
  app.onError(problemOnError(o.log));
  app.notFound(problemNotFound);
  app.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', {
    type: 'http',
    scheme: 'bearer',
    description: 'An API key (gk_...), needed where the bucket has keys.',
  });
  app.openAPIRegistry.registerComponent('securitySchemes', 'apiKeyHeader', {
    type: 'apiKey',
    in: 'header',
    name: 'x-api-key',
    description: 'The same key, where something before us takes the header authorization for itself.',
  });
  app.use(sameOriginOnly);
  const keys = o.keys ?? new KeyRing(stores.keys, { now: () => now().getTime() });
  app.use(keysRequired(keys, scopeOf));
  app.use('/v1/projects', bodyLimit({ maxSize: MAX_PROJECT_BYTES, onError: tooLarge }));

  app.openapi(routes.getStatus, async (c) => c.json(await readStatus(o), 200));
  app.openapi(routes.getDiagnosis, async (c) => c.json(await diagnose(o), 200));

  app.openapi(routes.listModels, async (c) => c.json(await listModels(stores), 200));
  app.openapi(routes.getModel, async (c) => c.json(await detailModel(stores, c.req.valid('param').model), 200));
  app.openapi(routes.listVersions, async (c) => {
    const { model } = c.req.valid('param');
    await requireModel(stores, model);
    const [versions, { models }] = await Promise.all([stores.versions.list(model), stores.serving.table()]);
    return c.json(summarizeVersions(versions, models[model]), 200);
  });
  app.openapi(routes.getVersion, async (c) => {
    const { model, n } = c.req.valid('param');
    await requireModel(stores, model);
    return c.json(await requireVersion(stores, model, n), 200);
  });
  app.openapi(routes.getHistory, async (c) => {
    const { model } = c.req.valid('param');
    return c.json(await readHistory(stores, model, { ...c.req.valid('query'), now: now() }), 200);
  });

  app.openapi(routes.startTraining, async (c) => {
    const { model } = c.req.valid('param');
    await requireModel(stores, model);
    const workflowId = c.req.valid('query').workflowId ?? `train-${model}`;
    const asked = { ...c.req.valid('json'), model };
    const input = { ...asked, by: byOf(c, asked.by) };
    const started = await startWorkflow(o, {
      type: 'trainingPipeline',
      workflowId,
      input,
      summary: `Train ${model}`,
      details: `Training of **${model}**, started over the API: from its newest applied project to a registered version, or to the step that halts it.`,
      priorityKey: 3,
      follow: `/v1/trainings/${encodeURIComponent(workflowId)}`,
    });
    return c.json(started, 202);
  });
  app.openapi(routes.getTraining, async (c) => c.json(await describeTraining(o, c.req.valid('param').workflowId), 200));

  app.openapi(routes.listRuns, async (c) => {
    const { model, limit } = c.req.valid('query');
    if (model !== undefined) await requireModel(stores, model);
    const runs = await stores.runs.list(model, limit);
    return c.json(await Promise.all(runs.map((run) => summarizeRun(stores, run))), 200);
  });
  app.openapi(routes.getRun, async (c) => {
    const { model, id } = c.req.valid('param');
    await requireModel(stores, model);
    const run = isKey(id) ? await stores.runs.read(model, id) : undefined;
    if (run) return c.json(run, 200);
    const ids = (await stores.runs.list(model)).map((known) => known.id);
    throw new ProblemError({
      status: 404,
      type: 'no-such-run',
      title: 'No such run',
      detail: `${model} has no run ${id}.${didYouMean(id, ids)}`,
      next: `GET /v1/runs?model=${model} lists them.`,
    });
  });

  app.openapi(routes.startRollout, async (c) => {
    const { model } = c.req.valid('param');
    const body = c.req.valid('json');
    await requireModel(stores, model);
    await requireVersion(stores, model, body.version);
    const rounds = await roundsApproval(stores, model, body);
    if (rounds !== undefined) await keys.check(secretOf(received(c)), 'approve', rounds);
    const { stage } = await c.req.json<{ stage?: unknown }>();
    const asked = { ...body, ...(body.stage && { stage: onlyNamed(body.stage, stage) }) };
    const started = await startRollout(o, model, asked, byOf(c, body.by));
    return started.result ? c.json(started, 200) : c.json(started, 202);
  });
  app.openapi(routes.getRollout, async (c) => {
    const { model } = c.req.valid('param');
    await requireModel(stores, model);
    return c.json(await describeRollout(o, model), 200);
  });
  const tell = async (c: Context, model: string, word: Word, said: Omit<Said, 'by'> & { by?: string | undefined }) => {
    await requireModel(stores, model);
    const context = { ...o, id: requestId(c), now: now() };
    return tellRollout(context, model, word, { ...said, by: byOf(c, said.by) }, actorOf(c));
  };
  app.openapi(routes.approveRollout, async (c) =>
    c.json(await tell(c, c.req.valid('param').model, 'approve', c.req.valid('json')), 200),
  );
  app.openapi(routes.rejectRollout, async (c) =>
    c.json(await tell(c, c.req.valid('param').model, 'reject', c.req.valid('json')), 200),
  );
  app.openapi(routes.pauseRollout, async (c) =>
    c.json(await tell(c, c.req.valid('param').model, 'pause', c.req.valid('json')), 200),
  );
  app.openapi(routes.resumeRollout, async (c) =>
    c.json(await tell(c, c.req.valid('param').model, 'resume', c.req.valid('json')), 200),
  );
  app.openapi(routes.advanceRollout, async (c) =>
    c.json(await tell(c, c.req.valid('param').model, 'advance', c.req.valid('json')), 200),
  );
  app.openapi(routes.rollbackRollout, async (c) =>
    c.json(await tell(c, c.req.valid('param').model, 'rollback', c.req.valid('json')), 200),
  );
  app.openapi(routes.changePlanOfRollout, async (c) => {
    const said = c.req.valid('json');
    const { stage } = await c.req.json<{ stage?: unknown }>();
    const changes = { ...said, stage: onlyNamed(said.stage, stage) };
    return c.json(await tell(c, c.req.valid('param').model, 'change-plan', changes), 200);
  });

  app.openapi(routes.listLooks, async (c) => {
    const { model } = c.req.valid('param');
    await requireModel(stores, model);
    return c.json(await listLooks(stores, model, c.req.valid('query')), 200);
  });
  app.openapi(routes.getLook, async (c) => {
    const { model, look } = c.req.valid('param');
    await requireModel(stores, model);
    return c.json(await readLook(stores, model, look), 200);
  });
  app.openapi(routes.judgeLook, async (c) => {
    const { model, look } = c.req.valid('param');
    await requireModel(stores, model);
    const plan = c.req.valid('json')?.plan;
    const sent = plan && (await c.req.json<{ plan: { kind: string } }>()).plan;
    return c.json(await judgeAgain(stores, model, look, sent), 200);
  });

  app.openapi(routes.startImportLabels, async (c) => {
    const { model } = c.req.valid('param');
    await requireModel(stores, model);
    const importing = await importLabels(o, { ...c.req.valid('json'), model });
    return importing.result ? c.json(importing, 200) : c.json(importing, 202);
  });
  app.openapi(routes.rollBackModel, async (c) => {
    const { model } = c.req.valid('param');
    const { to, by, reason, requestId: id } = c.req.valid('json');
    await requireModel(stores, model);
    if (to !== undefined) {
      await requireVersion(stores, model, to);
      // Whoever may approve is not held up by it: a rollback is for minutes in which nothing else works.
      const mayNotApprove = actorOf(c)?.scopes.includes('approve') === false;
      const rounds = mayNotApprove ? await rollbackRoundsApproval(stores, model, to) : undefined;
      if (rounds !== undefined) await keys.check(secretOf(received(c)), 'approve', rounds);
    }
    try {
      return c.json(await rollBack(stores.serving, model, to, byOf(c, by), reason, rollbackCause(id)), 200);
    } catch (error) {
      const refused = problemOf(error);
      // A request that says nothing wrong, at the wrong moment.
      throw refused.status === 422 ? new ProblemError({ ...refused, status: 409 }) : error;
    }
  });

  app.openapi(routes.applyFolder, async (c) => {
    const { dryRun, by } = c.req.valid('query');
    const form = await c.req.formData();
    const applied = await applyUpload(stores, form, { by: byOf(c, by), dryRun: dryRun === 'true', now: now() });
    if (!applied.dryRun) await scheduleLabels(applied.model);
    return c.json(applied, 200);
  });
  app.openapi(routes.getProject, async (c) => {
    const { model } = c.req.valid('param');
    await requireModel(stores, model);
    const project = await stores.projects.newest(model);
    if (project) return c.json(project, 200);
    throw new ProblemError({
      status: 404,
      type: 'no-such-project',
      title: 'No project',
      detail: `${model} serves, but no project of it was applied to this bucket.`,
      next: 'npx gauntlet apply <folder>',
    });
  });
  const why = createWhy({ ...o, now });
  app.openapi(routes.getWhy, async (c) => c.json(await why(c.req.valid('param').requestId, c.req.valid('query')), 200));

  return app;

  /** What is applied is applied: where Temporal does not answer, the next start or apply schedules it. */
  async function scheduleLabels(model: string): Promise<void> {
    try {
      const project = await stores.projects.newest(model);
      if (project) await withTemporal(o, (client) => ensureLabelSchedule(client, project));
    } catch (error) {
      o.log.error({ model, err: error }, 'the import of labels could not be scheduled');
    }
  }
}

/** Paths and components of the operators' routes, for the server's one OpenAPI document. */
export function controlOpenApi(app: OpenAPIHono): OpenApiPart {
  const document = app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 'control', version: '1' } });
  return { paths: { ...document.paths }, components: { ...document.components } };
}

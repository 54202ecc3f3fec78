import { OpenAPIHono } from '@hono/zod-openapi';
import { bodyLimit } from 'hono/body-limit';
import { isKey, rollBack, rollbackCause, type Stores } from '../bucket/index.ts';
import { didYouMean } from '../schemas/index.ts';
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
import { promote } from './control/promotion.ts';
import * as routes from './control/routes.ts';
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
  app.use(sameOriginOnly);
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
    const started = await startWorkflow(o, {
      type: 'trainingPipeline',
      workflowId,
      input: { ...c.req.valid('json'), model },
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

  app.openapi(routes.startPromotion, async (c) => {
    const { model } = c.req.valid('param');
    const body = c.req.valid('json');
    await requireModel(stores, model);
    await requireVersion(stores, model, body.version);
    const promotion = await promote(o, { ...body, model, by: body.by ?? 'api' });
    return promotion.result ? c.json(promotion, 200) : c.json(promotion, 202);
  });
  app.openapi(routes.startImportLabels, async (c) => {
    const { model } = c.req.valid('param');
    await requireModel(stores, model);
    const importing = await importLabels(o, { ...c.req.valid('json'), model });
    return importing.result ? c.json(importing, 200) : c.json(importing, 202);
  });
  app.openapi(routes.rollBackModel, async (c) => {
    const { model } = c.req.valid('param');
    const { to, by, reason, requestId } = c.req.valid('json');
    await requireModel(stores, model);
    if (to !== undefined) await requireVersion(stores, model, to);
    try {
      return c.json(await rollBack(stores.serving, model, to, by ?? 'api', reason, rollbackCause(requestId)), 200);
    } catch (error) {
      const refused = problemOf(error);
      // A request that says nothing wrong, at the wrong moment.
      throw refused.status === 422 ? new ProblemError({ ...refused, status: 409 }) : error;
    }
  });

  app.openapi(routes.applyFolder, async (c) => {
    const { dryRun, by } = c.req.valid('query');
    const form = await c.req.formData();
    const applied = await applyUpload(stores, form, { by: by ?? 'api', dryRun: dryRun === 'true', now: now() });
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

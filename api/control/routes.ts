import { createRoute, z } from '@hono/zod-openapi';
import {
  Applied,
  Instant,
  LookKind,
  ModelName,
  ModelVersion,
  Problem,
  Project,
  RequestId,
  RollbackResult,
  Run,
} from '../../schemas/index.ts';
import {
  ChangePlanBody,
  Diagnosis,
  History,
  ImportLabelsBody,
  JudgeBody,
  JudgedAgain,
  LabelImporting,
  LookDetail,
  LookPage,
  ModelDetail,
  ModelSummary,
  RollbackBody,
  Rollout,
  RolloutStart,
  RunSummary,
  Started,
  StartRolloutBody,
  Status,
  SteerBody,
  Steered,
  TrainBody,
  Training,
  VersionSummary,
  VoteBody,
} from './shapes.ts';
import { Why } from './why/shapes.ts';

const json = <T extends z.ZodType>(schema: T, description: string) => ({
  content: { 'application/json': { schema } },
  description,
});
const problem = (description: string) => ({
  content: { 'application/problem+json': { schema: Problem } },
  description,
});
const notFound = { 404: problem('No such thing; the detail names the nearest') };
const invalid = { 400: problem('Malformed JSON'), 422: problem('Each field that is wrong') };
const noTemporal = { 503: problem('Temporal does not answer') };
/** Where the bucket has API keys. */
const guarded = {
  401: problem('No key came, or one that is unknown, expired or revoked'),
  403: problem('The key lacks the scope, or a page of another origin asked'),
};
const security: Record<string, string[]>[] = [{}, { apiKey: [] }, { apiKeyHeader: [] }];

// Loose on purpose: a mistyped name shall find its nearest, not a lesson about patterns.
const model = z.strictObject({ model: z.string().describe(ModelName.description ?? 'Name of a model') });
const tags = ['control'];

export const getStatus = createRoute({
  method: 'get',
  path: '/v1/status',
  tags,
  summary: 'Whether bucket and Temporal answer, and every model with what it serves',
  responses: { 200: json(Status, 'What is up and what serves') },
});

export const listModels = createRoute({
  method: 'get',
  path: '/v1/models',
  tags,
  summary: 'Every model: its project, champion, newest version and last run',
  responses: { 200: json(z.array(ModelSummary), 'Models by name') },
});

export const getModel = createRoute({
  method: 'get',
  path: '/v1/models/{model}',
  tags,
  summary: 'One model',
  request: { params: model },
  responses: { 200: json(ModelDetail, 'The model'), ...notFound },
});

export const listVersions = createRoute({
  method: 'get',
  path: '/v1/models/{model}/versions',
  tags,
  summary: 'Versions of a model, newest first',
  request: { params: model },
  responses: { 200: json(z.array(VersionSummary), 'Versions'), ...notFound },
});

export const getVersion = createRoute({
  method: 'get',
  path: '/v1/models/{model}/versions/{n}',
  tags,
  summary: 'One version, as it was registered',
  request: { params: model.extend({ n: z.coerce.number().int().positive() }) },
  responses: { 200: json(ModelVersion, 'The version'), ...notFound, ...invalid },
});

export const getHistory = createRoute({
  method: 'get',
  path: '/v1/models/{model}/history',
  tags,
  summary: 'What a model served when, by whom and why, newest first',
  request: {
    params: model,
    query: z.strictObject({
      at: Instant.optional().describe('What was in force then, and what came before; default: now'),
      limit: z.coerce.number().int().positive().max(1000).default(50),
    }),
  },
  responses: { 200: json(History, 'Entries of the serving log'), ...notFound, ...invalid },
});

export const startTraining = createRoute({
  method: 'post',
  path: '/v1/models/{model}/train',
  tags,
  security,
  summary: 'Start the trainingPipeline workflow',
  request: {
    params: model,
    query: z.strictObject({
      workflowId: z.string().min(1).max(200).optional().describe('Default: train-<model>'),
    }),
    body: { content: { 'application/json': { schema: TrainBody } }, required: false },
  },
  responses: {
    202: json(Started, 'Started'),
    409: problem('A training runs under this workflow id'),
    ...notFound,
    ...guarded,
    ...invalid,
    ...noTemporal,
  },
});

export const getTraining = createRoute({
  method: 'get',
  path: '/v1/trainings/{workflowId}',
  tags,
  summary: 'How far a training is, or how it ended',
  request: { params: z.strictObject({ workflowId: z.string() }) },
  responses: { 200: json(Training, 'The training'), ...notFound, ...noTemporal },
});

export const listRuns = createRoute({
  method: 'get',
  path: '/v1/runs',
  tags,
  summary: 'Training runs, newest first',
  request: {
    query: z.strictObject({
      model: z.string().optional(),
      limit: z.coerce.number().int().positive().max(1000).default(50),
    }),
  },
  responses: { 200: json(z.array(RunSummary), 'Runs'), ...notFound, ...invalid },
});

export const getRun = createRoute({
  method: 'get',
  path: '/v1/runs/{model}/{id}',
  tags,
  summary: 'One run, as it was recorded',
  request: { params: model.extend({ id: z.string() }) },
  responses: { 200: json(Run, 'The run'), ...notFound },
});

export const startRollout = createRoute({
  method: 'post',
  path: '/v1/models/{model}/rollouts',
  tags,
  security,
  summary: 'Start the rollout of a version, and wait a few seconds for its end or its first stage',
  request: {
    params: model,
    body: { content: { 'application/json': { schema: StartRolloutBody } }, required: true },
  },
  responses: {
    200: json(RolloutStart, 'The rollout ended'),
    202: json(RolloutStart, 'The rollout is under way'),
    409: problem('A rollout of this model is under way, or this one was refused'),
    ...guarded,
    ...notFound,
    ...invalid,
    ...noTemporal,
  },
});

export const getRollout = createRoute({
  method: 'get',
  path: '/v1/models/{model}/rollout',
  tags,
  summary: 'Where the rollout of a model stands, or how its last one ended',
  request: { params: model },
  responses: { 200: json(Rollout, 'The rollout'), ...notFound, ...noTemporal },
});

const says = <P extends string, S extends z.ZodType>(path: P, schema: S, summary: string) =>
  createRoute({
    method: 'post',
    path,
    tags,
    security,
    summary,
    request: { params: model, body: { content: { 'application/json': { schema } }, required: true } },
    responses: {
      200: json(Steered, 'It was heard'),
      409: problem('No rollout runs, or it refuses, in its own words'),
      ...guarded,
      ...notFound,
      ...invalid,
      ...noTemporal,
    },
  });
export const approveRollout = says(
  '/v1/models/{model}/rollout/approve',
  VoteBody,
  'Approve the look that the rollout asks about',
);
export const rejectRollout = says(
  '/v1/models/{model}/rollout/reject',
  VoteBody,
  'Reject it: the rollout ends, and is undone',
);
export const pauseRollout = says(
  '/v1/models/{model}/rollout/pause',
  SteerBody,
  'Let nothing move forward; harm is still undone',
);
export const resumeRollout = says('/v1/models/{model}/rollout/resume', SteerBody, 'Go on after a pause');
export const advanceRollout = says(
  '/v1/models/{model}/rollout/advance',
  SteerBody,
  'Go to the next stage without waiting for this one',
);
export const rollbackRollout = says(
  '/v1/models/{model}/rollout/rollback',
  SteerBody,
  'End the rollout, and put back what served before. POST /v1/models/{model}/rollback does so without Temporal.',
);
export const changePlanOfRollout = says(
  '/v1/models/{model}/rollout/change-plan',
  ChangePlanBody,
  'Change the plan of an open shadow stage, on record',
);

export const listLooks = createRoute({
  method: 'get',
  path: '/v1/models/{model}/looks',
  tags,
  summary: 'Looks at a model, newest first: evidence and verdict',
  request: {
    params: model,
    query: z.strictObject({
      kind: LookKind.optional(),
      before: z.string().optional().describe('Only older ones than the look with this key'),
      limit: z.coerce.number().int().positive().max(200).default(50),
    }),
  },
  responses: { 200: json(LookPage, 'Looks'), ...notFound, ...invalid },
});

const look = model.extend({
  look: z.string().describe('Key of the look, its last part, or 8 digits of its hash or more'),
});

export const getLook = createRoute({
  method: 'get',
  path: '/v1/models/{model}/looks/{look}',
  tags,
  summary: 'One look, as it was written',
  request: { params: look },
  responses: { 200: json(LookDetail, 'The look'), ...notFound, ...invalid },
});

export const judgeLook = createRoute({
  method: 'post',
  path: '/v1/models/{model}/looks/{look}/judge',
  tags,
  summary: 'Judge the evidence of a look again, by its own plan or another. Nothing is written.',
  request: { params: look, body: { content: { 'application/json': { schema: JudgeBody } }, required: false } },
  responses: { 200: json(JudgedAgain, 'The verdict of then and of now'), ...notFound, ...invalid },
});

export const startImportLabels = createRoute({
  method: 'post',
  path: '/v1/models/{model}/import-labels',
  tags,
  security,
  summary: 'Start the importLabels workflow, and wait a few seconds for its end',
  request: {
    params: model,
    body: { content: { 'application/json': { schema: ImportLabelsBody } }, required: false },
  },
  responses: {
    200: json(LabelImporting, 'The import ended'),
    202: json(LabelImporting, 'The import is under way'),
    409: problem('An import of this model is under way, or this one failed'),
    ...notFound,
    ...guarded,
    ...invalid,
    ...noTemporal,
  },
});

export const rollBackModel = createRoute({
  method: 'post',
  path: '/v1/models/{model}/rollback',
  tags,
  security,
  summary:
    'Take back what a rollout tries out beside the champion, else serve the version before, or the one named; at once. Needs no Temporal.',
  request: {
    params: model,
    body: { content: { 'application/json': { schema: RollbackBody } }, required: true },
  },
  responses: {
    200: json(RollbackResult, 'Rolled back'),
    409: problem('Nothing to roll back to'),
    ...notFound,
    ...guarded,
    ...invalid,
  },
});

export const applyFolder = createRoute({
  method: 'post',
  path: '/v1/projects',
  tags,
  security,
  summary: 'Apply a model project: model.yaml and the files that it names, each part named by its path in the folder',
  request: {
    query: z.strictObject({
      dryRun: z.enum(['true', 'false']).optional().describe('true: only say what would change'),
      by: z.string().min(1).max(200).optional().describe('Who; default: api'),
    }),
    body: {
      content: {
        'multipart/form-data': {
          schema: z.record(z.string(), z.any().openapi({ type: 'string', format: 'binary' })),
        },
      },
      required: true,
    },
  },
  responses: { 200: json(Applied, 'What changed, or would'), 413: problem('Too large'), ...guarded, ...invalid },
});

export const getProject = createRoute({
  method: 'get',
  path: '/v1/projects/{model}',
  tags,
  summary: 'The newest applied project of a model',
  request: { params: model },
  responses: { 200: json(Project, 'The project'), ...notFound },
});

export const getWhy = createRoute({
  method: 'get',
  path: '/v1/why/{requestId}',
  tags,
  summary: 'Why an answer was what it was: from the answer back to the source files',
  request: {
    params: z.strictObject({ requestId: RequestId }),
    query: z.strictObject({
      around: Instant.optional().describe(
        'When it was asked, within a day; default: an id of ours says it, another is looked for in the last 31 days',
      ),
      row: z.coerce.number().int().nonnegative().default(0).describe('Place in the request, from 0'),
      model: z.string().optional().describe('Where several models answered the same id'),
    }),
  },
  responses: {
    200: json(Why, 'The answer and where it came from'),
    404: problem('No such answer; the detail says where was looked'),
    ...invalid,
  },
});

export const getDiagnosis = createRoute({
  method: 'get',
  path: '/v1/doctor',
  tags,
  summary: 'Checks what Gauntlet stands on, each with a next step where it is wanting',
  responses: { 200: json(Diagnosis, 'The checks') },
});

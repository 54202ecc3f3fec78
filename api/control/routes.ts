import { createRoute, z } from '@hono/zod-openapi';
import {
  Applied,
  Instant,
  ModelName,
  ModelVersion,
  Problem,
  Project,
  RequestId,
  RollbackResult,
  Run,
} from '../../schemas/index.ts';
import {
  Diagnosis,
  History,
  ImportLabelsBody,
  LabelImporting,
  ModelDetail,
  ModelSummary,
  Promotion,
  PromoteBody,
  RollbackBody,
  RunSummary,
  Started,
  Status,
  TrainBody,
  Training,
  VersionSummary,
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

export const startPromotion = createRoute({
  method: 'post',
  path: '/v1/models/{model}/promote',
  tags,
  summary: 'Start the rollout of a version, and wait a few seconds for its end',
  request: {
    params: model,
    body: { content: { 'application/json': { schema: PromoteBody } }, required: true },
  },
  responses: {
    200: json(Promotion, 'The rollout ended'),
    202: json(Promotion, 'The rollout is under way'),
    409: problem('A rollout of this model is under way, or this one was refused'),
    ...notFound,
    ...invalid,
    ...noTemporal,
  },
});

export const startImportLabels = createRoute({
  method: 'post',
  path: '/v1/models/{model}/import-labels',
  tags,
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
    ...invalid,
    ...noTemporal,
  },
});

export const rollBackModel = createRoute({
  method: 'post',
  path: '/v1/models/{model}/rollback',
  tags,
  summary: 'Serve the version before, or the one named, at once. Needs no Temporal.',
  request: {
    params: model,
    body: { content: { 'application/json': { schema: RollbackBody } }, required: true },
  },
  responses: {
    200: json(RollbackResult, 'Rolled back'),
    409: problem('Nothing to roll back to'),
    ...notFound,
    ...invalid,
  },
});

export const applyFolder = createRoute({
  method: 'post',
  path: '/v1/projects',
  tags,
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
  responses: { 200: json(Applied, 'What changed, or would'), 413: problem('Too large'), ...invalid },
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

/** One record of each kind, as small as its schema allows. */
import {
  ModelSpec,
  type Cause,
  type DatasetVersion,
  type Look,
  type ModelVersion,
  type Project,
  type Run,
} from '../../schemas/index.ts';

export const sha = (digit: string): string => digit.repeat(64);
const at = '2026-11-24T10:00:00.000Z';

export const causeOf = (runId: string, step = 'register'): Cause => ({ workflowId: 'train-churn', runId, step });

export const spec = ModelSpec.parse({
  apiVersion: 'gauntlet/v1',
  name: 'churn',
  owner: 'growth',
  description: 'Who leaves next month',
  task: 'binary',
  sources: { customers: { file: 'customers.parquet' } },
  rows: { entity: 'customer_id' },
  inputs: { visits: { type: 'number' }, age: { type: 'integer' } },
});

export const project = (hash: string): Omit<Project, 'n'> => ({
  model: 'churn',
  hash,
  files: { 'model.yaml': { sha256: sha('1'), bytes: 10 } },
  spec,
  appliedAt: at,
  by: 'ana',
});

export const dataset = (source: string): DatasetVersion => ({
  name: 'customers',
  hash: sha('2'),
  parts: [{ sha256: sha('2'), bytes: 100, rows: 10, format: 'parquet', gzip: false }],
  rows: 10,
  bytes: 100,
  columns: [{ name: 'age', type: 'INTEGER' }],
  source,
  ingestedAt: at,
});

export const run = (id: string, model = 'churn'): Run => ({
  id,
  model,
  project: { n: 1, hash: sha('3') },
  outcome: 'halted',
  halted: { stage: 'expectations', reason: 'between(age, 0, 120) fails on 3 rows' },
  parameters: {},
  overrides: {},
  seed: 7,
  asOf: at,
  datasets: [],
  expectations: [],
  curve: [],
  metrics: [],
  baseline: [],
  artefacts: {},
  build: { commit: 'unknown', dirty: false, node: 'v20', packages: {} },
  cause: causeOf(id, 'record'),
  startedAt: at,
  endedAt: at,
});

export const version = (runId: string, model = 'churn'): Omit<ModelVersion, 'n'> => ({
  model,
  task: 'binary',
  run: runId,
  project: { n: 1, hash: sha('3') },
  rowsHash: sha('4'),
  asOf: at,
  labelsSeenUntil: at,
  onnx: { sha256: sha('5'), bytes: 1000 },
  algorithm: 'linear',
  entity: 'customer_id',
  inputs: spec.inputs,
  usesPredictedAt: false,
  threshold: 0.5,
  strataEdgesDays: [],
  referenceHistograms: {},
  lossSd: 0.4,
  warmUpRows: [{ visits: 3, age: 40 }],
  primaryMetric: 'logLoss',
  metrics: [],
  cause: causeOf(runId),
  createdAt: at,
});

const metrics = {
  auc: 0.8,
  averagePrecision: 0.7,
  logLoss: 0.5,
  brier: 0.2,
  calibrationError: 0.01,
  accuracy: 0.8,
  f1: 0.7,
  confusion: { truePositive: 1, falsePositive: 1, trueNegative: 1, falseNegative: 1 },
  positiveRate: 0.5,
};

export const look = (time: string, because = 'atLeast auc 0.8 >= 0.7'): Look => ({
  model: 'churn',
  versions: [],
  kind: 'gate',
  at: time,
  window: { from: at, to: at },
  plan: { kind: 'gate', metric: 'logLoss', gates: {}, hasShadowStage: false },
  revision: 0,
  evidence: { kind: 'gate', rows: 100, metrics },
  rules: [],
  figures: [],
  verdict: { says: 'pass', because },
  build: 'unknown',
});

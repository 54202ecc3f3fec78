import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStores, type Stores } from '../../../bucket/index.ts';
import { ModelSpec, type EvaluationReport, type ModelVersion, type Project, type Run } from '../../../schemas/index.ts';

export const SHA = 'a'.repeat(64);
export const MODEL = 'hotel-cancellations';

export function spec(name = MODEL, more: object = {}): ModelSpec {
  return ModelSpec.parse({
    apiVersion: 'gauntlet/v1',
    name,
    owner: 'revenue',
    description: 'Will this booking be cancelled?',
    task: 'binary',
    sources: { bookings: { file: 'bookings.csv' } },
    rows: { entity: 'booking_id' },
    inputs: { lead_time: { type: 'number' } },
    ...more,
  });
}

const report = (logLoss: number): EvaluationReport => ({
  on: 'test',
  rows: 1000,
  metrics: {
    auc: 0.8,
    averagePrecision: 0.7,
    logLoss,
    brier: 0.16,
    calibrationError: 0.02,
    accuracy: 0.75,
    f1: 0.6,
    confusion: { truePositive: 1, falsePositive: 1, trueNegative: 1, falseNegative: 1 },
    positiveRate: 0.37,
  },
  slices: [],
  smallSlices: 0,
});

const cause = (step: string) => ({ workflowId: `train-${MODEL}`, runId: 'run-1', step });

export function version(): Omit<ModelVersion, 'n'> {
  return {
    model: MODEL,
    task: 'binary',
    run: '20160701T000000Z-1',
    project: { n: 1, hash: SHA },
    rowsHash: SHA,
    asOf: '2016-07-01T00:00:00Z',
    labelsSeenUntil: '2016-07-01T00:00:00Z',
    onnx: { sha256: SHA, bytes: 3 },
    algorithm: 'gradientBoosting',
    entity: 'booking_id',
    inputs: spec().inputs,
    usesPredictedAt: false,
    threshold: 0.5,
    strataEdgesDays: [],
    referenceHistograms: {},
    lossSd: 0.5,
    warmUpRows: [{ booking_id: 'B-1', lead_time: 30 }],
    primaryMetric: 'logLoss',
    metrics: [report(0.481)],
    cause: cause('register'),
    createdAt: '2026-11-01T00:00:00Z',
  };
}

export function run(id: string, more: Partial<Run> = {}): Run {
  return {
    id,
    model: MODEL,
    project: { n: 1, hash: SHA },
    outcome: 'registered',
    version: 1,
    parameters: {},
    overrides: {},
    seed: 7,
    asOf: '2016-07-01T00:00:00Z',
    datasets: [],
    expectations: [],
    curve: [],
    metrics: [report(0.481)],
    baseline: [report(0.497)],
    artefacts: {},
    build: { commit: 'abc', dirty: false, node: process.version, packages: {} },
    cause: cause('record'),
    startedAt: '2026-11-01T00:00:00Z',
    endedAt: '2026-11-01T00:05:00Z',
    ...more,
  };
}

export const project = (): Omit<Project, 'n'> => ({
  model: MODEL,
  hash: SHA,
  files: { 'model.yaml': { sha256: SHA, bytes: 10 } },
  spec: spec(),
  appliedAt: '2026-10-31T00:00:00Z',
  by: 'ana',
});

/** Stores on a bucket in a temporary folder. */
export async function temporaryStores(): Promise<{ stores: Stores; folder: string; bucket: string; remove(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'gauntlet-control-'));
  const bucket = `file:${join(folder, 'bucket')}`;
  return {
    stores: await openStores({ bucket, home: folder }),
    folder,
    bucket,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A model with one project, two runs (the newer one halted) and two versions, of which 2 serves and 1 did before. */
export async function fill(stores: Stores): Promise<void> {
  await stores.projects.create(project());
  await stores.runs.create(run('20261101T000000Z-1'));
  await stores.runs.create(
    run('20261102T000000Z-2', {
      outcome: 'halted',
      version: undefined,
      halted: { stage: 'gate', reason: 'auc 0.79 is below 0.8' },
    }),
  );
  await stores.versions.create(version());
  await stores.versions.create({ ...version(), cause: { ...cause('register'), runId: 'run-2' } });
  for (const [n, was] of [
    [1, 0],
    [2, 1],
  ] as const)
    await stores.serving.append({
      model: MODEL,
      was,
      serving: { champion: n, ...(n > 1 ? { previous: n - 1 } : {}), shadows: [] },
      by: 'ana',
      because: `version ${n} passed its gate`,
      cause: { workflowId: `rollout-${MODEL}`, runId: `r${n}`, step: 'promote' },
    });
}

/** Temporal that nobody can reach. */
export const noTemporal = async (): Promise<never> => {
  throw new Error('nothing listens there');
};

export const silent = { error: () => {} };

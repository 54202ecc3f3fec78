import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { createServing, type ServingApp, type ServingOptions } from '../../../api/serving.ts';
import { openPredictionLog, openStores, type PredictionLog, type Stores } from '../../../bucket/index.ts';
import type { TrainedModel } from '../../../numerics/trained-model.ts';
import { buildGraph } from '../../../onnx/index.ts';
import {
  GraphSpec,
  type ModelVersion,
  type Preprocessing,
  type RawRow,
  type Revision,
  type Serving,
} from '../../../schemas/index.ts';

/** A bucket in a temporary folder. */
export async function temporaryStores(): Promise<{ stores: Stores; folder: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'gauntlet-serving-'));
  const stores = await openStores({ bucket: `file:${join(folder, 'bucket')}`, home: join(folder, 'home') });
  return { stores, folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Another machine's view of the same bucket: nothing cached, nothing shared. */
export const replicaOf = (folder: string, name: string): Promise<Stores> =>
  openStores({ bucket: `file:${join(folder, 'bucket')}`, home: join(folder, name) });

/** Starts an app whose log lines are kept. */
export async function startServing(
  stores: ServingOptions['stores'],
  options: Partial<ServingOptions> = {},
): Promise<ServingApp & { lines: Record<string, unknown>[]; predictionLog: PredictionLog }> {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: 'debug' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const home = await mkdtemp(join(tmpdir(), 'gauntlet-serving-home-'));
  const predictionLog = options.predictionLog ?? (await openPredictionLog({ bucket: stores.serving.bucket, home }));
  const serving = createServing({ stores, pollMs: 10, log, ...options, predictionLog });
  await serving.start();
  return {
    ...serving,
    lines,
    predictionLog,
    async stop() {
      await serving.stop();
      await predictionLog.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

export const post = (app: ServingApp['app'], path: string, body: unknown, headers: Record<string, string> = {}) =>
  app.request(path, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });

/** The condition, asked every few milliseconds until it holds. */
export async function until(condition: () => boolean, ms = 10_000): Promise<void> {
  for (const end = performance.now() + ms; !condition();) {
    if (performance.now() > end) throw new Error(`still not true after ${ms} ms: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export interface Made {
  graph: GraphSpec;
  preprocessing: Preprocessing;
  model: TrainedModel;
  warmUpRows: RawRow[];
  classes?: string[];
  threshold?: number;
}

/** Bookings: every type of input, a derived column, and trees. A long lead time at the city hotel is a cancellation. */
export const bookings: Made = {
  graph: GraphSpec.parse({
    task: 'binary',
    inputs: {
      lead_time: { type: 'integer', min: 0, max: 800 },
      adr: { type: 'number', min: 0, max: 10_000, nullable: true },
      hotel: { type: 'string', values: ['City Hotel', 'Resort Hotel'] },
      agent: { type: 'string', optional: true, maxLength: 20, impute: 'none' },
      is_repeated_guest: { type: 'boolean' },
      arrival_date: { type: 'date', min: '2010-01-01' },
    },
    derived: { arrival_month: 'month(arrival_date)' },
    maturesAt: 'arrival_date + 14 days',
  }),
  preprocessing: {
    features: [
      { kind: 'number', name: 'lead_time', fill: 60 },
      { kind: 'number', name: 'adr', fill: 95 },
      {
        kind: 'category',
        name: 'hotel',
        vocabulary: ['City Hotel', 'Resort Hotel'],
        fill: 'City Hotel',
        encoding: 'ordinal',
      },
      { kind: 'category', name: 'agent', vocabulary: ['9'], fill: null, encoding: 'ordinal' },
      { kind: 'number', name: 'is_repeated_guest', fill: 0 },
      { kind: 'number', name: 'arrival_month', fill: null },
    ],
  },
  model: {
    kind: 'treeEnsemble',
    task: 'binary',
    outputs: 1,
    baseMargins: [-0.5],
    trees: [
      {
        feature: [0, -1, 2, -1, -1],
        threshold: [100.5, 0, 0.5, 0, 0],
        left: [1, -1, 3, -1, -1],
        right: [2, -1, 4, -1, -1],
        missingLeft: [1, 1, 1, 1, 1],
        value: [0, -1.5, 0, 2.5, 0.25],
      },
    ],
  },
  warmUpRows: [
    {
      lead_time: 120,
      adr: 98.5,
      hotel: 'City Hotel',
      agent: '9',
      is_repeated_guest: false,
      arrival_date: '2017-03-04',
    },
    { lead_time: 3, adr: null, hotel: 'Resort Hotel', is_repeated_guest: true, arrival_date: '2017-01-31' },
  ],
};

/** A regression whose every answer is `value`: which version answered can be read from the answer. */
export const constant = (value: number): Made => ({
  graph: GraphSpec.parse({
    task: 'regression',
    inputs: { x: { type: 'number' } },
    derived: {},
    maturesAt: 'predicted_at + 1 hours',
  }),
  preprocessing: { features: [{ kind: 'number', name: 'x', fill: 0 }] },
  model: { kind: 'linear', task: 'regression', outputs: 1, intercepts: [value], coefficients: [0] },
  warmUpRows: [{ x: 1 }],
});

/** Overflows for an x above about 3.4: a row whose answer is not finite. */
export const overflowing: Made = {
  ...constant(0),
  model: { kind: 'linear', task: 'regression', outputs: 1, intercepts: [0], coefficients: [1e38] },
};

export const flowers: Made = {
  graph: GraphSpec.parse({
    task: 'multiclass',
    inputs: { petal: { type: 'number' } },
    derived: {},
    maturesAt: 'predicted_at',
  }),
  preprocessing: { features: [{ kind: 'number', name: 'petal', fill: 0 }] },
  model: { kind: 'linear', task: 'multiclass', outputs: 3, intercepts: [1, 0, -1], coefficients: [-1, 0, 1] },
  classes: ['setosa', 'versicolor', 'virginica'],
  warmUpRows: [{ petal: 1 }],
};

const HASH = '0'.repeat(64);
let made = 0;

/** Builds the graph and registers a version of it. */
export async function register(
  stores: Stores,
  model: string,
  { graph, preprocessing, model: trained, warmUpRows, classes, threshold }: Made,
  changes: Partial<ModelVersion> = {},
): Promise<ModelVersion> {
  const { sha256, bytes } = await stores.objects.put(buildGraph(graph, preprocessing, trained));
  made++;
  return stores.versions.create({
    model,
    task: graph.task,
    run: `run-${made}`,
    project: { n: 1, hash: HASH },
    rowsHash: HASH,
    asOf: '2017-01-01T00:00:00.000Z',
    labelsSeenUntil: '2017-01-01T00:00:00.000Z',
    onnx: { sha256, bytes },
    algorithm: trained.kind === 'linear' ? 'linear' : 'gradientBoosting',
    entity: 'booking_id',
    inputs: graph.inputs,
    usesPredictedAt: graph.maturesAt.includes('predicted_at'),
    classes,
    threshold,
    strataEdgesDays: [],
    referenceHistograms: {},
    lossSd: 1,
    warmUpRows,
    primaryMetric: graph.task === 'regression' ? 'rmse' : 'logLoss',
    metrics: [],
    cause: { workflowId: 'test', runId: `made-${made}`, step: 'register' },
    createdAt: '2017-01-01T00:00:00.000Z',
    ...changes,
  });
}

/** Writes the next entry of the serving log for a model. */
export async function serve(stores: Stores, model: string, serving: Partial<Serving>): Promise<number> {
  const { models } = await stores.serving.table();
  made++;
  const revision: Omit<Revision, 'n' | 'committedAt'> = {
    was: models[model]?.n ?? 0,
    model,
    serving: { shadows: [], ...serving },
    by: 'test',
    because: 'a test says so',
    cause: { workflowId: 'test', runId: `made-${made}`, step: 'serve' },
  };
  const appended = await stores.serving.append(revision);
  if (!appended.ok) throw new Error(`the log refused: ${appended.why}`);
  return appended.n;
}

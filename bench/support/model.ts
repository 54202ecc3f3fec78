import { openStores, type Stores } from '../../bucket/index.ts';
import type { Tree } from '../../numerics/trained-model.ts';
import { buildGraph } from '../../onnx/index.ts';
import { GraphSpec, InputSchema, type RawRow, type Serving } from '../../schemas/index.ts';

/** 500 trees of depth 6 over six raw inputs, three of them strings: seeded, so the same bytes each time. */
const TREES = 500;
const DEPTH = 6;
const CITIES = Array.from({ length: 40 }, (_, i) => `city-${i}`);

export const ROW: RawRow = { age: 41, income: 52_000, tenure: 3.5, city: 'city-7', plan: 'basic', channel: 'web' };

const graph = GraphSpec.parse({
  task: 'binary',
  inputs: {
    age: { type: 'integer', min: 0, max: 120 },
    income: { type: 'number', min: 0, nullable: true },
    tenure: { type: 'number', min: 0 },
    city: { type: 'string' },
    plan: { type: 'string', values: ['basic', 'plus', 'pro'] },
    channel: { type: 'string', values: ['web', 'shop', 'phone'] },
  },
  derived: {},
  maturesAt: 'predicted_at + 30 days',
});

/** A bucket in which `bench` serves as the serving says, with versions 1 (the champion), 2 and 3 registered. */
export async function writeBench(bucket: string, home: string, serving: Partial<Serving> = {}): Promise<Stores> {
  const stores = await openStores({ bucket, home });
  for (const seed of [1, 2, 3])
    await registerGraph(stores, buildGraph(graph, preprocessing, ensemble(seed)), `seed-${seed}`);
  await serveBench(stores, { champion: 1, ...serving });
  return stores;
}

/** Inputs that the graphs of tests/api/serving/challenger/odd-graphs.ts take beside those of the bench. */
const LEVERS = InputSchema.parse({
  x: { type: 'number', optional: true, nullable: true },
  ms: { type: 'number', optional: true },
  mb: { type: 'number', optional: true },
});

export async function registerGraph(stores: Stores, bytes: Uint8Array, step: string, warmUpRows: RawRow[] = [ROW]) {
  const onnx = await stores.objects.put(bytes);
  const hash = '0'.repeat(64);
  return stores.versions.create({
    model: 'bench',
    task: 'binary',
    run: 'bench',
    project: { n: 1, hash },
    rowsHash: hash,
    asOf: '2026-01-01T00:00:00.000Z',
    labelsSeenUntil: '2026-01-01T00:00:00.000Z',
    onnx,
    algorithm: 'gradientBoosting',
    entity: 'customer_id',
    inputs: { ...graph.inputs, ...LEVERS },
    usesPredictedAt: true,
    threshold: 0.5,
    strataEdgesDays: [],
    referenceHistograms: {},
    lossSd: 1,
    warmUpRows,
    primaryMetric: 'logLoss',
    metrics: [],
    cause: { workflowId: 'bench', runId: 'bench', step },
    createdAt: '2026-01-01T00:00:00.000Z',
  });
}

export async function serveBench(stores: Stores, serving: Partial<Serving>): Promise<void> {
  const { models } = await stores.serving.table();
  const was = models['bench']?.n ?? 0;
  await stores.serving.append({
    was,
    model: 'bench',
    serving: { shadows: [], ...serving },
    by: 'bench',
    because: 'bench',
    cause: { workflowId: 'bench', runId: 'bench', step: `serve-${was}` },
  });
}

const preprocessing = {
  features: [
    { kind: 'number' as const, name: 'age', fill: 40 },
    { kind: 'number' as const, name: 'income', fill: 40_000 },
    { kind: 'number' as const, name: 'tenure', fill: 2 },
    { kind: 'category' as const, name: 'city', vocabulary: CITIES, fill: 'city-0', encoding: 'ordinal' as const },
    {
      kind: 'category' as const,
      name: 'plan',
      vocabulary: ['basic', 'plus', 'pro'],
      fill: 'basic',
      encoding: 'ordinal' as const,
    },
    {
      kind: 'category' as const,
      name: 'channel',
      vocabulary: ['web', 'shop', 'phone'],
      fill: 'web',
      encoding: 'ordinal' as const,
    },
  ],
};

function ensemble(seed: number) {
  const random = mulberry(seed);
  const ranges = [100, 100_000, 10, CITIES.length, 3, 3];
  const trees = Array.from({ length: TREES }, (): Tree => {
    const inner = 2 ** DEPTH - 1;
    const nodes = 2 * inner + 1;
    const tree: Tree = { feature: [], threshold: [], left: [], right: [], missingLeft: [], value: [] };
    for (let i = 0; i < nodes; i++) {
      const feature = i < inner ? Math.floor(random() * 6) : -1;
      tree.feature.push(feature);
      tree.threshold.push(feature === -1 ? 0 : Math.fround(random() * ranges[feature]!));
      tree.left.push(feature === -1 ? -1 : 2 * i + 1);
      tree.right.push(feature === -1 ? -1 : 2 * i + 2);
      tree.missingLeft.push(1);
      tree.value.push(feature === -1 ? Math.fround((random() - 0.5) * 0.05) : 0);
    }
    return tree;
  });
  return { kind: 'treeEnsemble' as const, task: 'binary' as const, outputs: 1, baseMargins: [0], trees };
}

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

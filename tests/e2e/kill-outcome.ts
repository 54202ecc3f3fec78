import { openStores } from '../../bucket/index.ts';

/** Everything that a pipeline leaves in its bucket, but for times and the names of runs. */
export interface Outcome {
  onnx: string[];
  rowsHash: string[];
  metrics: unknown[];
  runs: { outcome: string; curve: unknown; artefacts: Record<string, string> }[];
  looks: unknown[];
  serving: { n: number; champion: number | undefined };
  /** Every object's key: nothing is missing, and nothing was stored twice. */
  objects: string[];
  /** How many keys there are under each first part; checkpoints are removed at the end. */
  keys: Record<string, number>;
}

export async function outcomeOf(o: { bucket: string; home: string; model: string }): Promise<Outcome> {
  const stores = await openStores(o);
  const [versions, runs, looks, table] = await Promise.all([
    stores.versions.list(o.model),
    stores.runs.list(o.model),
    stores.looks.list(o.model),
    stores.serving.table(),
  ]);
  const keys: Record<string, number> = {};
  const objects: string[] = [];
  for await (const { key } of stores.bucket.list('')) {
    const folder = key.split('/')[0]!;
    keys[folder] = (keys[folder] ?? 0) + 1;
    if (folder === 'objects') objects.push(key);
  }
  return {
    onnx: versions.map(({ onnx }) => onnx.sha256),
    rowsHash: versions.map(({ rowsHash }) => rowsHash),
    metrics: versions.map(({ metrics }) => metrics),
    runs: runs.map(({ outcome, curve, artefacts }) => ({ outcome, curve, artefacts })),
    looks: looks.map(({ look }) => look.verdict),
    serving: { n: table.n, champion: table.models[o.model]?.serving.champion },
    objects,
    keys,
  };
}

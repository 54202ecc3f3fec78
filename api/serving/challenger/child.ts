/** The challenger process: opens the models that its parent names, and runs their graphs over the rows it sends. */
import { readFile } from 'node:fs/promises';
import type { OnnxModel } from '../../../onnx/index.ts';
import type { Columns } from '../../../schemas/index.ts';
import { openVersion } from '../open-version.ts';
import type { Layout, Order, Report } from './messages.ts';
import { layoutOf, packOutputs, unpackRows, type RowResult } from './packing.ts';

const models = new Map<string, { onnx: OnnxModel; layout: Layout }>();

// A report that cannot be sent has no reader: the process is about to end.
const say = (report: Report): void => void process.send!(report, undefined, undefined, () => undefined);

async function load({ id, key, file, version, nowMs }: Order & { kind: 'load' }): Promise<void> {
  try {
    const onnx = await openVersion(version, await readFile(file), nowMs);
    const layout = layoutOf(version.inputs, onnx.takes);
    models.set(key, { onnx, layout });
    say({ kind: 'loaded', id, layout });
  } catch (error) {
    say({ kind: 'load-failed', id, because: messageOf(error) });
  }
}

async function run({ id, key, ...packed }: Order & { kind: 'run' }): Promise<void> {
  const { onnx, layout } = models.get(key)!;
  const { rows, predictedAt } = unpackRows(layout, packed);
  const from = performance.now();
  const results = await resultsOf(onnx, rows, predictedAt);
  say({ kind: 'ran', id, graphMs: performance.now() - from, ...packOutputs(results) });
}

/** One row that makes a run throw takes nothing from its neighbours: then each is run alone. */
async function resultsOf(onnx: OnnxModel, rows: Columns, predictedAt: Float64Array): Promise<RowResult[]> {
  try {
    return await onnx.predict(rows, predictedAt);
  } catch (error) {
    if (rows.rows === 1) return [{ threw: messageOf(error) }];
  }
  const results: RowResult[] = [];
  for (let i = 0; i < rows.rows; i++) {
    const columns = Object.fromEntries(
      Object.entries(rows.columns).map(([name, column]) => [name, column.slice(i, i + 1)]),
    );
    results.push(...(await resultsOf(onnx, { rows: 1, columns }, predictedAt.slice(i, i + 1))));
  }
  return results;
}

async function unload(key: string): Promise<void> {
  const model = models.get(key);
  models.delete(key);
  await model?.onnx.close();
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

process.on('message', (order: Order) => {
  if (order.kind === 'load') void load(order);
  else if (order.kind === 'run') void run(order);
  else void unload(order.key);
});
say({ kind: 'ready' });

import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Column, Columns } from '../schemas/index.ts';

/** One thread: a second one costs more than it gives on batches as small as ours, and would add in another order. */
const OPTIONS: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3,
};

/** Rows that go through ONNX Runtime at once: few enough to stay in the processor's caches. */
const BATCH_ROWS = 4096;

export async function openSession(bytes: Uint8Array): Promise<InferenceSession> {
  return InferenceSession.create(bytes, OPTIONS);
}

/** Runs rows [from, to) through a session, which takes from the columns what its graph names. */
export async function runRows(
  session: InferenceSession,
  { columns }: Columns,
  predictedAt: Float64Array,
  from: number,
  to: number,
): Promise<InferenceSession.OnnxValueMapType> {
  const feeds: Record<string, Tensor> = {};
  for (const name of session.inputNames) {
    const column = name === 'predicted_at' ? predictedAt : columns[name];
    if (!column) throw new RangeError(`onnx: the graph takes ${name}, which was not given`);
    feeds[name] = tensor(column, from, to);
  }
  return session.run(feeds);
}

/** Opens a graph, runs all rows through it in batches, and closes it. */
export async function runInBatches(
  bytes: Uint8Array,
  rows: Columns,
  predictedAt: Float64Array,
  each: (outputs: InferenceSession.OnnxValueMapType, from: number, to: number) => void,
): Promise<void> {
  const session = await openSession(bytes);
  try {
    for (let from = 0; from < rows.rows; from += BATCH_ROWS) {
      const to = Math.min(rows.rows, from + BATCH_ROWS);
      each(await runRows(session, rows, predictedAt, from, to), from, to);
    }
  } finally {
    await session.release();
  }
}

function tensor(column: Column, from: number, to: number): Tensor {
  const dims = [to - from, 1];
  if (column instanceof Float64Array)
    return new Tensor('float64', to - from === column.length ? column : column.subarray(from, to), dims);
  const texts: string[] = [];
  for (let i = from; i < to; i++) texts.push(column[i] ?? '');
  return new Tensor('string', texts, dims);
}

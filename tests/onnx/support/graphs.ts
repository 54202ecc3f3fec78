import { createHash } from 'node:crypto';
import { buildGraph, openModel, type OnnxModel } from '../../../onnx/index.ts';
import type { TrainedModel } from '../../../numerics/trained-model.ts';
import { InputSchema, type Column, type Columns, type GraphSpec, type Preprocessing } from '../../../schemas/index.ts';

/** A graph description from what a test says; maturesAt is predicted_at unless it is said. */
export function graphOf(
  inputs: Record<string, Record<string, unknown>>,
  derived: Record<string, string> = {},
  o: { task?: GraphSpec['task']; maturesAt?: string } = {},
): GraphSpec {
  return {
    task: o.task ?? 'regression',
    inputs: InputSchema.parse(inputs),
    derived,
    maturesAt: o.maturesAt ?? 'predicted_at',
  };
}

export function table(columns: Record<string, Column>): Columns {
  return { rows: Object.values(columns)[0]?.length ?? 0, columns };
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Builds a model, opens it, uses it and closes it. */
export async function withModel<T>(
  graph: GraphSpec,
  preprocessing: Preprocessing,
  trained: TrainedModel,
  use: (model: OnnxModel) => Promise<T>,
): Promise<T> {
  const bytes = buildGraph(graph, preprocessing, trained);
  const model = await openModel({ bytes, sha256: sha256(bytes), inputs: graph.inputs });
  try {
    return await use(model);
  } finally {
    await model.close();
  }
}

/** Deterministic numbers in [0, 1): mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

import { createHash } from 'node:crypto';
import { UserError, type Columns, type InputSchema, type Output } from '../schemas/index.ts';
import { openSession, runRows } from './session.ts';

/** A model ready to answer. A row's output does not depend on its batch; a row that is not finite fails alone. */
export interface OnnxModel {
  sha256: string;
  /** What the graph takes, in its order: inputs of the version, and predicted_at if it is used. */
  takes: readonly string[];
  /**
   * @param rows         raw inputs, as decodeRows gives them
   * @param predictedAt  [rows] seconds since 1970
   * @returns for each row its scores and maturesAt, or why there are none
   */
  predict(rows: Columns, predictedAt: Float64Array): Promise<(Output | { failed: string })[]>;
  /** Frees the memory outside JavaScript's heap. After it, predict throws. */
  close(): Promise<void>;
}

/**
 * Opens a model's graph and, given rows, warms it with them: the first runs are slow, because memory is laid out then.
 *
 * @throws {UserError} if the bytes are not those of the hash, or the graph takes what the inputs do not have
 */
export async function openModel(o: {
  bytes: Uint8Array;
  sha256: string;
  inputs: InputSchema;
  warmUp?: { rows: Columns; predictedAt: Float64Array };
}): Promise<OnnxModel> {
  const found = createHash('sha256').update(o.bytes).digest('hex');
  if (found !== o.sha256)
    throw new UserError(
      'CorruptModel',
      `The model's bytes have the hash ${found}, not ${o.sha256}. The file was changed or cut short: fetch it again.`,
    );
  const session = await openSession(o.bytes);
  const strange = session.inputNames.find((name) => name !== 'predicted_at' && !Object.hasOwn(o.inputs, name));
  if (strange !== undefined) {
    await session.release();
    throw new UserError('WrongModel', `The graph takes ${strange}, which is not among the version's inputs.`);
  }
  const model: OnnxModel = {
    sha256: o.sha256,
    takes: session.inputNames,
    async predict(rows, predictedAt) {
      if (rows.rows === 0) return [];
      const outputs = await runRows(session, rows, predictedAt, 0, rows.rows);
      return rowOutputs(
        outputs['scores']!.data as Float32Array,
        outputs['matures_at']!.data as Float64Array,
        rows.rows,
      );
    },
    close: () => session.release(),
  };
  try {
    if (o.warmUp && o.warmUp.rows.rows > 0) {
      const one = firstRow(o.warmUp);
      for (let i = 0; i < WARM_UP_RUNS; i++) await model.predict(one.rows, one.predictedAt);
      await model.predict(o.warmUp.rows, o.warmUp.predictedAt);
    }
    return model;
  } catch (error) {
    await model.close();
    throw error;
  }
}

const WARM_UP_RUNS = 20;

function rowOutputs(scores: Float32Array, maturesAt: Float64Array, rows: number): (Output | { failed: string })[] {
  const width = scores.length / rows;
  const outputs: (Output | { failed: string })[] = [];
  for (let r = 0; r < rows; r++) {
    const own: number[] = [];
    for (let k = r * width; k < (r + 1) * width; k++) own.push(scores[k]!);
    if (!own.every(Number.isFinite)) outputs.push({ failed: `the score is ${own.join(', ')}, not a finite number` });
    else outputs.push({ scores: own, maturesAt: maturesAt[r]! });
  }
  return outputs;
}

function firstRow({ rows, predictedAt }: { rows: Columns; predictedAt: Float64Array }): {
  rows: Columns;
  predictedAt: Float64Array;
} {
  const columns = Object.fromEntries(Object.entries(rows.columns).map(([name, column]) => [name, column.slice(0, 1)]));
  return { rows: { rows: 1, columns }, predictedAt: predictedAt.slice(0, 1) };
}

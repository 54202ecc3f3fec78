import type { Stores } from '../../bucket/index.ts';
import { decodeRows, openModel, type OnnxModel } from '../../onnx/index.ts';
import type { ModelVersion, RawRow } from '../../schemas/index.ts';

/** Rows through ONNX Runtime at once: some milliseconds of the event loop. */
export const BATCH_ROWS = 2_048;

/** What of a version scoring needs. */
export type Scored = Pick<ModelVersion, 'inputs'> & { onnx: { sha256: string } };

/** All finite; null: the graph was asked, and gives none; undefined: lost, nobody answered. */
export type Score = number[] | null | undefined;

/** Scores raw rows in ONNX Runtime, as serving does, and passes over what it cannot. */
export interface Scorer {
  /** Whatever it is asked from now on is lost. */
  readonly gaveUp: boolean;
  /** Why rows were lost, if any were. */
  readonly lost: string | undefined;
  /**
   * @param rows         inputs as they are logged (personal ones hashed); null: shed
   * @param predictedAt  [rows] seconds since 1970
   * @returns            [rows] its scores
   */
  score(rows: readonly (RawRow | null)[], predictedAt: Float64Array): Promise<Score[]>;
  close(): Promise<void>;
}

export async function openScorer(stores: Pick<Stores, 'objects'>, { onnx, inputs }: Scored): Promise<Scorer> {
  return scorerOf({ bytes: await stores.objects.read(onnx.sha256), sha256: onnx.sha256, inputs });
}

/** The same, of bytes that are at hand. */
export async function scorerOf(o: {
  bytes: Uint8Array;
  sha256: string;
  inputs: ModelVersion['inputs'];
}): Promise<Scorer> {
  const { inputs } = o;
  const model = await openModel(o);
  const names = Object.keys(inputs);
  return {
    gaveUp: false,
    lost: undefined,
    async score(rows, predictedAt) {
      const scores: Score[] = Array.from({ length: rows.length }, () => null);
      for (let from = 0; from < rows.length; from += BATCH_ROWS) {
        const places: number[] = [];
        const own: RawRow[] = [];
        for (let i = from; i < Math.min(from + BATCH_ROWS, rows.length); i++) {
          if (rows[i] === null) continue;
          places.push(i);
          own.push(only(rows[i]!, names));
        }
        await scoreBatch(model, inputs, own, places, predictedAt, scores);
        // ONNX Runtime holds the event loop while it runs.
        await new Promise((done) => setImmediate(done));
      }
      return scores;
    },
    close: () => model.close(),
  };
}

/** What another version takes beside is nothing to this one. */
function only(row: RawRow, names: readonly string[]): RawRow {
  const own: RawRow = {};
  for (const name of names) if (Object.hasOwn(row, name)) own[name] = row[name]!;
  return own;
}

/** A batch that is refused as a whole is halved until each row stands or falls by itself. */
async function scoreBatch(
  model: OnnxModel,
  inputs: ModelVersion['inputs'],
  rows: readonly RawRow[],
  places: readonly number[],
  predictedAt: Float64Array,
  into: Score[],
): Promise<void> {
  if (rows.length === 0) return;
  const decoded = decodeRows(inputs, [...rows], { personal: 'hashed' });
  if (decoded.ok) {
    const times = Float64Array.from(places, (place) => predictedAt[place]!);
    const outputs = await model.predict(decoded.columns, times).catch(() => undefined);
    if (outputs) {
      outputs.forEach((output, i) => {
        if (!('failed' in output)) into[places[i]!] = output.scores;
      });
      return;
    }
  }
  if (rows.length === 1) return;
  const half = rows.length >> 1;
  await scoreBatch(model, inputs, rows.slice(0, half), places.slice(0, half), predictedAt, into);
  await scoreBatch(model, inputs, rows.slice(half), places.slice(half), predictedAt, into);
}

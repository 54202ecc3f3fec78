import { join } from 'node:path';
import type { Stores } from '../../bucket/index.ts';
import { decodeRows, openModel, type OnnxModel } from '../../onnx/index.ts';
import { isPiiInput, type ModelVersion, type RawRow, type ShadowEvidence } from '../../schemas/index.ts';
import {
  addScores,
  findUnscored,
  openScoreAppender,
  readUnscored,
  writeScores,
  type Database,
} from '../../sql/index.ts';
import { reportProgress } from '../guard.ts';

/** Rows in memory at once. */
const ROWS_AT_ONCE = 16_384;
/** Rows through ONNX Runtime at once: some milliseconds of the event loop. */
const BATCH_ROWS = 2_048;
/** Objects that hold scores, before they are made one again. */
const MOST_PARTS = 16;

/** What of a version scoring needs. */
export type Scored = Pick<ModelVersion, 'inputs'> & { onnx: { sha256: string } };
export type ScoreParts = ShadowEvidence['scores'];

/**
 * Scores every answer of a window with both versions, whoever answered it, on the inputs as they were logged; rows that a
 * look before has scored are not scored again. Leaves the table TRIAL_SCORES in the database.
 *
 * A row whose inputs were shed, do not fit the version, or give no finite score has no scores: that is never an error.
 * Memory is bounded by rows at once, whatever the log's length.
 *
 * @param before   parts of looks before, and the local files of each
 * @param scratch  the database's writable folder
 * @returns        parts with what is new: at most 16
 */
export async function scoreLog(
  { stores }: { stores: Stores },
  db: Database,
  o: {
    champion: Scored;
    challenger: Scored;
    from: Date;
    asOf: Date;
    before: { parts: ScoreParts; files: readonly string[] };
    scratch: string;
    /** false: the scores are in the database, and in no object. */
    keep?: false;
  },
): Promise<ScoreParts> {
  const { champion, challenger, before, scratch } = o;
  const of = await findUnscored(db, before.files, o);
  if (of === 0) return before.parts;
  const scorers: Scorer[] = [];
  const appender = await openScoreAppender(db);
  try {
    for (const version of [champion, challenger]) scorers.push(await openScorer(stores, version));
    let done = 0;
    for await (const rows of readUnscored(db, of, ROWS_AT_ONCE)) {
      const raw = rows.inputs.map((inputs) => (inputs === null ? null : (JSON.parse(inputs) as RawRow)));
      const [ofChampion, ofChallenger] = [
        await scorers[0]!.score(raw, rows.predictedAt),
        await scorers[1]!.score(raw, rows.predictedAt),
      ];
      addScores(appender, rows, ofChampion, ofChallenger);
      done += raw.length;
      reportProgress({ done, of });
    }
  } finally {
    appender.closeSync();
    for (const scorer of scorers) await scorer.close();
  }
  if (o.keep === false) return before.parts;
  const whole = before.parts.length >= MOST_PARTS;
  const to = join(scratch, 'fresh-scores.parquet');
  const rows = await writeScores(db, { to, whole });
  const { sha256 } = await stores.objects.put({ file: to });
  return [...(whole ? [] : before.parts), { sha256, rows }];
}

/** Scores raw rows in ONNX Runtime, as serving does, and passes over what it cannot. */
export interface Scorer {
  /**
   * @param rows         inputs as they are logged (personal ones hashed); null: shed
   * @param predictedAt  [rows] seconds since 1970
   * @returns            [rows] its scores, all finite, or null
   */
  score(rows: readonly (RawRow | null)[], predictedAt: Float64Array): Promise<(number[] | null)[]>;
  close(): Promise<void>;
}

export async function openScorer(stores: Pick<Stores, 'objects'>, { onnx, inputs }: Scored): Promise<Scorer> {
  const model = await openModel({ bytes: await stores.objects.read(onnx.sha256), sha256: onnx.sha256, inputs });
  const names = Object.keys(inputs);
  return {
    async score(rows, predictedAt) {
      const scores: (number[] | null)[] = Array.from({ length: rows.length }, () => null);
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
  into: (number[] | null)[],
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

/** Why two versions cannot be held against each other on one log, if so. */
export function whyNotComparable(champion: ModelVersion, challenger: ModelVersion): string | undefined {
  const names = `version ${champion.n} and version ${challenger.n}`;
  if (champion.task !== challenger.task)
    return `${names} answer different questions: ${champion.task} and ${challenger.task}`;
  const personal = (version: ModelVersion) =>
    new Set(Object.keys(version.inputs).filter((name) => isPiiInput(version.inputs[name]!)));
  const [ours, theirs] = [personal(challenger), personal(champion)];
  const onlyOne = Object.keys(challenger.inputs).find(
    (name) => champion.inputs[name] && ours.has(name) !== theirs.has(name),
  );
  if (onlyOne !== undefined)
    return `${onlyOne} is personal to only one of ${names}, so the rows that the one was asked cannot be scored by the other`;
  const [key, otherKey] = [challenger.serving?.piiKey, champion.serving?.piiKey];
  if (ours.size > 0 && key !== otherKey)
    return `the personal inputs of ${names} (${[...ours].join(', ')}) were hashed under different keys`;
  return undefined;
}

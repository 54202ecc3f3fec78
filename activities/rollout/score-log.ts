import { join } from 'node:path';
import type { Stores } from '../../bucket/index.ts';
import { type ModelVersion, type RawRow, type ShadowEvidence } from '../../schemas/index.ts';
import {
  addScores,
  findUnscored,
  openScoreAppender,
  readUnscored,
  writeScores,
  type Database,
} from '../../sql/index.ts';
import { reportProgress } from '../guard.ts';
import { openChildScorer } from './child-scorer.ts';
import { openScorer, type Scored, type Scorer } from './scorer.ts';

/** Rows in memory at once. */
const ROWS_AT_ONCE = 16_384;
/** Objects that hold scores, before they are made one again. */
const MOST_PARTS = 16;

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
    scorers.push(await openScorer(stores, champion));
    // A run of a graph holds its whole process: nobody knows yet what the challenger does.
    scorers.push(await openChildScorer(stores, challenger));
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

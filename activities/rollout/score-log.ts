import { Context as ActivityContext } from '@temporalio/activity';
import { join } from 'node:path';
import type { RawRow, ShadowEvidence } from '../../schemas/index.ts';
import {
  addScores,
  findUnscored,
  openScoreAppender,
  readUnscored,
  writeScores,
  type Database,
} from '../../sql/index.ts';
import type { Context } from '../context.ts';
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
 * A row whose inputs were shed, do not fit the version, or give no finite score has no scores: that is never an error, and
 * is kept. A row that was lost, because a process hung, crashed or took too much memory, is left out: it counts as without
 * a score this time, and the next look tries it again.
 *
 * Memory is bounded by rows at once, whatever the log's length. Cancelled, it stops between two batches at the latest.
 *
 * @param before   parts of looks before, and the local files of each
 * @param scratch  the database's writable folder
 * @returns        parts with what is new: at most 16
 */
export async function scoreLog(
  { stores, challengerMb: limitMb }: Pick<Context, 'stores' | 'challengerMb'>,
  db: Database,
  o: {
    champion: Scored;
    challenger: Scored;
    from: Date;
    asOf: Date;
    before: { parts: ScoreParts; files: readonly string[] };
    scratch: string;
    /** The champion has served, so that its graph may run in this process. A run of any other holds one of its own. */
    hasServed: boolean;
    /** false: the scores are in the database, and in no object. */
    keep?: false;
  },
): Promise<ScoreParts> {
  const { champion, challenger, before, scratch } = o;
  const of = await findUnscored(db, before.files, o);
  if (of === 0) return before.parts;
  const scorers: Scorer[] = [];
  const { cancellationSignal: signal, log } = ActivityContext.current();
  const appender = await openScoreAppender(db);
  let kept = 0;
  try {
    scorers.push(
      o.hasServed ? await openScorer(stores, champion) : await openChildScorer(stores, champion, { limitMb, signal }),
    );
    scorers.push(await openChildScorer(stores, challenger, { limitMb, signal }));
    let done = 0;
    for await (const rows of readUnscored(db, of, ROWS_AT_ONCE)) {
      signal.throwIfAborted();
      const raw = rows.inputs.map((inputs) => (inputs === null ? null : (JSON.parse(inputs) as RawRow)));
      const [ofChampion, ofChallenger] = [
        await scorers[0]!.score(raw, rows.predictedAt),
        await scorers[1]!.score(raw, rows.predictedAt),
      ];
      kept += addScores(appender, rows, ofChampion, ofChallenger);
      done += raw.length;
      reportProgress({ done, of });
      if (scorers.some(({ gaveUp }) => gaveUp)) break;
    }
    const lost = scorers.map((scorer) => scorer.lost).find((because) => because !== undefined);
    if (lost !== undefined)
      log.warn(`${of - kept} of ${of} rows got no score this time: the process that scores was ended, ${lost}`);
  } finally {
    appender.closeSync();
    for (const scorer of scorers) await scorer.close();
  }
  if (o.keep === false || kept === 0) return before.parts;
  const whole = before.parts.length >= MOST_PARTS;
  const to = join(scratch, 'fresh-scores.parquet');
  const rows = await writeScores(db, { to, whole });
  const { sha256 } = await stores.objects.put({ file: to });
  return [...(whole ? [] : before.parts), { sha256, rows }];
}

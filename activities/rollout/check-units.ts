import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { maySplitByUnit, type UnitsAnswer } from '../../policies/index.ts';
import type { OpenRollout } from '../../schemas/index.ts';
import { createLogViews, openDatabase } from '../../sql/index.ts';
import type { Context } from '../context.ts';

const DAY_MS = 86_400_000;
const DAYS = 7;
/** No more than this, in whole hours, newest first: of so many the largest share is known well enough. */
const ENOUGH_ANSWERS = 1_000_000;

/**
 * Whether one unit has so much of the model's traffic that a canary could not be judged; by the answers of the last 7 days
 * in the log. It changes nothing: safe to repeat.
 *
 * @param stage  the first canary stage at this place or after it is meant
 * @param now    the workflow's
 */
export const createCheckUnits = (context: Context) => ({
  async checkUnits(rollout: OpenRollout, stage: number, now: string): Promise<UnitsAnswer> {
    const canary = rollout.stages.slice(stage).find(({ kind }) => kind === 'canary');
    if (canary?.kind !== 'canary') return { ok: true, line: 'there is no canary stage' };
    const from = new Date(Date.parse(now) - DAYS * DAY_MS);
    const { first, ...counted } = await countUnits(context, rollout.model, from);
    const since = (first ?? from).toISOString().slice(0, 16).replace('T', ' ');
    return maySplitByUnit({ weight: canary.weight, since, ...counted });
  },
});

/** Answers since a time, and those of the unit that has most of them; `first` is when the ones that were read begin. */
async function countUnits(
  { stores: { logHours }, home }: Context,
  model: string,
  from: Date,
): Promise<{ answers: number; largest: number; first?: Date }> {
  const scratch = await mkdtemp(join(home, 'scratch-'));
  try {
    const files: { raw: string[]; parquet: string[] } = { raw: [], parquet: [] };
    let known = 0;
    for (const listed of (await logHours.list({ from })).toReversed()) {
      const isOwn = (name: string, rows: { answers: number }): boolean => {
        if (name !== model) return false;
        known += rows.answers;
        return true;
      };
      const { rows, segments } = await logHours.hour(listed, isOwn, scratch);
      files.parquet.push(...rows.map(({ path }) => path));
      files.raw.push(...segments.map(({ path }) => path));
      if (known >= ENOUGH_ANSWERS) break;
    }
    if (files.raw.length + files.parquet.length === 0) return { answers: 0, largest: 0 };
    const db = await openDatabase({ files: [...files.raw, ...files.parquet], tempDirectory: scratch });
    try {
      await createLogViews(db, model, files);
      // A request that names no unit is one of its own, whatever the number of its rows.
      const [counted] = await db.rowsOf(`
        WITH units AS (
          SELECT count(*) AS answers, bool_and(unit = request_id) AS is_request, epoch_ms(min(answered_at)) AS first_ms
          FROM answers WHERE answered_at >= make_timestamp(${from.getTime() * 1000}::BIGINT) GROUP BY unit
        )
        SELECT coalesce(sum(answers), 0)::BIGINT AS answers, min(first_ms) AS first_ms,
          coalesce(max(answers) FILTER (WHERE NOT is_request), 0) AS largest
        FROM units`);
      const [answers, largest] = [Number(counted!['answers']), Number(counted!['largest'])];
      return { answers, largest, ...(answers > 0 && { first: new Date(Number(counted!['first_ms'])) }) };
    } finally {
      db.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

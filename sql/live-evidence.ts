import type { LiveEvidence, ScoreHistogram } from '../schemas/index.ts';
import type { Database } from './database.ts';
import { identifier } from './quote.ts';
import { TRIAL_SCORES } from './trial-scores.ts';

/** Records of the last seconds may be on their way: a score that is missing yet is not counted as dropped. */
const UNDER_WAY_SECONDS = 10;
/** Both come of float32; of larger scores the same share. */
const AGREES_WITHIN = 1e-6;

/**
 * What the challenger said beside live traffic, over the views of `createLogViews` and the batch's scores.
 *
 *   grain      one row of one answer that was given under a revision with this shadow
 *   time rule  answered_at (the server's clock, whatever the event's time) before the shadow's `until`; of the last seconds
 *              only rows with a score
 */
export async function measureLive(
  db: Database,
  o: { challenger: number; revisions: readonly { n: number; until: string }[]; sloMs?: number | undefined },
): Promise<Pick<LiveEvidence, 'due' | 'scored' | 'failed' | 'slow' | 'compared' | 'apart' | 'droppedShift'>> {
  const isApart = `len(live) <> len(batch) OR list_bool_or(list_transform(list_zip(live, batch),
    lambda pair: abs(pair[1] - pair[2]) > ${AGREES_WITHIN} * greatest(1, abs(pair[2]))))`;
  const [found] = await db.rowsOf(`
    WITH revisions(revision, until) AS (VALUES ${o.revisions.map(({ n, until }) => `(${n}, TIMESTAMP '${new Date(until).toISOString().slice(0, -1)}')`).join(', ')}),
    shadowed AS (
      SELECT a.* FROM answers AS a JOIN revisions AS r USING (revision) WHERE a.answered_at < r.until
    ), due AS (
      SELECT s.request_id IS NOT NULL AS is_scored, s.failed_why, s.graph_ms, s.scores AS live, b.challenger AS batch,
        CASE WHEN abs(b.champion[1]) <= 1e150 THEN b.champion[1] END AS champion
      FROM shadowed AS a
      LEFT JOIN (SELECT * FROM shadow_scores WHERE version = ${o.challenger}) AS s USING (request_id, "row")
      LEFT JOIN ${TRIAL_SCORES} AS b USING (request_id, "row")
      WHERE s.request_id IS NOT NULL
        OR a.answered_at <= (SELECT max(answered_at) - to_seconds(${UNDER_WAY_SECONDS}) FROM shadowed)
    )
    SELECT count(*) AS due, count(*) FILTER (WHERE is_scored) AS scored,
      count(*) FILTER (WHERE is_scored AND failed_why IS NOT NULL) AS failed,
      count(*) FILTER (WHERE is_scored AND graph_ms > ${o.sloMs ?? 'NULL'}) AS slow,
      count(*) FILTER (WHERE live IS NOT NULL AND batch IS NOT NULL) AS compared,
      count(*) FILTER (WHERE live IS NOT NULL AND batch IS NOT NULL AND (${isApart})) AS apart,
      avg(champion) FILTER (WHERE NOT is_scored) AS dropped, avg(champion) FILTER (WHERE is_scored) AS kept,
      stddev_pop(champion) AS sd
    FROM due`);
  const { dropped, kept, sd, ...counts } = found as unknown as Record<string, number>;
  const shift = (dropped! - kept!) / sd!;
  const isKnown = dropped !== null && kept !== null;
  return {
    ...(counts as unknown as Pick<LiveEvidence, 'due' | 'scored' | 'failed' | 'slow' | 'compared' | 'apart'>),
    droppedShift: !isKnown ? null : dropped === kept ? 0 : Number.isFinite(shift) ? shift : null,
  };
}

const BINS = 10;
const LATELY = identifier('scores of late');

/**
 * The challenger's scores (its first class, or value) on requests since a time, in ten bins between its own deciles; equal
 * edges are one. A score at an edge is in the upper bin.
 */
export async function scoreHistogram(
  db: Database,
  { since, asOf }: { since: Date; asOf: Date },
): Promise<ScoreHistogram | undefined> {
  await db.run(`
    CREATE OR REPLACE TEMP TABLE ${LATELY} AS SELECT challenger[1] AS x FROM answers JOIN ${TRIAL_SCORES} USING (request_id, "row")
    WHERE event_at >= ${timestamp(since)} AND event_at < ${timestamp(asOf)} AND isfinite(challenger[1])`);
  const deciles = Array.from({ length: BINS - 1 }, (_, i) => (i + 1) / BINS);
  const { columns } = await db.columns(
    `SELECT unnest(quantile_disc(x, [${deciles.join(', ')}])) AS edge FROM ${LATELY}`,
  );
  const edges = [...new Set((columns['edge'] as Float64Array).filter((edge) => !Number.isNaN(edge)))];
  if (edges.length === 0) return undefined;
  const bin = edges.map((edge) => `(x >= ${edge}::DOUBLE)::INTEGER`).join(' + ');
  const counts = new Array<number>(edges.length + 1).fill(0);
  for (const { bin: i, n } of await db.rowsOf(`SELECT ${bin} AS bin, count(*) AS n FROM ${LATELY} GROUP BY bin`))
    counts[i as number] = n as number;
  return { edges, counts };
}

const timestamp = (at: Date): string => `make_timestamp(${at.getTime() * 1000}::BIGINT)`;

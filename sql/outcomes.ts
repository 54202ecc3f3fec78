import type { LabelSpec, Task } from '../schemas/index.ts';
import type { Database } from './database.ts';
import { identifier } from './quote.ts';

/** What the join needs to know of a model. */
export interface LabelTerms extends Pick<LabelSpec, 'window' | 'absent'> {
  task: Task;
  /** So long past maturing a row is due; default 0. Labels that come by a nightly import are a little late. */
  graceMs?: number;
}

/**
 * Answers ⋈ labels, and shadow scores ⋈ these: the one join that trials, performance and retraining read. Stands on the
 * views of `createLogViews`, and makes two more.
 *
 * `outcomes`: one row per answer, with all its columns and
 *
 *   label       what came true as far as was known at `asOf`: DOUBLE (binary: 1 or 0; regression), VARCHAR (multiclass), or NULL
 *   label_id    the label that says so; NULL where it is silence that says so
 *   known_at    when that was known: the label's, or matures_at of silence
 *   state       labelled | pending (no label yet) | overdue (matured without one) | absent (matured, and silence is the answer)
 *   matured     matures_at < asOf, less the grace. The unbiased set is `matured AND label IS NOT NULL`: labels that come early are not those
 *               that come late.
 *
 * `shadow_outcomes`: the same columns, once per shadow score of the answer, with shadow_version, shadow_revision, shadow_scores,
 * shadow_prediction, shadow_graph_ms, shadow_latency_ms, shadow_failed_why and scored_at.
 *
 * Which label counts:
 *
 * 1. What is known after `asOf` does not exist yet, nor does what it supersedes end. A value that is none of the task does
 *    not exist either.
 * 2. A label that another one supersedes is out, so of a chain the newest is left. Of a ring none is.
 * 3. A withdrawal that names what it supersedes ends with that. One that names nothing is held against its target as
 *    labels are, and being known last it leaves the target without a label.
 * 4. A label by request belongs to the answer of that request and row (0 where it names none). One by entity belongs to
 *    every answer of that entity whose window holds the time it happened: from the event to the event + window (to matures_at
 *    where there is no window; an answer with neither takes none), closed at both ends, by calendar days (UTC) where either
 *    stamp is only a day.
 * 5. Of several for one answer the one known last counts; of these the one received last; of these the largest label id.
 *
 * @param asOf  what is known: evidence time, never a clock that the caller did not mean
 */
export async function createOutcomes(db: Database, terms: LabelTerms, asOf: Date): Promise<void> {
  const at = timestamp(asOf);
  const none = terms.task === 'multiclass' ? 'NULL::VARCHAR' : 'NULL::DOUBLE';
  await db.run(`
    CREATE OR REPLACE TEMP TABLE ${ALL} AS
    SELECT label_id, request_id, coalesce("row", 0) AS "row", entity, happened_at, happened_resolution, supersedes, known_at,
      received_at, value_kind = 'withdrawn' AS withdrawn, ${labelOf(terms.task)} AS label,
      CASE WHEN known_at > ${at} THEN 'later' WHEN withdrawn OR label IS NOT NULL THEN 'usable' ELSE 'unusable' END AS fate
    FROM labels`);
  await db.run(`CREATE OR REPLACE TEMP VIEW ${USABLE} AS SELECT * FROM ${ALL} WHERE fate = 'usable'`);
  await db.run(`
    CREATE OR REPLACE TEMP TABLE ${HEADS} AS
    SELECT * FROM ${USABLE} AS l
    WHERE NOT (withdrawn AND supersedes IS NOT NULL)
      AND NOT EXISTS (SELECT 1 FROM ${USABLE} AS s WHERE s.supersedes = l.label_id AND s.label_id <> l.label_id)`);
  const { byRequest, byEntity } = labelTargets(terms);
  const found = `h.label_id, h.known_at, h.received_at, h.withdrawn, h.label`;
  await db.run(`
    CREATE OR REPLACE TEMP TABLE ${MATCHES} AS
    SELECT a.request_id, a."row", ${found} FROM answers AS a JOIN ${HEADS} AS h
      ON ${byRequest}
    UNION ALL
    SELECT a.request_id, a."row", ${found} FROM answers AS a JOIN ${HEADS} AS h
      ON ${byEntity}`);
  await db.run(`
    CREATE OR REPLACE TEMP TABLE ${CHOSEN} AS
    SELECT request_id, "row", label, label_id, known_at FROM (
      FROM ${MATCHES} QUALIFY row_number() OVER (
        PARTITION BY request_id, "row" ORDER BY known_at DESC, received_at DESC, label_id DESC) = 1)
    WHERE NOT withdrawn`);
  const matured = `coalesce(a.matures_at < ${timestamp(new Date(asOf.getTime() - (terms.graceMs ?? 0)))}, false)`;
  const silence = { missing: none, negative: '0::DOUBLE', positive: '1::DOUBLE' }[terms.absent];
  const isAbsent = `c.label_id IS NULL AND ${matured}`;
  await db.run(`
    CREATE OR REPLACE TEMP VIEW outcomes AS
    SELECT a.*,
      ${terms.absent === 'missing' ? 'c.label' : `CASE WHEN ${isAbsent} THEN ${silence} ELSE c.label END`} AS label,
      c.label_id,
      ${terms.absent === 'missing' ? 'c.known_at' : `CASE WHEN ${isAbsent} THEN a.matures_at ELSE c.known_at END`} AS known_at,
      CASE WHEN c.label_id IS NOT NULL THEN 'labelled' WHEN ${matured} THEN '${terms.absent === 'missing' ? 'overdue' : 'absent'}'
        ELSE 'pending' END AS state,
      ${matured} AS matured
    FROM answers AS a LEFT JOIN ${CHOSEN} AS c USING (request_id, "row")`);
  await db.run(`
    CREATE OR REPLACE TEMP VIEW shadow_outcomes AS
    SELECT o.*, s.version AS shadow_version, s.revision AS shadow_revision, s.scores AS shadow_scores,
      s.prediction AS shadow_prediction, s.graph_ms AS shadow_graph_ms, s.latency_ms AS shadow_latency_ms,
      s.failed_why AS shadow_failed_why, s.scored_at
    FROM shadow_scores AS s JOIN outcomes AS o USING (request_id, "row")`);
}

/** Rule 4, as conditions on an answer `a` and a label `h`. */
export function labelTargets({ window }: Pick<LabelTerms, 'window'>): { byRequest: string; byEntity: string } {
  const until = window === undefined ? 'a.matures_at' : `a.event_at + ${interval(window)}`;
  return {
    byRequest: `h.request_id = a.request_id AND coalesce(h."row", 0) = a."row"`,
    byEntity: `h.request_id IS NULL AND h.entity = a.entity AND CASE
        WHEN a.event_resolution = 'day' OR h.happened_resolution = 'day'
        THEN h.happened_at::DATE BETWEEN a.event_at::DATE AND (${until})::DATE
        ELSE h.happened_at BETWEEN a.event_at AND ${until} END`,
  };
}

/** How many of each, for the looks and for people. */
export interface OutcomeCounts {
  answers: number;
  labelled: number;
  pending: number;
  overdue: number;
  absent: number;
  matured: number;
  shadowScores: number;
  /** Shadow scores whose answer is not there (yet). */
  shadowsWithoutAnswer: number;
  /** Labels known at `asOf`, withdrawals included. */
  labels: number;
  /** Labels that were known only after `asOf`. */
  notYetKnown: number;
  /** Labels whose value is none of the task. */
  unusable: number;
  /** Labels that another one took the place of. */
  superseded: number;
  /** Withdrawals. */
  withdrawn: number;
  /** Answers whose labels say different things, and none of these supersedes the other. */
  contradicting: number;
  /** Labels of no answer that is there: they count as soon as it is. */
  unknown: number;
}

/** Of what `createOutcomes` made last. */
export async function countOutcomes(db: Database): Promise<OutcomeCounts> {
  const [counted] = await db.rowsOf(`
    SELECT * FROM
      (SELECT count(*) AS answers, ${STATES.map((state) => `count(*) FILTER (WHERE state = '${state}') AS ${state}`).join(', ')},
        count(*) FILTER (WHERE matured) AS matured FROM outcomes),
      (SELECT count(*) AS "shadowScores", count(*) FILTER (WHERE a.request_id IS NULL) AS "shadowsWithoutAnswer"
        FROM shadow_scores LEFT JOIN answers AS a USING (request_id, "row")),
      (SELECT count(*) FILTER (WHERE fate = 'usable') AS labels, count(*) FILTER (WHERE fate = 'later') AS "notYetKnown",
        count(*) FILTER (WHERE fate = 'unusable') AS unusable FROM ${ALL}),
      (SELECT count(*) FILTER (WHERE withdrawn) AS withdrawn, count(*) FILTER (WHERE EXISTS (
        SELECT 1 FROM ${USABLE} AS s WHERE s.supersedes = l.label_id AND s.label_id <> l.label_id)) AS superseded FROM ${USABLE} AS l),
      (SELECT count(*) AS contradicting FROM (SELECT 1 FROM ${MATCHES} WHERE NOT withdrawn GROUP BY request_id, "row"
        HAVING count(DISTINCT label) > 1)),
      (SELECT count(*) AS unknown FROM ${HEADS} AS h ANTI JOIN ${MATCHES} AS m USING (label_id) WHERE NOT h.withdrawn)`);
  return counted as unknown as OutcomeCounts;
}

const STATES = ['labelled', 'pending', 'overdue', 'absent'];

// Spaces keep them clear of everybody's names.
const ALL = identifier('all labels');
const USABLE = identifier('usable labels');
const HEADS = identifier('labels that count');
const MATCHES = identifier('labels of answers');
const CHOSEN = identifier('label of each answer');

/** A label's value as the task has it; NULL where it is none. */
function labelOf(task: Task): string {
  if (task === 'multiclass') return 'value';
  if (task === 'binary')
    return `CASE WHEN lower(value) IN ('true', 'false') THEN (lower(value) = 'true')::DOUBLE WHEN TRY_CAST(value AS DOUBLE) IN (0, 1) THEN TRY_CAST(value AS DOUBLE) END`;
  return `CASE WHEN value_kind <> 'boolean' AND isfinite(TRY_CAST(value AS DOUBLE)) THEN TRY_CAST(value AS DOUBLE) END`;
}

function interval(duration: string): string {
  const [amount, unit] = duration.split(' ');
  return `to_microseconds(${Math.round(Number(amount) * SECONDS[unit!.replace(/s$/, '')]! * 1e6)})`;
}

const SECONDS: Record<string, number> = { second: 1, minute: 60, hour: 3600, day: 86_400, week: 604_800 };

const timestamp = (at: Date): string => `make_timestamp(${at.getTime() * 1000}::BIGINT)`;

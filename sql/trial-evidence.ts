import {
  FIRST_MONDAY_MS,
  type EvidenceCell,
  type Loss,
  type MaturityCell,
  type ShadowStage,
  type Task,
} from '../schemas/index.ts';
import type { Database } from './database.ts';
import { identifier, literal } from './quote.ts';
import { doublesOf } from './vectors.ts';

/** What a trial is about, as its plan has it. */
export interface TrialTerms extends Pick<ShadowStage, 'guardrails' | 'slices' | 'block'> {
  task: Task;
  loss: Loss;
  strataEdgesDays: readonly number[];
  /** multiclass: in the order of each version's probabilities. */
  classes?: { champion: readonly string[]; challenger: readonly string[] };
  from: Date;
  asOf: Date;
  /** Loss is summed once more over rows that had matured by then. */
  dueBy?: Date;
  /** Rows that had matured by then are settled: no label of theirs is expected any more. */
  settledBy?: Date;
}

export interface TrialSums {
  maturity: MaturityCell[];
  cells: EvidenceCell[];
  undated: { block: number; rows: number }[];
  lastRequestAt?: string;
  /** Loss over the rows that were due at `dueBy`, by block and stratum. */
  due: { block: number; stratum: number; rows: number; sum: number }[];
}

const ROWS = identifier('rows of the trial');
const WEEK_MS = 604_800_000;
const DAY_MS = 86_400_000;
const CLIP = 1e-6;
/** The square of a larger one, summed over a hundred million rows, is not finite. */
const LARGEST = 1e150;

/**
 * Sums of a trial by block of prediction time and horizon stratum, over the view `outcomes` that `createOutcomes` made as
 * of `asOf`, and a table of both versions' scores.
 *
 *   grain       one row of one answer, once; whoever answered it
 *   time rule   event_at in [from, asOf); a row is due when it is `matured` in `outcomes`
 *   evidence    rows that are due AND have an outcome AND have a finite score of both versions: no others, for labels that
 *               come early are not those that come late
 *   block       weeks from Monday, 1970-01-05, or days since 1970, of event_at (UTC)
 *   stratum     how many of the edges (days) are below matures_at - event_at: a row at an edge is in the lower stratum
 *   undated     matures_at is NULL: counted, and in no cell
 *
 * Losses per row, less is better, `loss` and `guardrail.<loss>` are the champion's less the challenger's:
 *
 *   logLoss        -ln p of what came true, p held within [1e-6, 1 - 1e-6]
 *   brier          (y - p)²; multiclass: Σ over classes (y_k - p_k)². A class that a version does not know has p = 0
 *   squaredError   (y - p)²
 *   absoluteError  |y - p|
 *
 * and, of the challenger, `calibration` y - p and `calibrationSlope` (y - p) logit p, p held as above. `slice.<i>` is `loss`
 * over the rows whose input is what the i-th slice names. Rows are added up in the order of their ids, so that the same
 * rows give the same sums to the last bit.
 *
 * @param scores  table of (request_id, "row", champion DOUBLE[], challenger DOUBLE[]), NULL where there is none
 */
export async function measureTrial(db: Database, terms: TrialTerms, scores: string): Promise<TrialSums> {
  const measures = measuresOf(terms);
  await createRows(db, terms, measures, scores);
  const maturity = (await db.rowsOf(`
    SELECT block, stratum, count(*) AS requests, count(*) FILTER (WHERE matured) AS matured,
      count(*) FILTER (WHERE matured AND state IN ('labelled', 'absent')) AS labelled,
      count(*) FILTER (WHERE NOT matured AND state = 'labelled') AS early,
      count(*) FILTER (WHERE state = 'overdue') AS overdue,
      count(*) FILTER (WHERE state = 'overdue' AND matures_at + (matures_at - event_at) <= ${timestamp(terms.asOf)}) AS "twiceOverdue",
      count(*) FILTER (WHERE matured AND NOT scored) AS unscored,
      ${terms.settledBy ? `count(*) FILTER (WHERE matures_at < ${timestamp(terms.settledBy)}) AS settled` : ''}
    FROM ${ROWS} WHERE matures_at IS NOT NULL GROUP BY block, stratum ORDER BY block, stratum`)) as unknown as MaturityCell[];
  const undated = await db.rowsOf(
    `SELECT block, count(*) AS rows FROM ${ROWS} WHERE matures_at IS NULL GROUP BY block ORDER BY block`,
  );
  const [last] = await db.rowsOf(`SELECT epoch_us(max(event_at)) / 1000 AS ms FROM ${ROWS}`);
  const summed = await sumUp(db, measures, terms.slices.length);
  await db.run(`DROP TABLE ${ROWS}`);
  return {
    maturity,
    undated: undated as unknown as TrialSums['undated'],
    ...summed,
    ...(last!['ms'] !== null && { lastRequestAt: new Date(last!['ms'] as number).toISOString() }),
  };
}

/** The block that a time is in. */
export function blockOf(ms: number, block: ShadowStage['block']): number {
  return block === 'week' ? Math.floor((ms - FIRST_MONDAY_MS) / WEEK_MS) : Math.floor(ms / DAY_MS);
}

/** When a block begins, in milliseconds since 1970. */
export function beginOf(n: number, block: ShadowStage['block']): number {
  return block === 'week' ? FIRST_MONDAY_MS + n * WEEK_MS : n * DAY_MS;
}

interface Measure {
  name: string;
  sql: string;
}

function measuresOf(terms: TrialTerms): Measure[] {
  const improvement = (loss: Loss) => `${lossOf(loss, 'champion', terms)} - ${lossOf(loss, 'challenger', terms)}`;
  const guarded = [...new Set(terms.guardrails.map(({ on }) => on))];
  return [
    { name: 'loss', sql: improvement(terms.loss) },
    ...guarded.map((on): Measure => {
      const p = 'challenger[1]';
      if (on === 'calibration') return { name: on, sql: `label - ${p}` };
      if (on === 'calibrationSlope')
        return { name: on, sql: `(label - ${p}) * (ln(${clipped(p)}) - ln(1 - ${clipped(p)}))` };
      return { name: `guardrail.${on}`, sql: improvement(on) };
    }),
  ];
}

function lossOf(loss: Loss, version: 'champion' | 'challenger', { task, classes }: TrialTerms): string {
  const p = `${version}[1]`;
  if (loss === 'squaredError') return `(label - ${p}) * (label - ${p})`;
  if (loss === 'absoluteError') return `abs(label - ${p})`;
  if (task === 'multiclass') {
    const names = classes![version].map(literal).join(', ');
    const ofTruth = `coalesce(${version}[list_position([${names}], label)], 0)`;
    if (loss === 'logLoss') return `-ln(${clipped(ofTruth)})`;
    return `(list_sum(list_transform(${version}, lambda x: x * x)) - 2 * ${ofTruth} + 1)`;
  }
  if (loss === 'logLoss') return `-ln(${clipped(`CASE WHEN label = 1 THEN ${p} ELSE 1 - ${p} END`)})`;
  return `(label - ${p}) * (label - ${p})`;
}

const clipped = (p: string): string => `least(greatest(${p}, ${CLIP}), 1 - ${CLIP})`;

/** One row per row of the trial: where it belongs, whether it is scored, and what it measures. */
async function createRows(
  db: Database,
  terms: TrialTerms,
  measures: readonly Measure[],
  scores: string,
): Promise<void> {
  const { block, strataEdgesDays, slices, from, asOf, dueBy } = terms;
  const eventMs = 'epoch_us(event_at) / 1000';
  const blockSql =
    block === 'week' ? `floor((${eventMs} - ${FIRST_MONDAY_MS}) / ${WEEK_MS})` : `floor(${eventMs} / ${DAY_MS})`;
  const horizon = `(epoch_us(matures_at) - epoch_us(event_at)) / 1000 / ${DAY_MS}`;
  const stratum = ['0', ...strataEdgesDays.map((edge) => `(${horizon} > ${double(edge)})::INTEGER`)].join(' + ');
  const width = (version: 'champion' | 'challenger') =>
    terms.task === 'multiclass' ? terms.classes![version].length : 1;
  const finite = (version: 'champion' | 'challenger') =>
    `coalesce(len(${version}) = ${width(version)} AND list_bool_and(list_transform(${version}, lambda x: x IS NOT NULL AND isfinite(x))), false)`;
  const columns = measures.map(({ sql }, i) => `CASE WHEN both_scored AND label IS NOT NULL THEN ${sql} END AS m${i}`);
  const measurable = measures.map((_, i) => `abs(m${i}) <= ${LARGEST}`).join(' AND ');
  await db.run(`
    CREATE OR REPLACE TEMP TABLE ${ROWS} AS
    WITH placed AS (
      SELECT request_id, "row", event_at, matures_at, matured, state, label, champion, challenger,
        (${blockSql})::INTEGER AS block, (${stratum})::INTEGER AS stratum,
        ${finite('champion')} AND ${finite('challenger')} AS both_scored
        ${slices.map((slice, i) => `, ${isIn(slice)} AS s${i}`).join('')}
      FROM outcomes LEFT JOIN ${scores} USING (request_id, "row")
      WHERE event_at >= ${timestamp(from)} AND event_at < ${timestamp(asOf)}
    ), measured AS (
      SELECT * EXCLUDE (champion, challenger), ${columns.join(', ')} FROM placed
    )
    SELECT *, both_scored AND (label IS NULL OR coalesce(${measurable}, false)) AS scored,
      ${dueBy ? `coalesce(matures_at < ${timestamp(dueBy)}, false)` : 'false'} AS was_due
    FROM measured`);
}

/** As JSON has it: true is not 'true', and 1 is not '1'. */
function isIn({ column, is }: ShadowStage['slices'][number]): string {
  const path = literal(`$."${column}"`);
  const value = `(inputs ->> ${path})`;
  const type = `json_type(inputs, ${path})`;
  if (typeof is === 'string') return `coalesce(${type} = 'VARCHAR' AND ${value} = ${literal(is)}, false)`;
  if (typeof is === 'boolean') return `coalesce(${type} = 'BOOLEAN' AND ${value} = '${is}', false)`;
  return `coalesce(${type} IN ('UBIGINT', 'BIGINT', 'DOUBLE') AND TRY_CAST(${value} AS DOUBLE) = ${double(is)}, false)`;
}

async function sumUp(
  db: Database,
  measures: readonly Measure[],
  slices: number,
): Promise<Pick<TrialSums, 'cells' | 'due'>> {
  const columns = [
    'block::DOUBLE',
    'stratum::DOUBLE',
    'was_due::DOUBLE',
    ...measures.map((_, i) => `m${i}`),
    ...Array.from({ length: slices }, (_, i) => `s${i}::DOUBLE`),
  ];
  const names = [...measures.map(({ name }) => name), ...Array.from({ length: slices }, (_, i) => `slice.${i}`)];
  const cells: EvidenceCell[] = [];
  const due: TrialSums['due'] = [];
  let open: { block: number; stratum: number; sums: Float64Array; wasDue: { rows: number; sum: number } } | undefined;
  const close = (): void => {
    if (!open) return;
    const { block, stratum, sums, wasDue } = open;
    names.forEach((measure, k) => {
      const rows = sums[3 * k]!;
      if (rows > 0)
        cells.push({ measure, block, stratum, rows, sum: sums[3 * k + 1]!, sumOfSquares: sums[3 * k + 2]! });
    });
    if (wasDue.rows > 0) due.push({ block, stratum, ...wasDue });
  };
  const result = await db.connection.stream(`
    SELECT ${columns.join(', ')} FROM ${ROWS} WHERE matured AND scored AND label IS NOT NULL
    ORDER BY block, stratum, request_id, "row"`);
  for (let chunk; (chunk = await result.fetchChunk()) && chunk.rowCount > 0;) {
    const [blocks, strata, wasDue, ...values] = columns.map((_, i) => doublesOf(chunk, i)) as [
      Float64Array,
      Float64Array,
      Float64Array,
      ...Float64Array[],
    ];
    for (let i = 0; i < chunk.rowCount; i++) {
      const [block, stratum] = [blocks[i]!, strata[i]!];
      if (open?.block !== block || open.stratum !== stratum) {
        close();
        open = { block, stratum, sums: new Float64Array(3 * names.length), wasDue: { rows: 0, sum: 0 } };
      }
      for (let k = 0; k < measures.length; k++) addInPlace(open.sums, k, values[k]![i]!);
      const loss = values[0]![i]!;
      for (let k = measures.length; k < names.length; k++) if (values[k]![i] === 1) addInPlace(open.sums, k, loss);
      if (wasDue[i] === 1) open.wasDue = { rows: open.wasDue.rows + 1, sum: open.wasDue.sum + loss };
    }
  }
  close();
  return { cells, due };
}

function addInPlace(sums: Float64Array, k: number, value: number): void {
  sums[3 * k]! += 1;
  sums[3 * k + 1]! += value;
  sums[3 * k + 2]! += value * value;
}

const timestamp = (at: Date): string => `make_timestamp(${at.getTime() * 1000}::BIGINT)`;
const double = (x: number): string => `${x}::DOUBLE`;

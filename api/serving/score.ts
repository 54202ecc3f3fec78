import { route, type RouteAnswer } from '../../policies/index.ts';
import {
  detailOf,
  type AnswerReason,
  type Column,
  type Columns,
  type Failure,
  type ModelVersion,
  type Output,
  type RawRow,
} from '../../schemas/index.ts';
import { ownColumns, type Challengers } from './challengers.ts';
import type { Current } from './follower.ts';
import type { LatencyWindow } from './latency-window.ts';
import { DeadlinePassed, type LoadedModel, type Scored } from './loaded-model.ts';

/** How one row was answered. */
export interface ScoredRow {
  routed: RouteAnswer;
  reason: AnswerReason;
  /** What answered, or failed to. */
  version: ModelVersion;
  output: Output | undefined;
  /** What failed on the way: the canary, or the version itself where there is no output. */
  failed: Failure | undefined;
  /** Where a canary failed, and the champion after it. */
  championFailed?: Failure | undefined;
  graphMs: number;
}

export interface ScoreRequest {
  current: Current;
  /** Decoded by the champion's inputs. */
  columns: Columns;
  /** Rows as they are kept: for a challenger whose inputs are not the champion's. */
  kept: { inputs(i: number): RawRow };
  /** [rows] */
  units: readonly string[];
  /** [rows] seconds since 1970 */
  predictedAt: Float64Array;
  nowMs: number;
  /** performance.now() after which the caller does not wait any more */
  giveUpAt: number;
  /** Of the champion: by it a canary's deadline goes, where model.yaml has none. */
  championMs: LatencyWindow | undefined;
  challengers: Challengers;
  /** The version that a person asked for by name, and what has it. */
  forced?: { version: number; model?: LoadedModel };
}

/**
 * Answers the rows, each by the version that its unit is assigned to. Whatever becomes of a canary, the champion answers
 * its rows in the same request: a failing canary costs nobody an answer.
 */
export function score(request: ScoreRequest): Promise<ScoredRow[]> {
  const { current, units, nowMs, forced } = request;
  const routed: RouteAnswer[] = [];
  const canaryRows: number[] = [];
  for (const unit of units) {
    const answer = route(current.revision.serving, unit, nowMs, forced?.version)!;
    if (answer.assigned === 'canary') canaryRows.push(routed.length);
    routed.push(answer);
  }
  if (forced) return forceRows(request, routed);
  if (canaryRows.length === 0) return championRows(request, routed);
  // A rollback may retire the champion while its canary is waited for.
  return current.model.hold(() => splitRows(request, routed, canaryRows));
}

async function splitRows(
  request: ScoreRequest,
  routed: readonly RouteAnswer[],
  canaryRows: readonly number[],
): Promise<ScoredRow[]> {
  const { columns } = request;
  const rest = routed.flatMap(({ assigned }, i) => (assigned === 'canary' ? [] : i));
  const rows: ScoredRow[] = Array.from({ length: columns.rows });
  const [canary, champion] = await Promise.all([
    canaryScores(request, routed, canaryRows),
    rest.length > 0
      ? championRows(
          taken(request, rest),
          rest.map((i) => routed[i]!),
        )
      : [],
  ]);
  rest.forEach((i, k) => (rows[i] = champion[k]!));
  canaryRows.forEach((i, k) => (rows[i] = canary[k]!));
  return rows;
}

async function championRows(
  { current: { model }, columns, predictedAt, giveUpAt }: ScoreRequest,
  routed: readonly RouteAnswer[],
): Promise<ScoredRow[]> {
  let scored: Scored;
  try {
    scored = await model.predict(columns, predictedAt, giveUpAt);
  } catch (error) {
    if (error instanceof DeadlinePassed) throw error;
    // It is recorded row by row: whoever watches a new champion hears of it.
    const failed = { version: model.version.n, why: 'threw' as const, detail: detailOf(String(error)) };
    return routed.map((one) => ({
      routed: one,
      reason: 'champion',
      version: model.version,
      output: undefined,
      failed,
      graphMs: 0,
    }));
  }
  return scored.outputs.map((output, i) => scoredRow(model.version, output, routed[i]!, 'champion', scored.graphMs));
}

async function canaryScores(
  request: ScoreRequest,
  routed: readonly RouteAnswer[],
  rows: readonly number[],
): Promise<ScoredRow[]> {
  const { current, challengers } = request;
  const version = routed[rows[0]!]!.version;
  const leftMs = request.giveUpAt - performance.now();
  const deadlineMs = Math.max(1, Math.min(canaryDeadlineMs(request), leftMs / 2));
  const asked = await challengers.ask(version, current.model.version, taken(request, rows), deadlineMs);
  const answered: (ScoredRow | undefined)[] = rows.map((i, k) => {
    if (!asked.ok) return undefined;
    const output = asked.outputs[k]!;
    if ('failed' in output) return undefined;
    return scoredRow(asked.version, output, routed[i]!, 'canary', asked.graphMs);
  });
  const rest = rows.flatMap((_, k) => (answered[k] ? [] : k));
  if (rest.length === 0) return answered as ScoredRow[];
  const champions = await championRows(
    // Whatever the canary took of the deadline, the champion answers: it would have been in time.
    taken(
      { ...request, giveUpAt: Infinity },
      rest.map((k) => rows[k]!),
    ),
    rest.map((k) => routed[rows[k]!]!),
  );
  rest.forEach((k, j) => {
    const failed = asked.ok ? notFinite(asked.version, asked.outputs[k] as { failed: string }) : asked.failed;
    const reason = asked.ok ? 'canary-failed' : asked.reason;
    const own = champions[j]!;
    // Where the champion fails as well there is no output, which the record says; the canary's failure is its own.
    answered[k] = { ...own, reason, failed: failed ?? own.failed, championFailed: own.failed };
  });
  return answered as ScoredRow[];
}

const LEAST_CANARY_DEADLINE_MS = 50;

function canaryDeadlineMs({ current, championMs, nowMs }: ScoreRequest): number {
  const own = current.model.version.serving?.deadlineMs;
  return own ?? Math.max(LEAST_CANARY_DEADLINE_MS, 2 * (championMs?.quantile(0.99, nowMs) ?? 0));
}

/** Forced rows fall back on nobody: who asks for a version by name wants to hear how it does. */
async function forceRows(request: ScoreRequest, routed: readonly RouteAnswer[]): Promise<ScoredRow[]> {
  const { current, columns, predictedAt, challengers, giveUpAt, forced } = request;
  const { version, model } = forced!;
  if (model) {
    const own = ownColumns(model.version, current.model.version, { columns, kept: request.kept, predictedAt });
    const answer: { outputs: (Output | { failed: string })[]; graphMs: number } =
      typeof own === 'string'
        ? { outputs: routed.map(() => ({ failed: own })), graphMs: 0 }
        : await model.predict(own, predictedAt, giveUpAt);
    return answer.outputs.map((output, i) => scoredRow(model.version, output, routed[i]!, 'forced', answer.graphMs));
  }
  const waitMs = Math.min(FORCED_WAIT_MS, Math.max(1, giveUpAt - performance.now()));
  const asked = await challengers.ask(version, current.model.version, request, waitMs, { forced: true });
  return routed.map((one, i) => {
    if (asked.ok) return scoredRow(asked.version, asked.outputs[i]!, one, 'forced', asked.graphMs);
    const failed = asked.failed ?? { version, why: 'died' as const, detail: 'it is not loaded here' };
    const by = asked.version ?? current.model.version;
    return { routed: one, reason: 'forced', version: by, output: undefined, failed, graphMs: 0 };
  });
}

const FORCED_WAIT_MS = 10_000;

/** One shape for all, which the engine makes fast. */
function scoredRow(
  version: ModelVersion,
  given: Output | { failed: string },
  routed: RouteAnswer,
  reason: AnswerReason,
  graphMs: number,
): ScoredRow {
  const isOutput = 'scores' in given;
  const failed = isOutput ? undefined : notFinite(version, given);
  return { routed, reason, version, output: isOutput ? given : undefined, failed, graphMs };
}

const notFinite = ({ n: version }: ModelVersion, { failed }: { failed: string }): Failure => ({
  version,
  why: 'not-finite',
  detail: detailOf(failed),
});

/** The request for some of its rows only. */
function taken(request: ScoreRequest, rows: readonly number[]): ScoreRequest {
  if (rows.length === request.columns.rows) return request;
  const columns: Record<string, Column> = {};
  for (const [name, column] of Object.entries(request.columns.columns))
    columns[name] =
      column instanceof Float64Array ? Float64Array.from(rows, (i) => column[i]!) : rows.map((i) => column[i]!);
  return {
    ...request,
    columns: { rows: rows.length, columns },
    kept: { inputs: (k) => request.kept.inputs(rows[k]!) },
    units: rows.map((i) => request.units[i]!),
    predictedAt: Float64Array.from(rows, (i) => request.predictedAt[i]!),
  };
}

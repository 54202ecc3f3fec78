import type { PredictionLog } from '../../bucket/index.ts';
import { BEYOND_REASON, type ModelVersion, type PiiHasher, type Revision } from '../../schemas/index.ts';
import { ProblemError, type ProblemFields } from '../problem.ts';
import { predictionOf, type Prediction } from './answer.ts';
import { ask, type Asked, type AskedRow } from './ask.ts';
import type { Challengers } from './challengers.ts';
import type { EventTime } from './event-time.ts';
import type { Current } from './follower.ts';
import type { LatencyWindow } from './latency-window.ts';
import type { LoadedModel } from './loaded-model.ts';
import { answerAlike, answerRecord, shadowAlike, shadowRecord } from './log-records.ts';
import { score, type ScoredRow } from './score.ts';

export interface Question {
  current: Current;
  /** The request's JSON value. */
  body: unknown;
  requestId: string;
  event: EventTime;
  /** performance.now() when the request came. */
  from: number;
  /** performance.now() after which the caller does not wait any more */
  giveUpAt: number;
  /** How long the champion takes; undefined before it has answered. */
  championMs: LatencyWindow | undefined;
  forced?: { version: number; model?: LoadedModel };
}

export interface Answered {
  body: Record<string, unknown>;
  /** What the split said: champion, canary or forced; mixed where rows of one request differ. */
  assigned: string;
  version: number;
  latencyMs: number;
  graphMs: number;
}

export interface PredictContext {
  challengers: Challengers;
  predictionLog: PredictionLog;
  pii?: PiiHasher | undefined;
  now(): number;
}

/**
 * Answers a request, writes down what was said, and hands the rows to the shadows.
 *
 * @throws {ProblemError} 422 naming every field that is wrong; 500 where the only row has no finite answer
 */
export async function predict(question: Question, context: PredictContext): Promise<Answered> {
  const { current, body, requestId, event } = question;
  const { version } = current.model;
  const asked = ask(version, body, requestId, context.pii);
  const predictedAt = new Float64Array(asked.rows.length).fill(event.ms / 1000);
  // Here and below no object is spread into another: two such spreads were a tenth of a request's time.
  const rows = await score({
    current,
    columns: asked.columns,
    kept: asked,
    units: asked.rows.map(({ unit }) => unit),
    predictedAt,
    nowMs: context.now(),
    giveUpAt: question.giveUpAt,
    championMs: question.championMs,
    challengers: context.challengers,
    forced: question.forced,
  });
  const answers = rows.map(answerOf);
  const latencyMs = performance.now() - question.from;
  const answeredMs = context.now();
  rows.forEach((row, i) => {
    context.predictionLog.appendAnswer(
      answerRecord(question, asked, i, row, { latencyMs, answeredMs }),
      answerAlike(current.revision, row),
    );
  });
  if (current.revision.serving.shadows.length > 0)
    askShadows({ requestId, event }, current.revision, asked, predictedAt, version, context);

  const first = rows[0]!;
  const { assigned: ofFirst } = first.routed;
  const assigned = rows.every(({ routed }) => routed.assigned === ofFirst) ? ofFirst : 'mixed';
  let said: Record<string, unknown>;
  if (asked.many && !rows.every(hasThrown)) {
    said = { predictions: answers.map((answer, i) => answerBody(version, asked.rows[i]!, answer, rows[i]!, first)) };
  } else {
    const answer = answers[0]!;
    if ('error' in answer) throw beyondReason(asked, answer.error) ?? notAnswered(first, assigned, answer.error);
    said = answerBody(version, asked.rows[0]!, answer, first, first);
  }
  said['model'] = version.model;
  said['version'] = first.version.n;
  said['revision'] = current.revision.n;
  said['requestId'] = requestId;
  return {
    body: said,
    assigned,
    version: first.version.n,
    latencyMs,
    graphMs: first.graphMs,
  };
}

/** Apart from the above: a function keeps alive what any function within it uses, and rows wait for a shadow much longer than their answer takes. */
function askShadows(
  request: Pick<Question, 'requestId' | 'event'>,
  revision: Revision,
  asked: Asked,
  predictedAt: Float64Array,
  champion: ModelVersion,
  { challengers, predictionLog, now }: PredictContext,
): void {
  const { rows, columns } = asked;
  challengers.shadow(revision, champion, { columns, kept: asked, predictedAt }, (shadow, result, timing) => {
    rows.forEach((row, i) => {
      const record = shadowRecord(request, row, i, shadow, result, timing, now());
      predictionLog.appendShadowScore(record, shadowAlike(revision, shadow.n));
    });
  });
}

/** The echo comes first, so that an entity that is named like a field of ours cannot hide it. */
function answerBody(
  version: ModelVersion,
  { entity }: AskedRow,
  answer: RowAnswer,
  row: ScoredRow,
  first: ScoredRow,
): Record<string, unknown> {
  const body: Record<string, unknown> = entity === undefined ? {} : { [version.entity]: entity };
  Object.assign(body, answer);
  if (row.version !== first.version) body['version'] = row.version.n;
  return body;
}

const hasThrown = ({ output, failed, championFailed }: ScoredRow): boolean =>
  !output && (championFailed ?? failed)?.why === 'threw';

type RowAnswer = Prediction | { error: string };

const answerOf = ({ version, output, failed, championFailed }: ScoredRow): RowAnswer =>
  output ? predictionOf(version, output) : { error: (championFailed ?? failed!).detail };

/** Whose numbers are to blame, and not the model, for which one request would then look broken. */
function beyondReason(asked: Asked, because: string): ProblemError | undefined {
  const beyond = Object.entries(asked.inputs(0)).filter(
    ([, value]) => typeof value === 'number' && Math.abs(value) > BEYOND_REASON,
  );
  if (beyond.length === 0) return undefined;
  return new ProblemError({
    status: 422,
    type: 'beyond-the-model',
    title: 'The model cannot compute with these numbers',
    detail: `It gave no finite answer to them: ${because}.`,
    issues: beyond.map(([at, value]) => ({
      at,
      found: `${String(value)} (a number)`,
      expected: 'a number nearer to 0',
    })),
    next: 'Send the number that was meant. Whoever owns the model can set min and max of the input, which then say so.',
  });
}

/** Whoever was assigned to the request gave no answer. */
export class NotAnswered extends ProblemError {
  readonly assigned: string;
  readonly version: number;
  constructor(version: number, assigned: string, problem: ProblemFields) {
    super(problem);
    this.assigned = assigned;
    this.version = version;
  }
}

function notAnswered(row: ScoredRow, assigned: string, because: string): NotAnswered {
  const { version, reason } = row;
  const { model, n } = version;
  if (reason === 'forced')
    return new NotAnswered(n, assigned, {
      status: 500,
      type: 'forced-version-failed',
      title: 'The version that was asked for gave no answer',
      detail: `${model} version ${n} was asked for by name, so no other answered in its place: ${because}.`,
      next: 'Leave the header x-gauntlet-force-version out to be answered as everybody is.',
    });
  const threw = hasThrown(row);
  return new NotAnswered(n, assigned, {
    status: 500,
    type: threw ? 'model-failed' : 'no-finite-answer',
    title: threw ? 'The model failed' : 'The model gave no finite answer',
    detail: `${model} version ${n}: ${because}. The request is valid; the fault is the model's.`,
    next: `Keep this request and tell the model's owner; this brings back the version before: gauntlet rollback ${model} --reason "${threw ? 'it fails' : 'no finite answer'}"`,
  });
}

import {
  detailOf,
  type AnswerAlike,
  type Failure,
  type ModelVersion,
  type NewAnswer,
  type NewShadowScore,
  type Output,
  type Revision,
  type ScoredOutput,
  type ShadowAlike,
} from '../../schemas/index.ts';
import { decisionOf } from './answer.ts';
import type { Asked, AskedRow } from './ask.ts';
import type { Scored as ChallengerScored } from './challenger/index.ts';
import type { EventTime } from './event-time.ts';
import type { ScoredRow } from './score.ts';

/** What of a request is in its records. */
interface Request {
  requestId: string;
  event: EventTime;
}

interface Alike {
  answers: AnswerAlike[];
  shadows: ShadowAlike[];
}

/** By revision: at most one for each version and reason to ask it. */
const alike = new WeakMap<Revision, Alike>();

function alikeOf(revision: Revision): Alike {
  let known = alike.get(revision);
  if (!known) alike.set(revision, (known = { answers: [], shadows: [] }));
  return known;
}

export function answerAlike(
  revision: Revision,
  { routed: { assigned, version: assignedVersion, propensity }, version: { n, project }, reason }: ScoredRow,
): AnswerAlike {
  const { answers } = alikeOf(revision);
  for (const one of answers)
    if (
      one.version === n &&
      one.reason === reason &&
      one.assignedVersion === assignedVersion &&
      one.assigned === assigned &&
      one.propensity === propensity
    )
      return one;
  const own: AnswerAlike = {
    kind: 'answer',
    v: 1,
    model: revision.model,
    project,
    revision: revision.n,
    assigned,
    assignedVersion,
    version: n,
    reason,
    propensity,
  };
  answers.push(own);
  return own;
}

export function shadowAlike(revision: Revision, version: number): ShadowAlike {
  const { shadows } = alikeOf(revision);
  for (const one of shadows) if (one.version === version) return one;
  const own: ShadowAlike = { kind: 'shadow', v: 1, model: revision.model, version, revision: revision.n };
  shadows.push(own);
  return own;
}

export function answerRecord(
  { requestId, event }: Request,
  asked: Asked,
  i: number,
  { version, output, failed, graphMs }: ScoredRow,
  { latencyMs, answeredMs }: { latencyMs: number; answeredMs: number },
): Omit<NewAnswer, keyof AnswerAlike> {
  const { unit, entityKey } = asked.rows[i]!;
  return {
    requestId,
    row: i,
    unit,
    entity: entityKey,
    eventMs: event.ms,
    eventBy: event.by,
    eventResolution: event.resolution,
    answeredMs,
    maturesMs: maturesMsOf(output),
    inputs: asked.inputs(i),
    output: said(version, output),
    latencyMs: rounded(latencyMs),
    graphMs: rounded(graphMs),
    cacheHit: false,
    failed,
  };
}

export function shadowRecord(
  { requestId, event }: Request,
  { unit, entityKey }: AskedRow,
  i: number,
  version: ModelVersion,
  result: ChallengerScored,
  { latencyMs, graphMs }: { latencyMs: number; graphMs: number },
  scoredMs: number,
): Omit<NewShadowScore, keyof ShadowAlike> {
  const scored = result.ok ? result.outputs[i]! : undefined;
  const output = scored && 'scores' in scored ? scored : undefined;
  const failed: Failure | undefined = result.ok
    ? scored && 'failed' in scored
      ? { version: version.n, why: 'not-finite', detail: detailOf(scored.failed) }
      : undefined
    : {
        version: version.n,
        why: result.why === 'not-loaded' ? 'died' : result.why,
        detail: detailOf(result.detail),
      };
  return {
    requestId,
    row: i,
    unit,
    entity: entityKey,
    eventMs: event.ms,
    scoredMs,
    maturesMs: maturesMsOf(output),
    output: said(version, output),
    graphMs: rounded(graphMs),
    latencyMs: rounded(latencyMs),
    failed,
  };
}

function maturesMsOf(output: Output | undefined): number | null {
  return output && Number.isFinite(output.maturesAt) ? Math.round(output.maturesAt * 1000) : null;
}

/** To a microsecond: all that a clock here is good for, in fewer bytes. */
const rounded = (ms: number): number => Math.round(ms * 1000) / 1000;

const said = (version: ModelVersion, output: Output | undefined): ScoredOutput | undefined =>
  output && { scores: output.scores, prediction: decisionOf(version, output.scores) };

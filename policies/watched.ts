/**
 * What canary and bake share: both are watched while they answer people.
 *
 * - Hard limit on errors: rolled back when the lower 95 % bound of the error rate is above maxErrorRate, from 100 attempts
 *   on. A few failures among few attempts prove nothing; over the limit so far, they do not pass either.
 * - Five failures in a row, from different units: rolled back at once.
 * - It passes only after minDuration of watching, pauses left out, and minRequests units.
 * - Undecided at maxDuration: where the requests did not come, what onNoData says; where they came, rolled back.
 * - Over 20 % of its rows not asked of it, counted from 30 seconds after the begin on: no data, for what was seen is not
 *   what people get. Where a breaker kept rows from it for over 30 seconds, those count against maxErrorRate as failures:
 *   nothing but failures of its own holds a breaker open.
 * - It passes on what is now: with its newest answer at most a minute old (5 looks, where that is more).
 * - A figure that is not a number is no data, and no data never passes.
 */
import { clopperPearson } from '../numerics/index.ts';
import {
  durationMs,
  type BakeEvidence,
  type BakePlan,
  type CanaryEvidence,
  type CanaryPlan,
  type Figure,
  type RuleResult,
  type Verdict,
  type WatchedVersion,
} from '../schemas/index.ts';
import { count, grouped, isCount, lasting, percent, read } from './words.ts';

/** Below so many attempts a rate proves nothing. */
const LEAST_ATTEMPTS = 100;
const MOST_IN_A_ROW = 5;
/** Of each bound of a rate: a lower 95 % bound. */
const BOUND_ALPHA = 0.05;

/** Whether a rate is proved to be above its limit: its lower 95 % bound (Clopper-Pearson) is, from 100 trials on. */
export function rateRule(
  rule: string,
  what: string,
  hits: number,
  trials: number,
  limit: number,
): { rule: RuleResult; figure?: Figure } {
  if (!(isCount(hits) && isCount(trials) && hits <= trials))
    return { rule: { rule, says: 'no-data', because: `how many ${what} was not counted` } };
  if (trials === 0) return { rule: { rule, says: 'no-data', because: `0 of 0 ${what}: none came` } };
  const { lower, upper } = clopperPearson(hits, trials, BOUND_ALPHA);
  const figure: Figure = { name: rule, value: hits / trials, lower, upper, limit, rows: trials };
  const seen = `${grouped(hits)} of ${grouped(trials)} ${what} (${percent(hits / trials)}`;
  if (trials < LEAST_ATTEMPTS)
    return {
      rule: {
        rule,
        // Too few to prove harm; but what looks like harm so far does not pass either.
        says: hits / trials > limit ? 'undecided' : 'unproven',
        because: `${seen}); judged from ${LEAST_ATTEMPTS} on, against ${percent(limit)}`,
      },
      figure,
    };
  const isAbove = lower > limit;
  return {
    rule: {
      rule,
      says: isAbove ? 'fail' : 'pass',
      because: `${seen}, at least ${percent(lower)} with 95 % confidence), ${isAbove ? 'above the limit of' : 'the limit is'} ${percent(limit)}`,
    },
    figure,
  };
}

export function inARowRule({ inARow }: WatchedVersion): RuleResult {
  const rule = 'errors.inARow';
  if (!isCount(inARow)) return { rule, says: 'no-data', because: 'failures in a row were not counted' };
  const isOver = inARow >= MOST_IN_A_ROW;
  return {
    rule,
    says: isOver ? 'fail' : 'pass',
    because: `${count(inARow, 'failure')} in a row from different units, rolled back at ${MOST_IN_A_ROW}`,
  };
}

/** Whether it was watched for long enough, and by enough units. */
export function enoughRules(plan: CanaryPlan | BakePlan, watchedMs: number, units: number): RuleResult[] {
  const { minDuration, minRequests } = plan.stage;
  const duration = (): RuleResult => {
    const rule = 'duration';
    if (!(read(watchedMs) >= 0)) return { rule, says: 'no-data', because: 'how long it was watched is not known' };
    const says = watchedMs >= durationMs(minDuration) ? 'pass' : 'undecided';
    return { rule, says, because: `watched for ${lasting(watchedMs)}, at least ${minDuration} are asked` };
  };
  const requests = (): RuleResult => {
    const rule = 'requests';
    if (!isCount(units)) return { rule, says: 'no-data', because: 'units were not counted' };
    if (units === 0) return { rule, says: 'no-data', because: `no unit came, ${grouped(minRequests)} are asked` };
    const says = units >= minRequests ? 'pass' : 'undecided';
    return { rule, says, because: `${count(units, 'unit')}, ${grouped(minRequests)} are asked` };
  };
  return [duration(), requests()];
}

/** Whether replicas ask it; one that goes on with another version says nothing of this one. */
export function askedRule({ settled, attempts, notAsked }: WatchedVersion, kind: 'canary' | 'bake'): RuleResult {
  const rule = 'asked';
  // Evidence of before these were counted says of a canary what was asked from its begin on, of a bake nothing.
  const counted = settled ?? (kind === 'canary' ? { asked: attempts, notAsked } : undefined);
  if (!counted) return { rule, says: 'not-applicable', because: 'answers of other versions were not counted' };
  const { asked, notAsked: not } = counted;
  if (!(isCount(asked) && isCount(not)))
    return { rule, says: 'no-data', because: 'how many rows were asked of it was not counted' };
  const rows = asked + not;
  if (rows === 0) return { rule, says: 'unproven', because: 'no row yet after 30 seconds, in which replicas load it' };
  const isOver = not > MOST_NOT_ASKED * rows;
  const why = kind === 'canary' ? 'it was not loaded, or its breaker was open' : 'another version answered them';
  const at = `at most ${percent(MOST_NOT_ASKED)} may be${isOver ? `: ${why}` : ''}`;
  return {
    rule,
    says: isOver ? 'no-data' : 'pass',
    because: `${grouped(not)} of ${count(rows, 'row')} (${percent(not / rows)}) were not asked of it, ${at}`,
  };
}

const MOST_NOT_ASKED = 0.2;

/** A breaker hides failures: what it kept back for long counts as what kept it open. Undefined where that was not counted. */
export function keptBackRule({ keptBack, attempts }: WatchedVersion, limit: number) {
  if (keptBack === undefined) return undefined;
  const what = 'rows were kept from it by breakers that its failures held open for over 30 seconds';
  return rateRule('errors.breaker', what, keptBack, attempts + keptBack, limit);
}

/** Whether the newest answer is of now. Evidence that goes stale would pass on what was true once. */
export function freshRule(
  plan: CanaryPlan | BakePlan,
  { asOf, lastAnswerAt }: CanaryEvidence | BakeEvidence,
): RuleResult {
  const rule = 'fresh';
  const ageMs = Math.max(0, Date.parse(asOf) - Date.parse(lastAnswerAt ?? ''));
  if (!Number.isFinite(ageMs))
    return { rule, says: 'no-data', because: 'when the newest answer was given is not known' };
  const limitMs = Math.max(LEAST_FRESH_MS, FRESH_LOOKS * durationMs(plan.stage.lookEvery));
  return {
    rule,
    says: ageMs > limitMs ? 'no-data' : 'pass',
    because: `the newest answer is ${lasting(ageMs)} old, at most ${lasting(limitMs)} is fresh`,
  };
}

/** Segments are uploaded every few seconds. */
const LEAST_FRESH_MS = 60_000;
const FRESH_LOOKS = 5;

/** The rules, and as the last whether what they saw is fresh: asked where nothing else is in the way of a pass. */
export function withFresh(
  rules: readonly RuleResult[],
  plan: CanaryPlan | BakePlan,
  evidence: CanaryEvidence | BakeEvidence,
): RuleResult[] {
  if (watchedVerdict(rules).says === 'pass') return [...rules, freshRule(plan, evidence)];
  return [
    ...rules,
    { rule: 'fresh', says: 'not-applicable', because: 'asked where nothing else is in the way of a pass' },
  ];
}

/** Harm first, then blindness, then patience; a pass says what it rests on. */
export function watchedVerdict(rules: readonly RuleResult[]): Verdict {
  for (const says of ['fail', 'no-data', 'undecided'] as const) {
    const found = rules.find((rule) => rule.says === says);
    if (found) return { says, because: `${found.rule}: ${found.because}`, limitedBy: found.rule };
  }
  return { says: 'pass', because: rules.map((rule) => `${rule.rule}: ${rule.because}`).join('; ') };
}

export interface WatchOver {
  /** hold: the stage waits for a person; rollback: it is undone. */
  does: 'hold' | 'rollback';
  over: 'no data' | 'inconclusive';
  because: string;
}

/**
 * What becomes of a watch that could not decide; undefined while it may go on. A verdict of pass or fail comes before it.
 *
 * @param now  of the caller: time since the evidence counts as watched
 */
export function watchOver(
  plan: CanaryPlan | BakePlan,
  evidence: CanaryEvidence | BakeEvidence,
  now: string,
): WatchOver | undefined {
  const { maxDuration, minRequests, onNoData } = plan.stage;
  const since = (then: string): number => Math.max(0, Date.parse(now) - Date.parse(then));
  const known = read(evidence.watchedMs) + since(evidence.asOf);
  const watchedMs = Number.isFinite(known) ? known : since(evidence.since);
  // A time that nobody can tell is no reason to go on for ever.
  if (watchedMs < durationMs(maxDuration)) return undefined;
  const version = evidence.kind === 'canary' ? evidence.canary : evidence.champion;
  const { units } = version;
  const long = `watched for ${maxDuration} (maxDuration)`;
  const blind = [askedRule(version, evidence.kind), freshRule(plan, evidence)].find(({ says }) => says === 'no-data');
  if (units >= minRequests && blind)
    return {
      does: onNoData,
      over: 'no data',
      because: `${blind.rule}: ${long}, and ${blind.because}; onNoData says ${onNoData}`,
    };
  if (units >= minRequests)
    return {
      does: 'rollback',
      over: 'inconclusive',
      because: `duration: ${long} with ${count(units, 'unit')} and still undecided`,
    };
  const came = isCount(units) ? count(units, 'unit') : 'an unknown number of units';
  return {
    does: onNoData,
    over: 'no data',
    because: `requests: ${long}, ${came} came and ${grouped(minRequests)} are asked; onNoData says ${onNoData}`,
  };
}

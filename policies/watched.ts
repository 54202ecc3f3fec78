/**
 * What canary and bake share: both are watched while they answer people.
 *
 * - Hard limit on errors: rolled back when the lower 95 % bound of the error rate is above maxErrorRate, from 100 attempts
 *   on. A few failures among few attempts prove nothing.
 * - Five failures in a row, from different units: rolled back at once.
 * - It passes only after minDuration of watching, pauses left out, and minRequests units.
 * - Undecided at maxDuration: where the requests did not come, what onNoData says; where they came, rolled back.
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
        says: 'unproven',
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
  const { units } = evidence.kind === 'canary' ? evidence.canary : evidence.champion;
  const long = `watched for ${maxDuration} (maxDuration)`;
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

/**
 * May the new champion stay?
 *
 * - The hard limits of policies/watched.ts hold; there is no second version in traffic to compare it with.
 * - Too slow, where the stage has sloMs: rolled back when the lower 95 % bound of the share of slow units is above
 *   maxSlowRate, from 100 units on.
 * - It passes only after minDuration and minRequests units, when no rule is undecided or without data.
 */
import type { BakeEvidence, BakePlan } from '../schemas/index.ts';
import type { Judgement } from './judgement.ts';
import { askedRule, enoughRules, inARowRule, rateRule, watchedVerdict, withFresh } from './watched.ts';

export function judgeBake(plan: BakePlan, evidence: BakeEvidence): Judgement {
  const { champion, watchedMs } = evidence;
  const { maxErrorRate, sloMs, maxSlowRate } = plan.stage;
  const hardLimit = rateRule(
    'errors.hardLimit',
    'attempts failed',
    champion.failedAttempts,
    champion.attempts,
    maxErrorRate,
  );
  const slow =
    sloMs === undefined
      ? undefined
      : rateRule('slow.rate', `units took over ${sloMs} ms`, champion.slow, champion.units, maxSlowRate);
  const rules = withFresh(
    [
      ...enoughRules(plan, watchedMs, champion.units),
      hardLimit.rule,
      inARowRule(champion),
      askedRule(champion, 'bake'),
      ...(slow ? [slow.rule] : []),
    ],
    plan,
    evidence,
  );
  const figures = [hardLimit.figure, slow?.figure].filter((figure) => figure !== undefined);
  return { rules, figures, verdict: watchedVerdict(rules) };
}

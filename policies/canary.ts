/**
 * May a canary get more traffic, or must it go back?
 *
 * - Errors are its own: it threw, was late, gave nothing finite, or died. The hard limits of policies/watched.ts hold.
 * - It fails more often than the champion (e-value over units): rolled back when the evidence against "no more often"
 *   reaches 1 / alpha of this stage.
 * - It is over the latency limit more often than the champion: the same test, where the stage has sloMs.
 * - Its scores have moved from what it said as a shadow: rolled back when the excess PSI is above maxScoreShift, from 500
 *   scored units on. Without a shadow stage: not applicable.
 * - Units do not arrive in the planned shares: rolled back at odds of 1000 to 1, for then nothing compared is comparable.
 * - It passes only after minDuration and minRequests units, when no rule is undecided or without data.
 */
import { psiOfCounts, sampleRatioLogOdds } from '../numerics/index.ts';
import type { CanaryEvidence, CanaryPlan, Figure, RuleResult } from '../schemas/index.ts';
import type { Judgement } from './judgement.ts';
import { askedRule, enoughRules, inARowRule, keptBackRule, rateRule, watchedVerdict, withFresh } from './watched.ts';
import { count, grouped, isCount, percent, show } from './words.ts';

const LEAST_SCORED = 500;
const MOST_ODDS = 1000;

export function judgeCanary(plan: CanaryPlan, evidence: CanaryEvidence): Judgement {
  const { stage } = plan;
  const { canary, champion } = evidence;
  const hardLimit = rateRule(
    'errors.hardLimit',
    'attempts failed',
    canary.failedAttempts,
    canary.attempts,
    stage.maxErrorRate,
  );
  const shift = scoreShiftRule(plan, evidence);
  const keptBack = keptBackRule(canary, stage.maxErrorRate);
  const rules = withFresh(
    [
      ...enoughRules(plan, evidence.watchedMs, canary.units),
      hardLimit.rule,
      inARowRule(canary),
      ...(keptBack ? [keptBack.rule] : []),
      askedRule(canary, 'canary'),
      eValueRule('errors.eValue', 'fails', evidence.errorsLogE, plan.alpha),
      ...(stage.sloMs === undefined
        ? []
        : [eValueRule('slow.eValue', `takes over ${stage.sloMs} ms`, evidence.slowLogE, plan.alpha)]),
      shift.rule,
      sampleRatioRule(stage.weight, canary.units + (canary.unitsNotAsked ?? 0), champion.units),
    ],
    plan,
    evidence,
  );
  const figures = [hardLimit.figure, keptBack?.figure, shift.figure].filter((figure) => figure !== undefined);
  return { rules, figures, verdict: watchedVerdict(rules) };
}

function eValueRule(rule: string, what: string, logE: number | undefined, alpha: number): RuleResult {
  if (logE === undefined || !Number.isFinite(logE))
    return { rule, says: 'no-data', because: `whether it ${what} more often than the champion was not measured` };
  const isOver = logE >= -Math.log(alpha);
  return {
    rule,
    says: isOver ? 'fail' : 'pass',
    because: `evidence that it ${what} more often than the champion: ${show(Math.exp(Math.min(logE, LARGEST_LOG)))} to 1, rolled back at ${show(1 / alpha)} to 1`,
  };
}

/** e to this is still a number. */
const LARGEST_LOG = 700;

function scoreShiftRule(
  { scores: reference, stage }: CanaryPlan,
  { scores }: CanaryEvidence,
): { rule: RuleResult; figure?: Figure } {
  const rule = 'scoreShift';
  if (!reference)
    return { rule: { rule, says: 'not-applicable', because: 'there are no shadow scores to hold its scores against' } };
  const limit = stage.maxScoreShift;
  const blind = (because: string) => ({ rule: { rule, says: 'no-data' as const, because } });
  if (!scores?.every(isCount)) return blind('its scores were not counted');
  const rows = scores.reduce((sum, bin) => sum + bin, 0);
  if (rows < LEAST_SCORED)
    return {
      rule: {
        rule,
        says: 'unproven',
        because: `${count(rows, 'scored unit')}; judged from ${LEAST_SCORED} on, against ${limit}`,
      },
    };
  const psi = orUndefined(() => psiOfCounts(reference.counts, scores));
  if (!psi) return blind('its scores do not fit the bins of its shadow scores');
  const isOver = psi.excess > limit;
  return {
    rule: {
      rule,
      says: isOver ? 'fail' : 'pass',
      because: `its scores of ${grouped(rows)} units are ${show(psi.excess)} (excess PSI) from its shadow scores, ${isOver ? 'above the limit of' : 'the limit is'} ${limit}`,
    },
    figure: { name: rule, value: psi.excess, limit, rows },
  };
}

function sampleRatioRule(weight: number, canaryUnits: number, championUnits: number): RuleResult {
  const rule = 'sampleRatio';
  const logOdds = orUndefined(() => sampleRatioLogOdds([weight, 1 - weight], [canaryUnits, championUnits]));
  if (logOdds === undefined) return { rule, says: 'no-data', because: 'units were not counted' };
  const isOver = logOdds >= Math.log(MOST_ODDS);
  const units = canaryUnits + championUnits;
  const seen =
    units === 0
      ? 'no unit came'
      : `${grouped(canaryUnits)} of ${grouped(units)} units (${percent(canaryUnits / units)}) came to the canary`;
  return {
    rule,
    says: isOver ? 'fail' : 'pass',
    because: `${seen}, ${percent(weight)} was planned: odds against that plan ${show(Math.exp(Math.min(logOdds, LARGEST_LOG)))} to 1, stopped at ${MOST_ODDS} to 1`,
  };
}

/** Counts that no function of numbers takes are no data. */
function orUndefined<T>(compute: () => T): T | undefined {
  try {
    return compute();
  } catch {
    return undefined;
  }
}

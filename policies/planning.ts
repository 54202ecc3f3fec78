/**
 * Can this trial decide within its time?
 *
 * - The plan reckons with an improvement of worthFinding (default twice the minimum effect, or what offline evaluation found
 *   where that is more). One that is not above the minimum effect can never be called better: refused.
 * - Expected is the first block at whose end the band of such an improvement clears the minimum effect, with at least
 *   LEAST_BLOCKS and at most maxUnseen of the requests in strata that are not seen yet. A stratum's block counts once it
 *   has matured; a stratum is seen from LEAST_BLOCKS on.
 * - Expected after maxDuration, or never within 520 blocks: refused, with what would help and what would not.
 * - A figure that is not a number is no data, and no data never passes.
 */
import { confidenceRadius, LEAST_BLOCKS, mixtureParameter } from '../numerics/index.ts';
import {
  durationMs,
  type Figure,
  type PlanningEvidence,
  type PlanningPlan,
  type RuleResult,
  type Verdict,
} from '../schemas/index.ts';
import type { Judgement } from './judgement.ts';
import { count, grouped, percent, show } from './words.ts';

const DAYS = { week: 7, day: 1 } as const;
const DAY_MS = 86_400_000;
const LEAST_TIGHTEST_AT = 16;
/** Ten years of weeks: what is not decided by then is not planned for. */
const MOST_BLOCKS = 520;

export interface Expectable {
  /** s of the band: of one block. */
  sdOfBlocks: number;
  minimumEffect: number;
  worthFinding: number;
  alpha: number;
  maxUnseen: number;
  block: 'week' | 'day';
  /** Absent: as many as are expected. */
  tightestAt?: number | undefined;
  strata: PlanningEvidence['strata'];
}

/**
 * Blocks until a verdict of better is expected, label delay included; null: not within 520, or never. Half of the trials
 * of such an improvement decide earlier.
 *
 *   worthFinding − radius(n) > minimumEffect,  s_n² = s² n Σₕ Σ_g wₕ w_g / max(kₕ, k_g)
 *
 * kₕ blocks of stratum h have matured after n, wₕ is its share of the seen: what the stratified band's s comes to where
 * strata move together within a block.
 */
export function expectedBlocks(question: Expectable): number | null {
  const { worthFinding, minimumEffect, sdOfBlocks } = question;
  if (!(worthFinding > minimumEffect && sdOfBlocks >= 0 && sdOfBlocks < Infinity)) return null;
  for (let n = LEAST_BLOCKS; n <= MOST_BLOCKS; n++) {
    const radius = radiusAfter(question, n);
    if (radius !== undefined && worthFinding - radius > minimumEffect) return n;
  }
  return null;
}

/** Blocks at which the band should be tightest: what the stage says, else what is expected, and at least 16. */
export const tightestAt = (stated: number | undefined, expected: number | null): number =>
  Math.max(LEAST_TIGHTEST_AT, stated ?? expected ?? LEAST_TIGHTEST_AT);

/** After how many blocks each stratum is seen. */
export const seenAfter = (strata: PlanningEvidence['strata'], block: 'week' | 'day'): number[] =>
  strata.map(({ daysToMature }) => LEAST_BLOCKS + delayOf(daysToMature, block));

const delayOf = (daysToMature: number, block: 'week' | 'day'): number =>
  Math.max(0, Math.ceil(daysToMature / DAYS[block]));

/** Of the band after n blocks of the calendar; undefined where too much is unseen. */
function radiusAfter(question: Expectable, n: number): number | undefined {
  const { strata, block, maxUnseen, alpha, sdOfBlocks } = question;
  const all = strata.reduce((sum, { share }) => sum + share, 0);
  const seen = strata
    .map(({ share, daysToMature }) => ({ share, blocks: n - delayOf(daysToMature, block) }))
    .filter(({ share, blocks }) => share > 0 && blocks >= LEAST_BLOCKS);
  const seenShare = seen.reduce((sum, { share }) => sum + share, 0);
  // Shares are sums of fractions: what is at the limit is within it.
  if (!(seenShare > 0 && 1 - seenShare / all <= maxUnseen + 1e-9)) return undefined;
  const blocks = Math.max(...seen.map((one) => one.blocks));
  let inverse = 0;
  for (const a of seen)
    for (const b of seen) inverse += ((a.share / seenShare) * (b.share / seenShare)) / Math.max(a.blocks, b.blocks);
  const r = mixtureParameter(tightestAt(question.tightestAt, n), alpha);
  const s = sdOfBlocks * Math.sqrt(blocks * inverse);
  return Number.isFinite(s) ? confidenceRadius(blocks, s, r, alpha, 1) : undefined;
}

/** The improvement that a plan reckons with. */
export function worthFindingOf(
  stage: { worthFinding?: number | undefined },
  minimumEffect: number,
  effect: number | null | undefined,
): number {
  return stage.worthFinding ?? Math.max(2 * minimumEffect, isNumber(effect) ? effect : 0);
}

export function judgePlanning(plan: PlanningPlan, evidence: PlanningEvidence): Judgement {
  const { stage } = plan;
  const { sdOfBlocks, strata } = evidence;
  const minimumEffect = stage.minimumEffect ?? evidence.minimumEffect;
  const worthFinding = worthFindingOf(stage, minimumEffect, evidence.effect);
  const tightest = stage.tightestAt ?? evidence.tightestAt;
  const question: Expectable = { ...stage, sdOfBlocks, minimumEffect, worthFinding, tightestAt: tightest, strata };
  const known = figuresRule(evidence, question);
  if (known.says !== 'pass') return judgement([known], []);
  const expected = expectedBlocks(question);
  const cap = Math.floor(durationMs(stage.maxDuration) / (DAYS[stage.block] * DAY_MS));
  const worth = worthRule(worthFinding, minimumEffect);
  const rules = [
    known,
    worth,
    ...(worth.says === 'pass' ? [durationRule(plan, evidence, question, expected, cap)] : []),
  ];
  const figures: Figure[] = [
    ...(expected === null ? [] : [{ name: `expected ${stage.block}s`, value: expected, limit: cap }]),
    { name: 'minimumEffect', value: minimumEffect },
    { name: 'worthFinding', value: worthFinding, limit: minimumEffect },
    {
      name: 'sdOfBlocks',
      value: sdOfBlocks,
      ...(Number.isInteger(evidence.blocks) && { blocks: evidence.blocks }),
      ...(isNumber(evidence.designEffect) && { designEffect: evidence.designEffect }),
    },
    ...(isNumber(evidence.effect) ? [{ name: 'effect', value: evidence.effect, limit: minimumEffect }] : []),
  ];
  return judgement(rules, figures);
}

function judgement(rules: RuleResult[], figures: Figure[]): Judgement {
  const limiting = rules.find((rule) => rule.says !== 'pass');
  const verdict: Verdict = limiting
    ? {
        says: limiting.says as Verdict['says'],
        because: `${limiting.rule}: ${limiting.because}`,
        limitedBy: limiting.rule,
      }
    : { says: 'pass', because: rules.map((rule) => `${rule.rule}: ${rule.because}`).join('; ') };
  return { rules, figures, verdict };
}

const isNumber = (value: number | null | undefined): value is number => Number.isFinite(value);

const FROM = {
  log: 'on logged requests',
  backtest: 'on backtest rows',
  test: 'on test rows',
} as const;

function figuresRule(evidence: PlanningEvidence, { minimumEffect, worthFinding }: Expectable): RuleResult {
  const rule = 'figures';
  const { sdOfBlocks, strata, blocks, on } = evidence;
  const missing = [
    ...(isNumber(sdOfBlocks) && sdOfBlocks >= 0 ? [] : ['how much blocks differ (sdOfBlocks)']),
    ...(isNumber(minimumEffect) && minimumEffect > 0 && isNumber(worthFinding) ? [] : ['the minimum effect']),
    ...(strata.some(({ share }) => share > 0) &&
    strata.every(({ share, daysToMature }) => isNumber(share) && share >= 0 && isNumber(daysToMature))
      ? []
      : ['how long labels take (strata)']),
  ];
  if (missing.length > 0)
    return { rule, says: 'no-data', because: `${missing.join(' and ')} could not be measured ${FROM[on]}` };
  return {
    rule,
    says: 'pass',
    because: `measured ${FROM[on]}: sd of a block ${show(sdOfBlocks)} over ${isNumber(blocks) ? grouped(blocks) : 'an unknown number of'} blocks${placeboInWords(evidence)}`,
  };
}

function placeboInWords({ placebo }: PlanningEvidence): string {
  if (!placebo) return '';
  const rate = (share: number): string => (isNumber(share) ? percent(share) : 'unknown');
  return `; of ${grouped(placebo.trials)} placebo trials over ${count(placebo.weeks, 'week')} (${FROM[placebo.on]}) a verdict was reached by request in ${rate(placebo.byRequest)}, by day in ${rate(placebo.byDay)}, by week in ${rate(placebo.byWeek)}, with flips by fortnight in ${rate(placebo.byFortnight)}`;
}

function worthRule(worthFinding: number, minimumEffect: number): RuleResult {
  const rule = 'worthFinding';
  const isAbove = worthFinding > minimumEffect;
  return {
    rule,
    says: isAbove ? 'pass' : 'fail',
    because: isAbove
      ? `an improvement of ${show(worthFinding)} is looked for, above the minimum effect of ${show(minimumEffect)}`
      : `an improvement of ${show(worthFinding)} is looked for, not above the minimum effect of ${show(minimumEffect)}, so no trial could call it better; a larger worthFinding or a smaller minimumEffect would help`,
  };
}

function durationRule(
  { stage }: PlanningPlan,
  evidence: PlanningEvidence,
  question: Expectable,
  expected: number | null,
  cap: number,
): RuleResult {
  const rule = 'duration';
  const unit = stage.block;
  const when = (blocks: number | null): string =>
    blocks === null ? `never (not within ${MOST_BLOCKS} ${unit}s)` : `after ${count(blocks, unit)}`;
  if (expected !== null && expected <= cap)
    return {
      rule,
      says: 'pass',
      because: `an improvement of ${show(question.worthFinding)} is expected to be found ${when(expected)}, within ${stage.maxDuration} (${count(cap, unit)})`,
    };
  const seen = seenAfter(evidence.strata, unit);
  const all = evidence.strata.reduce((sum, { share }) => sum + share, 0);
  const findable = [...Array(Math.max(0, cap - LEAST_BLOCKS + 1)).keys()]
    .map((i) => radiusAfter(question, LEAST_BLOCKS + i))
    .filter((radius) => radius !== undefined)
    .reduce((least, radius) => Math.min(least, radius), Infinity);
  const helps: string[] = [];
  if (expected !== null) helps.push(`maxDuration of at least ${count(expected, unit)}`);
  if (Number.isFinite(findable))
    helps.push(
      `worthFinding above ${show(question.minimumEffect + findable)}, if only larger improvements matter (${show(question.worthFinding)} now)`,
    );
  helps.push(
    `a higher maxUnseen (${percent(stage.maxUnseen)} now) if the strata seen last matter less: ${evidence.strata
      .map(({ share }, h) => `${percent(share / all)} of requests are seen after ${count(seen[h]!, unit)}`)
      .join(', ')}`,
  );
  return {
    rule,
    says: 'fail',
    because: `an improvement of ${show(question.worthFinding)} would be found ${when(expected)}, and the trial may last ${stage.maxDuration} (${count(cap, unit)}). What would help: ${helps.join('; ')}; ${trafficInWords(evidence, question, when)}`,
  };
}

/** Twice the requests halve what rows add to a block's variance, 1 / design effect of it; what blocks add stays. */
function trafficInWords(
  { designEffect }: PlanningEvidence,
  question: Expectable,
  when: (blocks: number | null) => string,
): string {
  if (!isNumber(designEffect) || designEffect <= 0) return 'whether more traffic would help is not known';
  const left = Math.max(0.5, 1 - 1 / (2 * Math.max(1, designEffect)));
  const doubled = expectedBlocks({ ...question, sdOfBlocks: question.sdOfBlocks * Math.sqrt(left) });
  const much = designEffect > 2 ? 'little' : 'some';
  return `more traffic would help ${much} (design effect ${show(designEffect)}): with twice the requests it would be found ${when(doubled)}`;
}

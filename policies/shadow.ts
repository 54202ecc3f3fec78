/**
 * Is the challenger better than the champion on what the champion answered?
 *
 * - Better (pass): the lower bound of the mean improvement is above the minimum effect, over at least LEAST_BLOCKS, with
 *   at most maxUnseen of all requests in horizon strata of fewer; every guardrail holds, no named slice is broken, and the
 *   live part, where the stage has one, is satisfied.
 * - Worse (fail): the upper bound is below 0, with as much seen. Better and worse each err at alpha.
 * - A guardrail holds when its lower bound is above minus its margin, and is broken when its upper bound is below that.
 *   Calibration holds when the whole band (two-sided) is within the margin, and is broken when it is wholly outside.
 * - A named slice is broken like a guardrail. One with fewer than LEAST_BLOCKS, with more than maxUnseen unseen, or with a
 *   planned power under 80 % is unproven: shown, and not in the way.
 * - Live: fails when errors or slow scores are proved to be above their limits, or when a live score is not what the batch
 *   says; undecided while it is too short, of too few requests, or with too many answers that were not scored.
 * - Identical models: undecided, no difference. While too much is unseen: undecided, leaning better or worse.
 * - No data: nothing has matured, labels are overdue, too much is without a score, or a figure is not a number. No data
 *   never passes.
 */
import {
  confidenceRadius,
  LEAST_BLOCKS,
  mixtureParameter,
  normalQuantile,
  stratifiedBand,
  type Band,
  type Sides,
} from '../numerics/index.ts';
import {
  durationMs,
  type EvidenceCell,
  type Figure,
  type LiveEvidence,
  type LiveShadow,
  type NamedSlice,
  type RuleResult,
  type ShadowEvidence,
  type ShadowPlan,
  type Verdict,
} from '../schemas/index.ts';
import type { Judgement } from './judgement.ts';
import { labelsRule, maturityOf, MOST_OVERDUE, scoresRule, sharesOf, twiceOverdueShare } from './maturity.ts';
import { rateRule } from './watched.ts';
import { count, grouped, isCount, lasting, percent, show } from './words.ts';

export function judgeShadow(plan: ShadowPlan, evidence: ShadowEvidence): Judgement {
  const { stage } = plan;
  const loss = measure(plan, evidence, 'loss', 1);
  const guardrails = stage.guardrails.map(({ on, margin }) => {
    const isCalibration = on === 'calibration' || on === 'calibrationSlope';
    const found = measure(plan, evidence, isCalibration ? on : `guardrail.${on}`, isCalibration ? 2 : 1);
    const rule = `guardrail.${on}`;
    return {
      rule: isCalibration ? calibrationRule(plan, rule, margin, found) : marginRule(plan, rule, margin, found),
      found,
      margin,
    };
  });
  const slices = stage.slices.map((slice, i) => {
    const found = measure(plan, evidence, `slice.${i}`, 1, i);
    return { rule: sliceRule(plan, slice, found), found, margin: slice.margin };
  });
  const live = stage.live ? liveRules(stage.live, evidence.live) : [];
  const rules = [
    labelsRule(evidence, stage.block),
    scoresRule(evidence),
    blocksRule(plan, loss),
    unseenRule(plan, evidence, loss),
    effectRule(plan, loss),
    ...[...guardrails, ...slices].map(({ rule }) => rule),
    ...live.map(({ rule }) => rule),
  ];
  const maturity = maturityOf(evidence);
  const figures = [
    figureOf('loss', loss, plan.minimumEffect, maturity),
    ...[...guardrails, ...slices].map(({ rule, found, margin }) =>
      figureOf(rule.rule, found, isCalibrated(rule.rule) ? margin : 0 - margin, maturity),
    ),
    ...live.map(({ figure }) => figure),
  ].filter((figure) => figure !== undefined);
  return { rules, figures, verdict: verdictOf(rules) };
}

const isCalibrated = (rule: string): boolean =>
  rule === 'guardrail.calibration' || rule === 'guardrail.calibrationSlope';

/** What is known of one measure's mean over all requests. */
type Measured =
  | { kind: 'nothing' }
  | { kind: 'broken'; because: string }
  /** No stratum has enough blocks for a band: the mean is of what is there. */
  | { kind: 'early'; mean: number; rows: number; blocks: number }
  | { kind: 'band'; band: Band; rows: number };

function measure(plan: ShadowPlan, evidence: ShadowEvidence, name: string, sides: Sides, slice?: number): Measured {
  const cells = inOrder(evidence.cells.filter((cell) => cell.measure === name));
  if (cells.length === 0) return { kind: 'nothing' };
  const { alpha } = plan.stage;
  const shares = sharesOfSlice(plan, evidence, slice);
  const rows = cells.reduce((sum, cell) => sum + cell.rows, 0);
  try {
    const band = stratifiedBand(cells, shares, { alpha, sides, r: mixtureParameter(plan.tightestAt, alpha) });
    if (band && [band.mean, band.lower, band.upper, band.unseenShare].every(Number.isFinite))
      return { kind: 'band', band, rows };
    const mean = cells.reduce((sum, cell) => sum + cell.sum, 0) / rows;
    if (band || !Number.isFinite(mean))
      return { kind: 'broken', because: `the sums of ${name} are too large for a mean` };
    return { kind: 'early', mean, rows, blocks: fullestStratum(cells) };
  } catch (error) {
    return { kind: 'broken', because: `the sums of ${name} are no evidence (${String((error as Error).message)})` };
  }
}

/** Sums of floats depend on their order; evidence does not. */
const inOrder = (cells: readonly EvidenceCell[]): EvidenceCell[] =>
  cells.toSorted(
    (a, b) =>
      a.block - b.block || a.stratum - b.stratum || a.rows - b.rows || a.sum - b.sum || a.sumOfSquares - b.sumOfSquares,
  );

function sharesOfSlice(plan: ShadowPlan, evidence: ShadowEvidence, slice: number | undefined): number[] {
  const strata = plan.strataEdgesDays.length + 1;
  if (slice !== undefined && evidence.maturity.every((cell) => cell.slices?.[slice] !== undefined))
    return sharesOf(evidence, strata, (cell) => cell.slices![slice]!);
  return sharesOf(evidence, strata);
}

function fullestStratum(cells: readonly EvidenceCell[]): number {
  const blocks = new Map<number, Set<number>>();
  for (const { stratum, block } of cells) blocks.set(stratum, (blocks.get(stratum) ?? new Set()).add(block));
  return Math.max(...[...blocks.values()].map(({ size }) => size));
}

const blocksOf = (found: Measured): number =>
  found.kind === 'band' ? found.band.blocks : found.kind === 'early' ? found.blocks : 0;

const unseenOf = (found: Measured): number => (found.kind === 'band' ? found.band.unseenShare : 1);

/** The band, where a verdict on it may be had: enough blocks, and enough of all requests seen. */
const seenBand = (plan: ShadowPlan, found: Measured): Band | undefined =>
  found.kind === 'band' && found.band.unseenShare <= plan.stage.maxUnseen ? found.band : undefined;

const blind = (found: Measured): string =>
  found.kind === 'broken' ? found.because : 'no matured row has an outcome and both scores yet';

function blocksRule({ stage }: ShadowPlan, loss: Measured): RuleResult {
  const blocks = blocksOf(loss);
  return {
    rule: 'blocks',
    says: loss.kind === 'band' ? 'pass' : 'undecided',
    because:
      loss.kind === 'band'
        ? `${count(blocks, stage.block)} of evidence, at least ${LEAST_BLOCKS} are asked`
        : `the fullest horizon stratum has ${count(blocks, stage.block)} of evidence, at least ${LEAST_BLOCKS} are asked`,
  };
}

function unseenRule({ stage }: ShadowPlan, evidence: ShadowEvidence, loss: Measured): RuleResult {
  const unseen = unseenOf(loss);
  const share = evidence.undated / maturityOf(evidence).requests;
  const never = share > 0 ? `; ${percent(share)} of all requests can never mature` : '';
  return {
    rule: 'unseen',
    says: unseen <= stage.maxUnseen ? 'pass' : 'undecided',
    because: `${percent(unseen)} of all requests are in horizon strata of fewer than ${count(LEAST_BLOCKS, stage.block)}, at most ${percent(stage.maxUnseen)} may be${never}`,
  };
}

function effectRule(plan: ShadowPlan, found: Measured): RuleResult {
  const rule = 'effect';
  const { minimumEffect, loss } = plan;
  if (found.kind === 'nothing' || found.kind === 'broken') return { rule, says: 'no-data', because: blind(found) };
  const band = seenBand(plan, found);
  if (!band) {
    const mean = found.kind === 'band' ? found.band.mean : found.mean;
    const way = mean > minimumEffect ? 'leaning better' : mean < 0 ? 'leaning worse' : 'leaning neither way';
    return {
      rule,
      says: 'undecided',
      because: `${way}: ${inWords(loss, mean)} over what is seen so far, more than ${show(minimumEffect)} is asked; too little is seen for a verdict`,
    };
  }
  const { mean, lower, upper, s } = band;
  if (isFlat(band))
    return {
      rule,
      says: 'undecided',
      because: `no difference: ${mean === 0 ? 'the two models say the same' : `every ${plan.stage.block} says the same, ${show(mean)}`} (s ${show(s)}), more than ${show(minimumEffect)} is asked`,
    };
  const bounds = `${inWords(loss, mean)} (band ${show(lower)} to ${show(upper)})`;
  if (lower > minimumEffect)
    return {
      rule,
      says: 'pass',
      because: `better: ${bounds}; the lower bound is above the minimum effect of ${show(minimumEffect)}`,
    };
  if (upper < 0) return { rule, says: 'fail', because: `worse: ${bounds}; the upper bound is below 0` };
  return {
    rule,
    says: 'undecided',
    because: `neither better nor worse yet: ${bounds}; the lower bound is ${show(minimumEffect - lower)} short of the minimum effect of ${show(minimumEffect)}, the upper bound ${show(upper)} above 0`,
  };
}

/** Nothing varies but the rounding of sums. */
const isFlat = ({ s, mean }: Band): boolean => s <= 1e-12 * Math.abs(mean);

const inWords = (loss: string, mean: number): string =>
  `mean ${loss} ${mean < 0 ? 'worse' : 'better'} by ${show(Math.abs(mean))}`;

function marginRule(plan: ShadowPlan, rule: string, margin: number, found: Measured): RuleResult {
  if (found.kind === 'nothing' || found.kind === 'broken') return { rule, says: 'no-data', because: blind(found) };
  const allowed = `at most ${show(margin)} worse is allowed`;
  const band = seenBand(plan, found);
  if (!band) return { rule, says: 'undecided', because: `too little is seen for a verdict; ${allowed}` };
  const { mean, lower, upper } = band;
  const seen = `${mean < 0 ? 'worse' : 'better'} by ${show(Math.abs(mean))} (band ${show(lower)} to ${show(upper)})`;
  if (lower > -margin) return { rule, says: 'pass', because: `holds: ${seen}, ${allowed}` };
  if (upper < -margin) return { rule, says: 'fail', because: `broken: ${seen}, ${allowed}` };
  return {
    rule,
    says: 'undecided',
    because: `neither holds nor broken yet: ${seen}, ${allowed}; the lower bound is ${show(-margin - lower)} short of that`,
  };
}

function calibrationRule(plan: ShadowPlan, rule: string, margin: number, found: Measured): RuleResult {
  if (found.kind === 'nothing' || found.kind === 'broken') return { rule, says: 'no-data', because: blind(found) };
  const allowed = `within ${show(margin)} of 0 is asked`;
  const band = seenBand(plan, found);
  if (!band) return { rule, says: 'undecided', because: `too little is seen for a verdict; ${allowed}` };
  const { mean, lower, upper } = band;
  const seen = `mean ${show(mean)} (band ${show(lower)} to ${show(upper)})`;
  if (lower >= -margin && upper <= margin) return { rule, says: 'pass', because: `holds: ${seen}, ${allowed}` };
  if (lower > margin || upper < -margin) return { rule, says: 'fail', because: `broken: ${seen}, ${allowed}` };
  return {
    rule,
    says: 'undecided',
    because: `neither holds nor broken yet: ${seen}, ${allowed}; the band reaches ${show(Math.max(-lower, upper))}`,
  };
}

const LEAST_POWER = 0.8;

function sliceRule(plan: ShadowPlan, { column, is, margin }: NamedSlice, found: Measured): RuleResult {
  const rule = `slice.${column}=${String(is)}`;
  if (found.kind === 'broken') return { rule, says: 'no-data', because: found.because };
  const unproven = (because: string): RuleResult => ({
    rule,
    says: 'unproven',
    because: `${because}: shown, and not in the way`,
  });
  if (found.kind !== 'band')
    return unproven(`${count(blocksOf(found), plan.stage.block)} of evidence, at least ${LEAST_BLOCKS} are asked`);
  if (!seenBand(plan, found))
    return unproven(
      `${percent(found.band.unseenShare)} of its requests are unseen, at most ${percent(plan.stage.maxUnseen)} may be`,
    );
  const judged = marginRule(plan, rule, margin, found);
  if (judged.says === 'undecided' && !hasPower(plan, margin, found.band))
    return unproven(
      `${judged.because}; by the planned end it would be proved with a chance under ${percent(LEAST_POWER)}`,
    );
  return judged;
}

/**
 * Whether the slice, were it improved by what the trial looks for, would be proved unbroken by the planned end with a
 * chance of 80 %: Φ((worthFinding + margin − radius) √n / s) at n blocks.
 */
function hasPower({ stage, minimumEffect, tightestAt }: ShadowPlan, margin: number, { s, blocks }: Band): boolean {
  const n = Math.max(blocks, tightestAt);
  const radius = confidenceRadius(n, s, mixtureParameter(tightestAt, stage.alpha), stage.alpha, 1);
  const worthFinding = stage.worthFinding ?? 2 * minimumEffect;
  return (worthFinding + margin - radius) * Math.sqrt(n) >= normalQuantile(LEAST_POWER) * s;
}

/** In sd of the champion's scores: more, and the dropped rows are others. */
const MOST_DROPPED_SHIFT = 0.1;

function liveRules(live: LiveShadow, evidence: LiveEvidence | undefined): { rule: RuleResult; figure?: Figure }[] {
  if (!evidence)
    return [{ rule: { rule: 'live.requests', says: 'no-data', because: 'it has scored no live traffic yet' } }];
  const { scored, failed, slow } = evidence;
  return [
    rateRule('live.errors', 'live scores failed', failed, scored, live.maxErrorRate),
    ...(live.sloMs === undefined
      ? []
      : [rateRule('live.slow', `live scores took over ${live.sloMs} ms`, slow, scored, live.maxSlowRate)]),
    scoredRule(live, evidence),
    { rule: agreementRule(evidence) },
    { rule: liveDurationRule(live, evidence) },
    { rule: liveRequestsRule(live, evidence) },
  ];
}

function scoredRule(
  { minScored }: LiveShadow,
  { due, scored, droppedShift }: LiveEvidence,
): { rule: RuleResult; figure?: Figure } {
  const rule = 'live.scored';
  if (!(isCount(due) && isCount(scored) && due > 0))
    return { rule: { rule, says: 'no-data', because: 'nothing was answered while it was a shadow' } };
  const share = scored / due;
  const differs =
    droppedShift == null || !Number.isFinite(droppedShift)
      ? 'whether the dropped ones differ is not known'
      : Math.abs(droppedShift) > MOST_DROPPED_SHIFT
        ? `the dropped ones differ: the champion scores them ${show(Math.abs(droppedShift))} sd ${droppedShift > 0 ? 'higher' : 'lower'} (over ${MOST_DROPPED_SHIFT})`
        : `the dropped ones are like the rest (${show(droppedShift)} sd)`;
  return {
    rule: {
      rule,
      says: share < minScored ? 'no-data' : 'pass',
      because: `${grouped(scored)} of ${grouped(due)} answers (${percent(share)}) were scored by it, at least ${percent(minScored)} are asked${scored < due ? `; ${differs}` : ''}`,
    },
    figure: { name: rule, value: share, limit: minScored, rows: due },
  };
}

function agreementRule({ compared, apart }: LiveEvidence): RuleResult {
  const rule = 'live.agreement';
  if (!(isCount(apart) && isCount(compared) && compared > 0))
    return { rule, says: 'no-data', because: 'no live score was held against the batch’s yet' };
  return {
    rule,
    says: apart > 0 ? 'fail' : 'pass',
    because: `${grouped(apart)} of ${count(compared, 'live score')} differ from the batch’s by more than 1e-6, none may`,
  };
}

function liveDurationRule({ atLeast }: LiveShadow, { since, until }: LiveEvidence): RuleResult {
  const rule = 'live.duration';
  const ms = Date.parse(until) - Date.parse(since);
  if (!Number.isFinite(ms)) return { rule, says: 'no-data', because: 'how long it scored live traffic is not known' };
  return {
    rule,
    says: ms >= durationMs(atLeast) ? 'pass' : 'undecided',
    because: `it scored live traffic for ${lasting(Math.max(0, ms))}, at least ${atLeast} are asked`,
  };
}

function liveRequestsRule({ minRequests }: LiveShadow, { scored }: LiveEvidence): RuleResult {
  const rule = 'live.requests';
  if (!isCount(scored)) return { rule, says: 'no-data', because: 'live scores were not counted' };
  return {
    rule,
    says: scored >= minRequests ? 'pass' : 'undecided',
    because: `${count(scored, 'live score')}, at least ${grouped(minRequests)} are asked`,
  };
}

/** Without these there is nothing to judge. */
const GROUNDS = ['labels', 'scores'];
const isLive = ({ rule }: RuleResult): boolean => rule.startsWith('live.');

function verdictOf(rules: readonly RuleResult[]): Verdict {
  const effect = rules.find(({ rule }) => rule === 'effect')!;
  const limitedBy = (says: Verdict['says'], limiting: RuleResult): Verdict => {
    // Without data there is nothing to lean to.
    const leansToo = limiting !== effect && says !== 'no-data' && effect.says !== 'no-data';
    return {
      says,
      because: [limiting, ...(leansToo ? [effect] : [])].map(said).join('; '),
      limitedBy: limiting.rule,
    };
  };
  // Harm to live traffic needs no labels; of the rest nothing is known without them.
  const limits: [Verdict['says'], (rule: RuleResult) => boolean][] = [
    ['fail', (rule) => rule.says === 'fail' && isLive(rule)],
    ['no-data', (rule) => rule.says === 'no-data' && GROUNDS.includes(rule.rule)],
    ['fail', (rule) => rule.says === 'fail'],
    ['no-data', (rule) => rule.says === 'no-data' && !isLive(rule)],
    ['undecided', (rule) => rule.says === 'undecided' || rule.says === 'no-data'],
  ];
  for (const [says, isLimit] of limits) {
    const limiting = rules.find(isLimit);
    if (limiting) return limitedBy(says, limiting);
  }
  const others = rules.filter((rule) => rule !== effect && !GROUNDS.includes(rule.rule));
  return { says: 'pass', because: [effect, ...others].map(said).join('; ') };
}

const said = ({ rule, because }: RuleResult): string => `${rule}: ${because}`;

function figureOf(
  name: string,
  found: Measured,
  limit: number,
  { coverage, expectedCoverage }: { coverage: number | undefined; expectedCoverage: number | undefined },
): Figure | undefined {
  if (found.kind === 'nothing' || found.kind === 'broken') return undefined;
  const clock = {
    unseenShare: unseenOf(found),
    ...(coverage !== undefined && { coverage }),
    ...(expectedCoverage !== undefined && { expectedCoverage }),
  };
  if (found.kind === 'early')
    return { name, value: found.mean, limit, blocks: found.blocks, rows: found.rows, ...clock };
  const { mean, lower, upper, blocks, designEffect } = found.band;
  return {
    name,
    value: mean,
    lower,
    upper,
    limit,
    blocks,
    rows: found.rows,
    ...(designEffect !== undefined && Number.isFinite(designEffect) && { designEffect }),
    ...clock,
  };
}

/**
 * Why a trial cannot go on though it is undecided; undefined while it may.
 *
 * - No request for maxWait, from the newest request or the trial's start: no data.
 * - More than 2 % of the due rows late by as much as they took to mature: no data.
 * - maxDuration is over: inconclusive. It begins with the first block that has a request: a model whose labels end years
 *   before its log begins has not been tried for years.
 *
 * @param now  the workflow's; evidence time is that of the evidence where the plan goes by log time
 */
export function trialOver(
  plan: ShadowPlan,
  evidence: ShadowEvidence,
  { startedAt, now }: { startedAt: string; now: string },
): { over: 'no data' | 'inconclusive'; because: string } | undefined {
  const { maxWait, maxDuration } = plan.stage;
  const at = Date.parse(plan.logTime ? evidence.asOf : now);
  const began = Date.parse(plan.logTime ? plan.from : startedAt);
  const last = Date.parse(evidence.lastRequestAt ?? '');
  const waited = at - (last > began ? last : began);
  if (waited > durationMs(maxWait))
    return {
      over: 'no data',
      because: `no request for ${lasting(waited)}, since ${last > began ? evidence.lastRequestAt : 'the trial began'}, at most ${maxWait} (maxWait) are waited for`,
    };
  const late = twiceOverdueShare(evidence);
  if (late !== undefined && late > MOST_OVERDUE)
    return {
      over: 'no data',
      because: `${grouped(maturityOf(evidence).twiceOverdue)} of ${grouped(maturityOf(evidence).due)} due rows (${percent(late)}) are late by as much as they took to mature, at most ${percent(MOST_OVERDUE)} may be`,
    };
  const since = Math.max(Date.parse(plan.from), firstBlockMs(plan, evidence) ?? began);
  const ran = at - since;
  // A log whose time stands still must not hold the model for ever.
  const held = plan.logTime ? Date.parse(now) - Date.parse(startedAt) : 0;
  if (ran > durationMs(maxDuration) || held > durationMs(maxDuration))
    return {
      over: 'inconclusive',
      because: `undecided after ${lasting(Math.max(ran, held))}, the trial may last ${maxDuration} (maxDuration) from ${new Date(since).toISOString()}`,
    };
  return undefined;
}

const DAY_MS = 86_400_000;
/** A Monday, at which weeks are counted from. */
const FIRST_MONDAY_MS = 4 * DAY_MS;

/** When the first block with a request begins. */
function firstBlockMs({ stage }: ShadowPlan, { maturity }: ShadowEvidence): number | undefined {
  let first = Infinity;
  for (const { block, requests } of maturity) if (requests > 0 && block < first) first = block;
  if (!Number.isFinite(first)) return undefined;
  return stage.block === 'week' ? FIRST_MONDAY_MS + first * 7 * DAY_MS : first * DAY_MS;
}

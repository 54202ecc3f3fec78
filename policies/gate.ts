/**
 * May this candidate leave the pipeline?
 *
 * - atLeast: each named test metric reaches its limit (where less is better: stays at or under it).
 * - beatsBaseline: the primary metric is better than the linear baseline's by at least `by`.
 * - notWorseThanChampion: on rows that neither model has seen, the primary metric is not worse than the champion's by
 *   more than `margin`. Without a champion: not applicable. With fewer than `minRows` such rows: left to the trial,
 *   which is allowed only if the rollout has a shadow stage.
 * - A figure that is not a number is no data, and no data never passes.
 */
import {
  LOWER_IS_BETTER,
  type GateEvidence,
  type GatePlan,
  type Metrics,
  type RuleResult,
  type Verdict,
} from '../schemas/index.ts';

export function judgeGate(plan: GatePlan, evidence: GateEvidence): { rules: RuleResult[]; verdict: Verdict } {
  const rules: RuleResult[] = [
    ...Object.entries(plan.gates.atLeast ?? {}).map(([metric, limit]) => atLeast(metric, limit, evidence.metrics)),
    ...(plan.gates.beatsBaseline ? [beatsBaseline(plan, plan.gates.beatsBaseline.by, evidence)] : []),
    ...(plan.gates.notWorseThanChampion ? [notWorseThanChampion(plan, evidence)] : []),
  ];
  return { rules, verdict: verdictOf(rules, plan) };
}

function verdictOf(rules: RuleResult[], plan: GatePlan): Verdict {
  const failed = rules.find((rule) => rule.says === 'fail');
  if (failed) return { says: 'fail', because: `${failed.rule}: ${failed.because}`, limitedBy: failed.rule };
  const blind = rules.find((rule) => rule.says === 'no-data');
  if (blind) return { says: 'no-data', because: `${blind.rule}: ${blind.because}`, limitedBy: blind.rule };
  const left = rules.find((rule) => rule.says === 'left-to-trial');
  if (left && !plan.hasShadowStage)
    return {
      says: 'no-data',
      because: `${left.rule}: ${left.because}; that is left to a shadow trial, and the rollout has no shadow stage`,
      limitedBy: left.rule,
    };
  const passed = rules.filter((rule) => rule.says === 'pass');
  return {
    says: 'pass',
    because:
      passed.length > 0
        ? passed.map((rule) => `${rule.rule}: ${rule.because}`).join('; ')
        : 'the model names no gate rule that applies',
  };
}

function atLeast(metric: string, limit: number, metrics: Metrics): RuleResult {
  const rule = `atLeast.${metric}`;
  const value = figure(metrics, metric);
  if (value === undefined) return { rule, says: 'no-data', because: `${metric} could not be computed` };
  const lower = LOWER_IS_BETTER.includes(metric);
  const reached = lower ? value <= limit : value >= limit;
  return {
    rule,
    says: reached ? 'pass' : 'fail',
    because: `${metric} ${show(value)}, ${lower ? 'at most' : 'at least'} ${limit} is asked`,
  };
}

function beatsBaseline(plan: GatePlan, by: number, evidence: GateEvidence): RuleResult {
  const rule = 'beatsBaseline';
  const value = figure(evidence.metrics, plan.metric);
  const baseline = evidence.baseline && figure(evidence.baseline, plan.metric);
  if (value === undefined || baseline === undefined)
    return {
      rule,
      says: 'no-data',
      because: `${plan.metric} of the candidate or the linear baseline could not be computed`,
    };
  const gain = LOWER_IS_BETTER.includes(plan.metric) ? baseline - value : value - baseline;
  return {
    rule,
    says: gain >= by ? 'pass' : 'fail',
    because: `${plan.metric} ${show(value)} against the baseline's ${show(baseline)}: better by ${show(gain)}, ${by} is asked`,
  };
}

function notWorseThanChampion(plan: GatePlan, evidence: GateEvidence): RuleResult {
  const rule = 'notWorseThanChampion';
  const { margin, minRows } = plan.gates.notWorseThanChampion!;
  const against = evidence.champion;
  if (!against) return { rule, says: 'not-applicable', because: 'the model has no champion yet' };
  if (against.rows < minRows)
    return {
      rule,
      says: 'left-to-trial',
      because:
        against.because ??
        `only ${against.rows} rows that neither version ${against.version} nor the candidate has seen, ${minRows} are needed`,
    };
  const candidate = against.candidate && figure(against.candidate, plan.metric);
  const champion = against.champion && figure(against.champion, plan.metric);
  if (candidate === undefined || champion === undefined)
    return {
      rule,
      says: 'no-data',
      because: `${plan.metric} could not be computed on the ${against.rows} rows that neither has seen`,
    };
  const loss = LOWER_IS_BETTER.includes(plan.metric) ? candidate - champion : champion - candidate;
  return {
    rule,
    says: loss <= margin ? 'pass' : 'fail',
    because: `${plan.metric} ${show(candidate)} against version ${against.version}'s ${show(champion)} on ${against.rows} rows that neither has seen; worse by ${show(loss)}, at most ${margin} is allowed`,
  };
}

function figure(metrics: Metrics, name: string): number | undefined {
  const value = (metrics as Record<string, unknown>)[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function show(value: number): string {
  return value.toFixed(4);
}

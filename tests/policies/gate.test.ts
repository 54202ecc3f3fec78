import { describe, expect, it } from 'vitest';
import { judgeGate } from '../../policies/index.ts';
import type { BinaryMetrics, GateEvidence, GatePlan } from '../../schemas/index.ts';

const metrics = (over: Partial<BinaryMetrics> = {}): BinaryMetrics => ({
  auc: 0.8,
  averagePrecision: 0.7,
  logLoss: 0.48,
  brier: 0.15,
  calibrationError: 0.02,
  accuracy: 0.78,
  f1: 0.6,
  confusion: { truePositive: 1, falsePositive: 1, trueNegative: 1, falseNegative: 1 },
  positiveRate: 0.3,
  ...over,
});
const plan = (gates: GatePlan['gates'], hasShadowStage = false): GatePlan => ({
  kind: 'gate',
  metric: 'logLoss',
  gates,
  hasShadowStage,
});
const evidence = (over: Partial<GateEvidence> = {}): GateEvidence => ({
  kind: 'gate',
  rows: 5000,
  metrics: metrics(),
  baseline: metrics({ logLoss: 0.5 }),
  ...over,
});
const versus = (champion: number, candidate: number, rows = 2000): GateEvidence['champion'] => ({
  version: 3,
  rows,
  champion: metrics({ logLoss: champion }),
  candidate: metrics({ logLoss: candidate }),
});
const champion = { notWorseThanChampion: { margin: 0.01, minRows: 1000 } };

const cases: { name: string; plan: GatePlan; evidence: GateEvidence; says: string; because: string }[] = [
  {
    name: 'passes without rules, and says so',
    plan: plan({}),
    evidence: evidence(),
    says: 'pass',
    because: 'names no gate rule',
  },
  {
    name: 'atLeast passes at its limit',
    plan: plan({ atLeast: { auc: 0.8 } }),
    evidence: evidence(),
    says: 'pass',
    because: 'auc 0.8000, at least 0.8',
  },
  {
    name: 'atLeast fails below its limit',
    plan: plan({ atLeast: { auc: 0.81 } }),
    evidence: evidence(),
    says: 'fail',
    because: 'atLeast.auc: auc 0.8000',
  },
  {
    name: 'atLeast is at most where less is better',
    plan: plan({ atLeast: { logLoss: 0.47 } }),
    evidence: evidence(),
    says: 'fail',
    because: 'at most 0.47',
  },
  {
    name: 'a NaN is no data and never passes',
    plan: plan({ atLeast: { auc: 0.1 } }),
    evidence: evidence({ metrics: metrics({ auc: NaN }) }),
    says: 'no-data',
    because: 'could not be computed',
  },
  {
    name: 'beatsBaseline passes by enough',
    plan: plan({ beatsBaseline: { by: 0.01 } }),
    evidence: evidence(),
    says: 'pass',
    because: "the baseline's 0.5000",
  },
  {
    name: 'beatsBaseline where more is better',
    plan: { ...plan({ beatsBaseline: { by: 0.02 } }), metric: 'auc' },
    evidence: evidence({ baseline: metrics({ auc: 0.77 }) }),
    says: 'pass',
    because: "the baseline's 0.7700",
  },
  {
    name: 'notWorseThanChampion where more is better',
    plan: { ...plan(champion), metric: 'auc' },
    evidence: evidence({
      champion: { version: 3, rows: 2000, champion: metrics({ auc: 0.82 }), candidate: metrics({ auc: 0.8 }) },
    }),
    says: 'fail',
    because: 'worse by 0.0200',
  },
  {
    name: 'beatsBaseline fails by too little',
    plan: plan({ beatsBaseline: { by: 0.03 } }),
    evidence: evidence(),
    says: 'fail',
    because: '0.03 is asked',
  },
  {
    name: 'beatsBaseline without a baseline is no data',
    plan: plan({ beatsBaseline: { by: 0 } }),
    evidence: evidence({ baseline: undefined }),
    says: 'no-data',
    because: 'baseline',
  },
  {
    name: 'notWorseThanChampion does not apply without a champion',
    plan: plan(champion),
    evidence: evidence(),
    says: 'pass',
    because: 'no gate rule that applies',
  },
  {
    name: 'notWorseThanChampion passes within its margin',
    plan: plan(champion),
    evidence: evidence({ champion: versus(0.47, 0.479) }),
    says: 'pass',
    because: "version 3's 0.4700",
  },
  {
    name: 'notWorseThanChampion fails beyond its margin',
    plan: plan(champion),
    evidence: evidence({ champion: versus(0.46, 0.48) }),
    says: 'fail',
    because: 'worse by 0.0200',
  },
  {
    name: 'too few unseen rows stop a rollout without a shadow stage',
    plan: plan(champion),
    evidence: evidence({ champion: versus(0.4, 0.4, 999) }),
    says: 'no-data',
    because: 'left to a shadow trial',
  },
  {
    name: 'too few unseen rows are left to a shadow stage',
    plan: plan(champion, true),
    evidence: evidence({ champion: versus(0.4, 0.4, 999) }),
    says: 'pass',
    because: 'no gate rule that applies',
  },
  {
    name: 'a champion that could not be scored is no data',
    plan: plan(champion),
    evidence: evidence({ champion: { version: 3, rows: 2000 } }),
    says: 'no-data',
    because: 'could not be computed',
  },
];

describe('judgeGate', () => {
  for (const { name, plan, evidence, says, because } of cases)
    it(name, () => {
      const { verdict } = judgeGate(plan, evidence);
      expect(verdict.says).toBe(says);
      expect(verdict.because).toContain(because);
    });

  it('names the rule that limits', () => {
    const { verdict, rules } = judgeGate(
      plan({ atLeast: { auc: 0.7, f1: 0.9 }, beatsBaseline: { by: 0 } }),
      evidence(),
    );
    expect(verdict.limitedBy).toBe('atLeast.f1');
    expect(rules.map(({ rule, says }) => `${rule} ${says}`)).toEqual([
      'atLeast.auc pass',
      'atLeast.f1 fail',
      'beatsBaseline pass',
    ]);
  });
});

import { describe, expect, it } from 'vitest';
import { judge } from '../../policies/index.ts';
import { Evidence, Plan } from '../../schemas/index.ts';
import { cellsOf, maturityOf, shadowEvidence, shadowPlan, stage } from './support.ts';

const version = {
  units: 1000,
  failures: 0,
  slow: 0,
  attempts: 1000,
  failedAttempts: 0,
  byWhy: {},
  inARow: 0,
  notAsked: 0,
  breakerOpen: 0,
};
const metrics = { rmse: 1, mae: 1, r2: 0.5 };
const since = '2026-03-01T12:00:00.000Z';

/** Of every kind, a plan and evidence that passes it. */
const pairs: { plan: Plan; evidence: Evidence }[] = [
  {
    plan: { kind: 'gate', metric: 'rmse', gates: { atLeast: { rmse: 2 } }, hasShadowStage: false },
    evidence: { kind: 'gate', rows: 10, metrics },
  },
  {
    plan: { kind: 'plan', stage: stage('shadow'), champion: 1, challenger: 2, loss: 'logLoss' },
    evidence: {
      kind: 'plan',
      on: 'log',
      blocks: 20,
      rowsPerBlock: 100,
      sdOfBlocks: 0.01,
      designEffect: null,
      effect: null,
      seeds: [],
      minimumEffect: 0.01,
      strata: [{ share: 1, daysToMature: 1 }],
      expectedBlocks: null,
    },
  },
  { plan: shadowPlan(), evidence: shadowEvidence(cellsOf('loss', 20, 0.05), { maturity: maturityOf(20) }) },
  {
    plan: { kind: 'canary', stage: stage('canary', { weight: 0.5 }), champion: 1, challenger: 2, alpha: 0.05 },
    evidence: {
      kind: 'canary',
      since,
      asOf: since,
      lastAnswerAt: since,
      watchedMs: 1e6,
      canary: version,
      champion: { units: 1000, failures: 0, slow: 0 },
      errorsLogE: 0,
    },
  },
  {
    plan: { kind: 'bake', stage: stage('bake'), champion: 2 },
    evidence: { kind: 'bake', since, asOf: since, lastAnswerAt: since, watchedMs: 1e6, champion: version },
  },
  {
    plan: { kind: 'approval', stage: stage('approval'), allowUnverified: false },
    evidence: {
      kind: 'approval',
      askedAt: since,
      asOf: since,
      votes: [{ says: 'approve', by: 'ana', reason: 'good', at: since, channel: 'api', verified: true, counts: true }],
      expired: false,
    },
  },
];

describe('judge', () => {
  it.each(pairs)(
    'judges evidence of a $plan.kind by its plan, always the same, and changes neither',
    ({ plan, evidence }) => {
      const before = JSON.stringify({ plan, evidence });
      const judgement = judge(plan, evidence);
      expect(judgement.verdict.says).toBe('pass');
      expect(JSON.stringify({ plan, evidence })).toBe(before);
      // A look is written and read back, and judged again.
      const read = JSON.parse(before) as (typeof pairs)[number];
      expect(judge(Plan.parse(read.plan), Evidence.parse(read.evidence))).toEqual(judgement);
    },
  );

  it('has no data where evidence is of another kind than the plan', () => {
    for (const { plan } of pairs)
      for (const { evidence } of pairs) {
        if (plan.kind === evidence.kind) continue;
        expect(judge(plan, evidence).verdict).toMatchObject({ says: 'no-data', limitedBy: 'kind' });
      }
    expect(judge(pairs[0]!.plan, pairs[1]!.evidence)).toMatchInlineSnapshot(`
      {
        "figures": [],
        "rules": [
          {
            "because": "evidence of a plan look says nothing to a plan of kind gate",
            "rule": "kind",
            "says": "no-data",
          },
        ],
        "verdict": {
          "because": "kind: evidence of a plan look says nothing to a plan of kind gate",
          "limitedBy": "kind",
          "says": "no-data",
        },
      }
    `);
  });
});

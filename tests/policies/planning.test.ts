import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { confidenceRadius, mixtureParameter } from '../../numerics/index.ts';
import { expectedBlocks, judge, judgePlanning, seenAfter, tightestAt, type Expectable } from '../../policies/index.ts';
import type { PlanningEvidence, PlanningPlan, Verdict } from '../../schemas/index.ts';
import { anyNumber, holds, stage, told } from './support.ts';

const plan = (over: object = {}): PlanningPlan => ({
  kind: 'plan',
  stage: stage('shadow', over),
  champion: 1,
  challenger: 2,
  loss: 'logLoss',
});
const STRATA = [
  { share: 0.25, daysToMature: 7 },
  { share: 0.25, daysToMature: 30 },
  { share: 0.25, daysToMature: 70 },
  { share: 0.25, daysToMature: 200 },
];
const evidence = (over: Partial<PlanningEvidence> = {}): PlanningEvidence => ({
  kind: 'plan',
  on: 'log',
  blocks: 40,
  rowsPerBlock: 700,
  sdOfBlocks: 0.012,
  designEffect: 12,
  effect: 0.015,
  seeds: [
    { seed: 1, testLoss: 0.41 },
    { seed: 2, testLoss: 0.42 },
  ],
  minimumEffect: 0.01,
  strata: [{ share: 1, daysToMature: 14 }],
  expectedBlocks: null,
  ...over,
});
const placebo = {
  on: 'log',
  trials: 500,
  weeks: 40,
  byRequest: 0.38,
  byDay: 0.2,
  byWeek: 0.04,
  byFortnight: 0.06,
} as const;

interface Case {
  name: string;
  plan?: PlanningPlan;
  evidence: PlanningEvidence;
  says: Verdict['says'];
  by?: string;
}

const cases: Case[] = [
  { name: 'is expected to decide within its time', evidence: evidence(), says: 'pass' },
  { name: 'tells of its placebo trials', evidence: evidence({ placebo }), says: 'pass' },
  {
    name: 'tells of placebo trials that were none',
    evidence: evidence({ placebo: { ...placebo, byWeek: NaN }, blocks: NaN, designEffect: null, effect: null }),
    says: 'pass',
  },
  {
    name: 'is planned by day',
    plan: plan({ block: 'day', maxDuration: '60 days' }),
    evidence: evidence(),
    says: 'pass',
  },
  {
    name: 'takes the stage’s own minimum effect and worthFinding',
    plan: plan({ minimumEffect: 0.001, worthFinding: 0.05 }),
    evidence: evidence({ minimumEffect: NaN }),
    says: 'pass',
  },
  {
    name: 'is refused when it would take too long: more time, less precision, or an earlier word would help, traffic would not',
    plan: plan({ maxDuration: '20 weeks' }),
    evidence: evidence({ sdOfBlocks: 0.04, strata: STRATA }),
    says: 'fail',
    by: 'duration',
  },
  {
    name: 'is refused when long horizons come too late',
    evidence: evidence({ strata: STRATA, designEffect: 1.5 }),
    says: 'fail',
    by: 'duration',
  },
  {
    name: 'is refused when it would never decide',
    evidence: evidence({ sdOfBlocks: 10, designEffect: null }),
    says: 'fail',
    by: 'duration',
  },
  {
    name: 'is refused when fewer than 10 blocks fit into its time',
    plan: plan({ maxDuration: '5 weeks' }),
    evidence: evidence(),
    says: 'fail',
    by: 'duration',
  },
  {
    name: 'is refused when what is looked for is not above the minimum effect',
    plan: plan({ worthFinding: 0.01 }),
    evidence: evidence(),
    says: 'fail',
    by: 'worthFinding',
  },
  {
    name: 'has no data without the sd of blocks',
    evidence: evidence({ sdOfBlocks: NaN, on: 'test' }),
    says: 'no-data',
    by: 'figures',
  },
  {
    name: 'has no data without a minimum effect and strata',
    evidence: evidence({ minimumEffect: 0, strata: [], on: 'backtest' }),
    says: 'no-data',
    by: 'figures',
  },
  {
    name: 'has no data with a stratum that takes nobody knows how long',
    evidence: evidence({ strata: [{ share: 1, daysToMature: NaN }] }),
    says: 'no-data',
    by: 'figures',
  },
];

describe('planning', () => {
  it.each(cases)('a trial $name', ({ plan: asked = plan(), evidence: seen, says, by }) => {
    const judgement = judgePlanning(asked, seen);
    expect({ says: judgement.verdict.says, by: judgement.verdict.limitedBy }).toEqual({ says, by });
    expect(told(judgement)).toMatchSnapshot();
  });

  it('reckons with what offline evaluation found, where that is more than twice the minimum effect', () => {
    const { figures } = judgePlanning(plan(), evidence({ effect: 0.03 }));
    expect(figures.find(({ name }) => name === 'worthFinding')?.value).toBe(0.03);
  });
  it('shows its figures', () => {
    expect(judgePlanning(plan(), evidence()).figures).toMatchInlineSnapshot(`
      [
        {
          "limit": 26,
          "name": "expected weeks",
          "value": 14,
        },
        {
          "name": "minimumEffect",
          "value": 0.01,
        },
        {
          "limit": 0.01,
          "name": "worthFinding",
          "value": 0.02,
        },
        {
          "blocks": 40,
          "designEffect": 12,
          "name": "sdOfBlocks",
          "value": 0.012,
        },
        {
          "limit": 0.01,
          "name": "effect",
          "value": 0.015,
        },
      ]
    `);
  });

  const question = (over: Partial<Expectable> = {}): Expectable => ({
    sdOfBlocks: 0.04,
    minimumEffect: 0.01,
    worthFinding: 0.03,
    alpha: 0.05,
    maxUnseen: 0.1,
    block: 'week',
    strata: [{ share: 1, daysToMature: 0 }],
    ...over,
  });

  it('expects the first block at which the band clears the minimum effect', () => {
    const n = expectedBlocks(question())!;
    const radius = (at: number) => confidenceRadius(at, 0.04, mixtureParameter(Math.max(16, at), 0.05), 0.05, 1);
    expect(0.03 - radius(n)).toBeGreaterThan(0.01);
    expect(0.03 - radius(n - 1)).toBeLessThanOrEqual(0.01);
    expect(n).toBeGreaterThan(10);
  });

  it('expects 10 blocks and the label delay at least', () => {
    expect(expectedBlocks(question({ sdOfBlocks: 0 }))).toBe(10);
    expect(expectedBlocks(question({ sdOfBlocks: 0, strata: [{ share: 1, daysToMature: 15 }] }))).toBe(13);
    expect(expectedBlocks(question({ sdOfBlocks: 0, block: 'day', strata: [{ share: 1, daysToMature: 15 }] }))).toBe(
      25,
    );
    expect(seenAfter(STRATA, 'week')).toEqual([11, 15, 20, 39]);
  });

  it('waits for strata until no more than maxUnseen is unseen', () => {
    const after = (maxUnseen: number) => expectedBlocks(question({ sdOfBlocks: 1e-6, strata: STRATA, maxUnseen }));
    expect([0.1, 0.25, 0.5, 0.75].map(after)).toEqual([39, 20, 15, 11]);
  });

  it('never expects what is not above the minimum effect, takes over ten years, or is no number', () => {
    const vast = { sdOfBlocks: 1.7e308, strata: STRATA, maxUnseen: 0.5 };
    for (const over of [{ worthFinding: 0.01 }, { sdOfBlocks: 10 }, { sdOfBlocks: NaN }, { strata: [] }, vast])
      expect(expectedBlocks(question(over))).toBeNull();
  });

  it('takes longer with more noise, and with a smaller alpha, and no longer for a larger improvement', () => {
    const longer = (over: Partial<Expectable>) => (sd: number, delay: number) => {
      const base = question({ sdOfBlocks: sd, strata: [{ share: 1, daysToMature: delay }] });
      const [a, b] = [expectedBlocks(base), expectedBlocks({ ...base, ...over })];
      expect(b ?? Infinity).toBeGreaterThanOrEqual(a ?? Infinity);
    };
    const sd = fc.double({ min: 0.001, max: 0.05, noNaN: true });
    const delay = fc.integer({ min: 0, max: 100 });
    for (const over of [{ alpha: 0.01 }, { worthFinding: 0.02 }, { maxUnseen: 0 }])
      fc.assert(fc.property(sd, delay, longer(over)), { numRuns: 30 });
    fc.assert(
      fc.property(sd, delay, (a, b) => longer({ sdOfBlocks: 2 * a })(a, b)),
      { numRuns: 30 },
    );
  });

  it('makes the band tightest at what the stage says, else where the verdict is expected, from 16 on', () => {
    expect([
      tightestAt(undefined, 30),
      tightestAt(20, 30),
      tightestAt(undefined, 9),
      tightestAt(undefined, null),
    ]).toEqual([30, 20, 16, 16]);
  });

  it('never throws, and never passes on what is not a number', () => {
    const anyEvidence = fc.record({
      blocks: anyNumber,
      sdOfBlocks: fc.oneof(anyNumber, fc.constant(0.02)),
      designEffect: fc.oneof(anyNumber, fc.constant(null)),
      effect: fc.oneof(anyNumber, fc.constant(null)),
      minimumEffect: fc.oneof(anyNumber, fc.constant(0.01)),
      strata: fc.array(fc.record({ share: anyNumber, daysToMature: anyNumber }), { maxLength: 4 }),
    });
    fc.assert(
      fc.property(anyEvidence, (over) => {
        const judgement = judge(plan(), evidence(over));
        holds(judgement);
        const isBlind = ![over.sdOfBlocks, over.minimumEffect].every(Number.isFinite);
        expect(!isBlind || judgement.verdict.says === 'no-data').toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

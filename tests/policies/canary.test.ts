import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge, judgeCanary, watchOver } from '../../policies/index.ts';
import type { CanaryEvidence, CanaryPlan, Verdict, WatchedVersion } from '../../schemas/index.ts';
import { anyInstant, anyNumber, holds, stage, told } from './support.ts';

const plan = (over: object = {}, more: Partial<CanaryPlan> = {}): CanaryPlan => ({
  kind: 'canary',
  stage: stage('canary', { weight: 0.05, ...over }),
  champion: 1,
  challenger: 2,
  alpha: 0.025,
  scores: { edges: [0.25, 0.5, 0.75], counts: [400, 300, 200, 100] },
  ...more,
});

const watched = (over: Partial<WatchedVersion> = {}): WatchedVersion => ({
  units: 600,
  failures: 6,
  slow: 6,
  attempts: 700,
  failedAttempts: 7,
  byWhy: { threw: 7 },
  inARow: 1,
  notAsked: 0,
  breakerOpen: 0,
  ...over,
});

const evidence = (canary: Partial<WatchedVersion> = {}, over: Partial<CanaryEvidence> = {}): CanaryEvidence => ({
  kind: 'canary',
  since: '2026-03-01T12:00:00.000Z',
  asOf: '2026-03-01T12:15:00.000Z',
  watchedMs: 15 * 60_000,
  canary: watched(canary),
  champion: { units: 11_400, failures: 100, slow: 100 },
  errorsLogE: -0.5,
  scores: [240, 180, 120, 60],
  lastAnswerAt: '2026-03-01T12:15:00.000Z',
  ...over,
});

interface Case {
  name: string;
  plan?: CanaryPlan;
  evidence: CanaryEvidence;
  says: Verdict['says'];
  by?: string;
}

const cases: Case[] = [
  { name: 'passes when it was watched for long enough, by enough units', evidence: evidence(), says: 'pass' },
  {
    name: 'fails above the hard limit',
    evidence: evidence({ failedAttempts: 60 }),
    says: 'fail',
    by: 'errors.hardLimit',
  },
  {
    name: 'passes above the hard limit while that is not proved',
    evidence: evidence({ failedAttempts: 45 }),
    says: 'pass',
  },
  {
    name: 'says nothing of an error rate below 100 attempts that is within the limit so far',
    plan: plan({ minRequests: 50 }),
    evidence: evidence(
      { units: 50, attempts: 99, failedAttempts: 4 },
      { champion: { units: 950, failures: 9, slow: 9 } },
    ),
    says: 'pass',
  },
  {
    name: 'does not pass with an error rate above the limit, though below 100 attempts it is no proof',
    plan: plan({ minRequests: 50 }),
    evidence: evidence(
      { units: 50, attempts: 99, failedAttempts: 50 },
      { champion: { units: 950, failures: 9, slow: 9 } },
    ),
    says: 'undecided',
    by: 'errors.hardLimit',
  },
  {
    name: 'fails above the hard limit from 100 attempts on, before the least duration and the least requests',
    evidence: evidence(
      { units: 90, attempts: 100, failedAttempts: 50, inARow: 4 },
      { watchedMs: 60_000, champion: { units: 1710, failures: 17, slow: 17 } },
    ),
    says: 'fail',
    by: 'errors.hardLimit',
  },
  {
    name: 'fails at five failures in a row, however few the attempts',
    evidence: evidence(
      { units: 5, attempts: 5, failedAttempts: 5, inARow: 5 },
      { watchedMs: 2_000, scores: [0, 0, 0, 0], champion: { units: 95, failures: 0, slow: 0 } },
    ),
    says: 'fail',
    by: 'errors.inARow',
  },
  {
    name: 'fails when it is proved to fail more often than the champion',
    evidence: evidence({}, { errorsLogE: Math.log(40) + 1e-9 }),
    says: 'fail',
    by: 'errors.eValue',
  },
  {
    name: 'passes just below that',
    evidence: evidence({}, { errorsLogE: Math.log(40) - 1e-9 }),
    says: 'pass',
  },
  {
    name: 'fails when the evidence is beyond all numbers that can be said',
    evidence: evidence({}, { errorsLogE: 5000 }),
    says: 'fail',
    by: 'errors.eValue',
  },
  {
    name: 'fails when it is proved to be slow more often than the champion',
    plan: plan({ sloMs: 20 }),
    evidence: evidence({}, { slowLogE: 4 }),
    says: 'fail',
    by: 'slow.eValue',
  },
  {
    name: 'is blind where slowness should have been measured',
    plan: plan({ sloMs: 20 }),
    evidence: evidence(),
    says: 'no-data',
    by: 'slow.eValue',
  },
  {
    name: 'does not look at slowness without a limit',
    evidence: evidence({}, { slowLogE: 50 }),
    says: 'pass',
  },
  {
    name: 'fails when its scores have moved',
    evidence: evidence({}, { scores: [60, 120, 180, 240] }),
    says: 'fail',
    by: 'scoreShift',
  },
  {
    name: 'says nothing of its scores below 500 units',
    evidence: evidence({}, { scores: [0, 0, 0, 499] }),
    says: 'pass',
  },
  {
    name: 'is blind where scores should have been counted',
    evidence: evidence({}, { scores: undefined }),
    says: 'no-data',
    by: 'scoreShift',
  },
  {
    name: 'is blind where scores are of other bins',
    evidence: evidence({}, { scores: [600] }),
    says: 'no-data',
    by: 'scoreShift',
  },
  {
    name: 'has nothing to hold scores against without a shadow stage',
    plan: plan({}, { scores: undefined }),
    evidence: evidence({}, { scores: [0, 0, 0, 600] }),
    says: 'pass',
  },
  {
    name: 'fails when units do not arrive as planned',
    evidence: evidence({}, { champion: { units: 6000, failures: 50, slow: 50 } }),
    says: 'fail',
    by: 'sampleRatio',
  },
  {
    name: 'counts units that it was not asked for as its own when it looks at the split',
    evidence: evidence({ unitsNotAsked: 600 }, { champion: { units: 22_800, failures: 200, slow: 200 } }),
    says: 'pass',
  },
  {
    name: 'is blind where units of the champion were not counted',
    evidence: evidence({}, { champion: { units: NaN, failures: 0, slow: 0 } }),
    says: 'no-data',
    by: 'sampleRatio',
  },
  {
    name: 'waits for the least duration',
    evidence: evidence({}, { watchedMs: 90_000 }),
    says: 'undecided',
    by: 'duration',
  },
  {
    name: 'waits for the least requests',
    evidence: evidence({ units: 499 }, { champion: { units: 9481, failures: 90, slow: 90 } }),
    says: 'undecided',
    by: 'requests',
  },
  {
    name: 'has no data before the first unit',
    evidence: evidence(
      { units: 0, attempts: 0, failures: 0, failedAttempts: 0, slow: 0, inARow: 0 },
      { scores: [0, 0, 0, 0], champion: { units: 0, failures: 0, slow: 0 }, errorsLogE: 0 },
    ),
    says: 'no-data',
    by: 'requests',
  },
  {
    name: 'is blind where the time is not known',
    evidence: evidence({}, { watchedMs: NaN }),
    says: 'no-data',
    by: 'duration',
  },
  {
    name: 'is blind where units were not counted',
    evidence: evidence({ units: NaN }),
    says: 'no-data',
    by: 'requests',
  },
  {
    name: 'is blind where attempts were not counted',
    evidence: evidence({ attempts: NaN }),
    says: 'no-data',
    by: 'errors.hardLimit',
  },
  {
    name: 'is blind where failures in a row were not counted',
    evidence: evidence({ inARow: NaN }),
    says: 'no-data',
    by: 'errors.inARow',
  },
  {
    name: 'is blind when over a fifth of its rows were not asked of it',
    evidence: evidence({ settled: { asked: 700, notAsked: 176 }, notAsked: 176 }),
    says: 'no-data',
    by: 'asked',
  },
  {
    name: 'bears a fifth of its rows not asked of it, and any number while replicas load it',
    evidence: evidence({ settled: { asked: 700, notAsked: 175 }, notAsked: 2000 }),
    says: 'pass',
  },
  {
    name: 'says nothing of what is asked in the first seconds',
    evidence: evidence({ settled: { asked: 0, notAsked: 0 }, notAsked: 2000 }),
    says: 'pass',
  },
  {
    name: 'takes all rows for it where those of the first seconds were not told apart',
    evidence: evidence({ notAsked: 700 }),
    says: 'no-data',
    by: 'asked',
  },
  {
    name: 'is blind where what was asked was not counted',
    evidence: evidence({ settled: { asked: NaN, notAsked: 1 } }),
    says: 'no-data',
    by: 'asked',
  },
  {
    name: 'fails when breakers kept so many rows from it that its failures are above the limit',
    evidence: evidence({ keptBack: 60 }),
    says: 'fail',
    by: 'errors.breaker',
  },
  {
    name: 'bears a few rows that breakers kept from it',
    evidence: evidence({ keptBack: 30 }),
    says: 'pass',
  },
  {
    name: 'is blind where what breakers kept back was not counted',
    evidence: evidence({ keptBack: NaN }),
    says: 'no-data',
    by: 'errors.breaker',
  },
  {
    name: 'is blind when it would pass on what was seen over a minute ago',
    evidence: evidence({}, { lastAnswerAt: '2026-03-01T12:13:59.999Z' }),
    says: 'no-data',
    by: 'fresh',
  },
  {
    name: 'passes on what was seen a minute ago',
    evidence: evidence({}, { lastAnswerAt: '2026-03-01T12:14:00.000Z' }),
    says: 'pass',
  },
  {
    name: 'passes on what was seen five looks ago',
    plan: plan({ lookEvery: '1 minute' }),
    evidence: evidence({}, { lastAnswerAt: '2026-03-01T12:10:00.000Z' }),
    says: 'pass',
  },
  {
    name: 'takes a clock that is ahead for now',
    evidence: evidence({}, { lastAnswerAt: '2026-03-01T12:19:00.000Z' }),
    says: 'pass',
  },
  {
    name: 'does not pass where nobody knows when the newest answer was given',
    evidence: evidence({}, { lastAnswerAt: undefined }),
    says: 'no-data',
    by: 'fresh',
  },
  {
    name: 'is blind where the e-value is not a number',
    evidence: evidence({}, { errorsLogE: NaN }),
    says: 'no-data',
    by: 'errors.eValue',
  },
];

describe('a canary', () => {
  it.each(cases)('$name', ({ plan: asked = plan(), evidence: seen, says, by }) => {
    const judgement = judgeCanary(asked, seen);
    expect({ says: judgement.verdict.says, by: judgement.verdict.limitedBy }).toEqual({ says, by });
    expect(told(judgement)).toMatchSnapshot();
  });

  it('shows its error rate with its bounds, and how far its scores have moved', () => {
    expect(judgeCanary(plan(), evidence()).figures).toMatchInlineSnapshot(`
      [
        {
          "limit": 0.05,
          "lower": 0.004702444978778998,
          "name": "errors.hardLimit",
          "rows": 700,
          "upper": 0.018700591098788077,
          "value": 0.01,
        },
        {
          "limit": 0.25,
          "name": "scoreShift",
          "rows": 600,
          "value": -0.008,
        },
      ]
    `);
  });

  it('never throws, and never passes on what is not a number', () => {
    const side = { units: anyNumber, failures: anyNumber, slow: anyNumber };
    const anyEvidence = fc.record({
      since: anyInstant,
      asOf: anyInstant,
      watchedMs: fc.oneof(anyNumber, fc.integer({ min: 0, max: 1e7 })),
      canary: fc.record({
        ...side,
        attempts: anyNumber,
        failedAttempts: anyNumber,
        byWhy: fc.constant({}),
        inARow: anyNumber,
        notAsked: anyNumber,
        breakerOpen: anyNumber,
        unitsNotAsked: fc.option(anyNumber, { nil: undefined }),
        settled: fc.option(fc.record({ asked: anyNumber, notAsked: anyNumber }), { nil: undefined }),
        keptBack: fc.option(anyNumber, { nil: undefined }),
      }),
      champion: fc.record(side),
      errorsLogE: fc.double(),
      slowLogE: fc.option(fc.double(), { nil: undefined }),
      scores: fc.option(fc.array(anyNumber, { maxLength: 5 }), { nil: undefined }),
      lastAnswerAt: fc.option(anyInstant, { nil: undefined }),
    });
    const plans = [plan(), plan({ sloMs: 5, onNoData: 'hold', minRequests: 1 }), plan({}, { scores: undefined })];
    fc.assert(
      fc.property(anyEvidence, fc.constantFrom(...plans), anyInstant, (over, asked, now) => {
        const seen: CanaryEvidence = { kind: 'canary', ...over };
        const judgement = judge(asked, seen);
        holds(judgement);
        const { canary, champion } = seen;
        const needed = [
          canary.units,
          champion.units,
          canary.attempts,
          canary.failedAttempts,
          seen.watchedMs,
          seen.errorsLogE,
        ];
        expect(needed.every(Number.isFinite) || judgement.verdict.says !== 'pass').toBe(true);
        watchOver(asked, seen, now);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a watch that could not decide', () => {
  const late = {
    watchedMs: 2 * 3_600_000,
    asOf: '2026-03-01T14:00:00.000Z',
    lastAnswerAt: '2026-03-01T13:59:50.000Z',
  };
  const now = '2026-03-01T14:00:00.000Z';
  it.each([
    { name: 'goes on before maxDuration', plan: plan(), evidence: evidence(), now: '2026-03-01T12:15:00.000Z' },
    { name: 'goes back when the requests did not come', plan: plan(), evidence: evidence({ units: 3 }, late), now },
    {
      name: 'waits for a person when the requests did not come, where the stage says so',
      plan: plan({ onNoData: 'hold' }),
      evidence: evidence({ units: 3 }, late),
      now,
    },
    {
      name: 'goes back when nobody knows how many requests came',
      plan: plan(),
      evidence: evidence({ units: NaN }, late),
      now,
    },
    {
      name: 'goes back when the requests came and it is still undecided, whatever onNoData says',
      plan: plan({ onNoData: 'hold' }),
      evidence: evidence({}, late),
      now,
    },
    {
      name: 'has no data, whatever came before, when nothing comes any more: onNoData says what then',
      plan: plan({ onNoData: 'hold' }),
      evidence: evidence({}, { ...late, lastAnswerAt: '2026-03-01T12:01:00.000Z' }),
      now,
    },
    {
      name: 'has no data, whatever came, when too little was asked of it',
      plan: plan(),
      evidence: evidence({ settled: { asked: 700, notAsked: 700 } }, late),
      now,
    },
    {
      name: 'counts the time since its evidence',
      plan: plan(),
      evidence: evidence({ units: 3 }, { watchedMs: 3_600_000, asOf: '2026-03-01T13:00:00.000Z' }),
      now,
    },
    {
      name: 'counts from its start where the time watched is not known',
      plan: plan(),
      evidence: evidence({ units: 3 }, { watchedMs: NaN }),
      now,
    },
    {
      name: 'goes on where pauses took the time',
      plan: plan(),
      evidence: evidence({ units: 3 }, { ...late, watchedMs: 3_600_000 }),
      now,
    },
    {
      name: 'does not go on for ever where no time is known',
      plan: plan(),
      evidence: evidence({ units: 3 }, { watchedMs: NaN, since: 'once' }),
      now,
    },
  ])('$name', ({ plan: asked, evidence: seen, now: at }) => {
    expect(watchOver(asked, seen, at) ?? 'it goes on').toMatchSnapshot();
  });
});

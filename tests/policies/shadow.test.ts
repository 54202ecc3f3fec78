import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge, judgeShadow, trialOver } from '../../policies/index.ts';
import type { EvidenceCell, LiveEvidence, ShadowEvidence, ShadowPlan, Verdict } from '../../schemas/index.ts';
import {
  anyInstant,
  anyNumber,
  cellsOf,
  FIRST_WEEK,
  holds,
  maturityOf,
  shadowEvidence,
  shadowPlan,
  told,
} from './support.ts';

const BETTER = cellsOf('loss', 20, 0.05);
const WORSE = cellsOf('loss', 20, -0.05);
const live: LiveEvidence = {
  since: '2016-11-20T00:00:00.000Z',
  until: '2016-12-01T00:00:00.000Z',
  due: 2000,
  scored: 2000,
  failed: 10,
  slow: 20,
  compared: 1500,
  apart: 0,
  droppedShift: null,
};
const withLive = (over: Partial<LiveEvidence>) => shadowEvidence(BETTER, { live: { ...live, ...over } });
const LIVE = shadowPlan({ live: { sloMs: 20 } });
const BRIER = shadowPlan({ guardrails: [{ on: 'brier', margin: 0.01 }] });
const CALIBRATED = shadowPlan({ guardrails: [{ on: 'calibration', margin: 0.03 }] });
const SLOPE = shadowPlan({ guardrails: [{ on: 'calibrationSlope', margin: 0.03 }] });
const CITY = shadowPlan({ slices: [{ column: 'hotel', is: 'City Hotel', margin: 0.01 }] });
/** Two horizons; the long one is half of all requests. */
const HORIZONS = shadowPlan({}, { strataEdgesDays: [30] });
const long = (blocks: number) => [
  ...maturityOf(20),
  ...maturityOf(20, { stratum: 1, matured: 0, labelled: 0 }).slice(blocks),
  ...maturityOf(blocks, { stratum: 1 }),
];

interface Case {
  name: string;
  plan?: ShadowPlan;
  evidence: ShadowEvidence;
  says: Verdict['says'];
  by?: string;
}

const cases: Case[] = [
  { name: 'better: the lower bound is above the minimum effect', evidence: shadowEvidence(BETTER), says: 'pass' },
  { name: 'worse: the upper bound is below 0', evidence: shadowEvidence(WORSE), says: 'fail', by: 'effect' },
  {
    name: 'undecided between the two: says how far the band is from both',
    evidence: shadowEvidence(cellsOf('loss', 20, 0.012)),
    says: 'undecided',
    by: 'effect',
  },
  {
    name: 'identical models: no difference',
    evidence: shadowEvidence(cellsOf('loss', 20, 0, 0)),
    says: 'undecided',
    by: 'effect',
  },
  {
    name: 'a difference that never varies is no evidence',
    evidence: shadowEvidence(cellsOf('loss', 20, 0.1, 0)),
    says: 'undecided',
    by: 'effect',
  },
  {
    name: 'fewer than 10 weeks: leaning better',
    evidence: shadowEvidence(cellsOf('loss', 9, 0.05), { maturity: maturityOf(9) }),
    says: 'undecided',
    by: 'blocks',
  },
  {
    name: 'fewer than 10 days: leaning worse',
    plan: shadowPlan({ block: 'day' }),
    evidence: shadowEvidence(cellsOf('loss', 1, -0.05), { maturity: maturityOf(1) }),
    says: 'undecided',
    by: 'blocks',
  },
  {
    name: 'fewer than 10 weeks, and nothing much: leaning neither way',
    evidence: shadowEvidence(cellsOf('loss', 6, 0.005)),
    says: 'undecided',
    by: 'blocks',
  },
  {
    name: 'long horizons unseen: leaning better, no verdict',
    plan: HORIZONS,
    evidence: shadowEvidence([...BETTER, ...cellsOf('loss', 9, 0.05, 0.01, { stratum: 1 })], { maturity: long(9) }),
    says: 'undecided',
    by: 'unseen',
  },
  {
    name: 'long horizons unseen: leaning worse, no verdict',
    plan: HORIZONS,
    evidence: shadowEvidence(WORSE, { maturity: long(0) }),
    says: 'undecided',
    by: 'unseen',
  },
  {
    name: 'long horizons seen: a verdict',
    plan: HORIZONS,
    evidence: shadowEvidence([...BETTER, ...cellsOf('loss', 10, 0.05, 0.01, { stratum: 1 })], { maturity: long(10) }),
    says: 'pass',
  },
  {
    name: 'requests that never mature are unseen',
    evidence: shadowEvidence(BETTER, { undated: 500 }),
    says: 'undecided',
    by: 'unseen',
  },
  { name: 'a few requests that never mature', evidence: shadowEvidence(BETTER, { undated: 50 }), says: 'pass' },
  { name: 'nothing has matured', evidence: shadowEvidence([], { maturity: [] }), says: 'no-data', by: 'labels' },
  { name: 'due, and no row that both have scored', evidence: shadowEvidence([]), says: 'no-data', by: 'effect' },
  {
    name: 'a week with 3 % overdue is no data, however good the rest',
    evidence: shadowEvidence(BETTER, { maturity: [...maturityOf(19), { ...maturityOf(20)[19]!, overdue: 3 }] }),
    says: 'no-data',
    by: 'labels',
  },
  {
    name: 'a day with 3 % overdue is no data',
    plan: shadowPlan({ block: 'day' }),
    evidence: shadowEvidence(BETTER, { maturity: maturityOf(20, { overdue: 3 }) }),
    says: 'no-data',
    by: 'labels',
  },
  {
    name: 'a week with 2 % overdue is within the limit',
    evidence: shadowEvidence(BETTER, { maturity: maturityOf(20, { overdue: 2, labelled: 98 }) }),
    says: 'pass',
  },
  {
    name: 'more than 5 % without a score',
    evidence: shadowEvidence(BETTER, { maturity: maturityOf(20, { unscored: 6 }) }),
    says: 'no-data',
    by: 'scores',
  },
  {
    name: 'rows without a score that nobody counted',
    evidence: shadowEvidence(BETTER, { maturity: maturityOf(20, { unscored: NaN }) }),
    says: 'no-data',
    by: 'scores',
  },
  {
    name: 'counts that are no numbers',
    evidence: shadowEvidence(BETTER, { maturity: maturityOf(20, { matured: NaN }) }),
    says: 'no-data',
    by: 'labels',
  },
  {
    name: 'a sum that is not a number',
    evidence: shadowEvidence([...BETTER.slice(1), { ...BETTER[0]!, sum: NaN }]),
    says: 'no-data',
    by: 'effect',
  },
  {
    name: 'sums beyond all numbers',
    evidence: shadowEvidence(BETTER.map((cell) => ({ ...cell, sum: 1e308 }))),
    says: 'no-data',
    by: 'effect',
  },
  {
    name: 'a few sums beyond all numbers',
    evidence: shadowEvidence(cellsOf('loss', 7, 1).map((cell) => ({ ...cell, sum: 1e308 }))),
    says: 'no-data',
    by: 'effect',
  },
  {
    name: 'a stratum that the plan does not know',
    evidence: shadowEvidence(BETTER, { maturity: [...maturityOf(20), ...maturityOf(1, { stratum: 3 })] }),
    says: 'no-data',
    by: 'effect',
  },
  {
    name: 'restated weeks are told',
    evidence: shadowEvidence(BETTER, { restated: [{ block: FIRST_WEEK, rows: 2, sum: -0.31 }] }),
    says: 'pass',
  },
  {
    name: 'a guardrail holds',
    plan: BRIER,
    evidence: shadowEvidence([...BETTER, ...cellsOf('guardrail.brier', 20, 0.01)]),
    says: 'pass',
  },
  {
    name: 'a guardrail is proved broken',
    plan: BRIER,
    evidence: shadowEvidence([...BETTER, ...cellsOf('guardrail.brier', 20, -0.05)]),
    says: 'fail',
    by: 'guardrail.brier',
  },
  {
    name: 'a guardrail neither holds nor is broken',
    plan: BRIER,
    evidence: shadowEvidence([...BETTER, ...cellsOf('guardrail.brier', 20, -0.01)]),
    says: 'undecided',
    by: 'guardrail.brier',
  },
  {
    name: 'a guardrail without data',
    plan: BRIER,
    evidence: shadowEvidence(BETTER),
    says: 'no-data',
    by: 'guardrail.brier',
  },
  {
    name: 'a guardrail while too little is seen',
    plan: BRIER,
    evidence: shadowEvidence([...cellsOf('loss', 5, 0.05), ...cellsOf('guardrail.brier', 5, -0.5)]),
    says: 'undecided',
    by: 'blocks',
  },
  {
    name: 'calibration holds',
    plan: CALIBRATED,
    evidence: shadowEvidence([...BETTER, ...cellsOf('calibration', 20, 0.005)]),
    says: 'pass',
  },
  {
    name: 'calibration is broken from above',
    plan: CALIBRATED,
    evidence: shadowEvidence([...BETTER, ...cellsOf('calibration', 20, 0.08)]),
    says: 'fail',
    by: 'guardrail.calibration',
  },
  {
    name: 'the slope of calibration is broken from below',
    plan: SLOPE,
    evidence: shadowEvidence([...BETTER, ...cellsOf('calibrationSlope', 20, -0.08)]),
    says: 'fail',
    by: 'guardrail.calibrationSlope',
  },
  {
    name: 'calibration neither holds nor is broken',
    plan: CALIBRATED,
    evidence: shadowEvidence([...BETTER, ...cellsOf('calibration', 20, -0.03)]),
    says: 'undecided',
    by: 'guardrail.calibration',
  },
  {
    name: 'calibration without data',
    plan: CALIBRATED,
    evidence: shadowEvidence(BETTER),
    says: 'no-data',
    by: 'guardrail.calibration',
  },
  {
    name: 'calibration while too little is seen',
    plan: CALIBRATED,
    evidence: shadowEvidence([...cellsOf('loss', 5, 0.05), ...cellsOf('calibration', 5, 0.5)]),
    says: 'undecided',
    by: 'blocks',
  },
  {
    name: 'a slice holds',
    plan: CITY,
    evidence: shadowEvidence([...BETTER, ...cellsOf('slice.0', 20, 0.03)]),
    says: 'pass',
  },
  {
    name: 'a slice is proved broken',
    plan: CITY,
    evidence: shadowEvidence([...BETTER, ...cellsOf('slice.0', 20, -0.05)]),
    says: 'fail',
    by: 'slice.hotel=City Hotel',
  },
  {
    name: 'a slice neither holds nor is broken, and would be proved by the planned end',
    plan: CITY,
    evidence: shadowEvidence([...BETTER, ...cellsOf('slice.0', 12, -0.005)]),
    says: 'undecided',
    by: 'slice.hotel=City Hotel',
  },
  {
    name: 'a slice that could not be proved by the planned end is not in the way',
    plan: shadowPlan({ worthFinding: 0.03, slices: [{ column: 'hotel', is: 'City Hotel', margin: 0.01 }] }),
    evidence: shadowEvidence([...BETTER, ...cellsOf('slice.0', 20, 0.03, 1)]),
    says: 'pass',
  },
  { name: 'a slice without a row is not in the way', plan: CITY, evidence: shadowEvidence(BETTER), says: 'pass' },
  {
    name: 'a slice of 9 weeks is not in the way, however bad',
    plan: CITY,
    evidence: shadowEvidence([...BETTER, ...cellsOf('slice.0', 9, -0.5)]),
    says: 'pass',
  },
  {
    name: 'a slice that is unseen by its own requests is not in the way',
    plan: { ...CITY, strataEdgesDays: [30] },
    evidence: shadowEvidence([...BETTER, ...cellsOf('slice.0', 20, -0.5)], {
      maturity: [
        ...maturityOf(20, { slices: [10] }),
        ...maturityOf(1, { stratum: 1, matured: 0, labelled: 0, slices: [100] }),
      ],
    }),
    says: 'pass',
  },
  {
    name: 'a slice whose sum is not a number',
    plan: CITY,
    evidence: shadowEvidence([...BETTER, ...cellsOf('slice.0', 20, NaN)]),
    says: 'no-data',
    by: 'slice.hotel=City Hotel',
  },
  { name: 'the live part is satisfied', plan: LIVE, evidence: withLive({}), says: 'pass' },
  {
    name: 'no live part is asked, and what it says is not looked at',
    evidence: withLive({ failed: 2000 }),
    says: 'pass',
  },
  {
    name: 'no live traffic yet',
    plan: LIVE,
    evidence: shadowEvidence(BETTER),
    says: 'undecided',
    by: 'live.requests',
  },
  { name: 'it fails live', plan: LIVE, evidence: withLive({ failed: 200 }), says: 'fail', by: 'live.errors' },
  {
    name: 'it fails live, and that needs no labels',
    plan: LIVE,
    evidence: { ...withLive({ failed: 200 }), cells: [], maturity: [] },
    says: 'fail',
    by: 'live.errors',
  },
  { name: 'it is slow live', plan: LIVE, evidence: withLive({ slow: 200 }), says: 'fail', by: 'live.slow' },
  {
    name: 'slow means nothing without a limit',
    plan: shadowPlan({ live: {} }),
    evidence: withLive({ slow: 2000 }),
    says: 'pass',
  },
  {
    name: 'live scores that are not the batch’s',
    plan: LIVE,
    evidence: withLive({ apart: 1 }),
    says: 'fail',
    by: 'live.agreement',
  },
  {
    name: 'live scores that nothing was held against',
    plan: LIVE,
    evidence: withLive({ compared: 0 }),
    says: 'undecided',
    by: 'live.agreement',
  },
  {
    name: 'one live score',
    plan: LIVE,
    evidence: withLive({ compared: 1, due: 1, scored: 1, failed: 0, slow: 0, since: live.until }),
    says: 'undecided',
    by: 'live.duration',
  },
  {
    name: 'too many answers were not scored, and these are like the rest',
    plan: LIVE,
    evidence: withLive({ due: 2500, droppedShift: 0.02 }),
    says: 'undecided',
    by: 'live.scored',
  },
  {
    name: 'too many answers were not scored, and these score higher',
    plan: LIVE,
    evidence: withLive({ due: 2500, droppedShift: 0.4 }),
    says: 'undecided',
    by: 'live.scored',
  },
  {
    name: 'some answers were not scored, and these score lower',
    plan: LIVE,
    evidence: withLive({ due: 2100, droppedShift: -0.4 }),
    says: 'pass',
  },
  {
    name: 'nothing was answered while it was a shadow',
    plan: LIVE,
    evidence: withLive({ due: 0, scored: 0, failed: 0, slow: 0 }),
    says: 'undecided',
    by: 'live.errors',
  },
  {
    name: 'too short a time live',
    plan: LIVE,
    evidence: withLive({ since: '2016-11-30T18:00:00.000Z' }),
    says: 'undecided',
    by: 'live.duration',
  },
  {
    name: 'a live time that nobody can tell',
    plan: LIVE,
    evidence: withLive({ since: 'once' }),
    says: 'undecided',
    by: 'live.duration',
  },
  {
    name: 'too few live requests',
    plan: LIVE,
    evidence: withLive({ due: 700, scored: 700 }),
    says: 'undecided',
    by: 'live.requests',
  },
  {
    name: 'live counts that are no numbers',
    plan: LIVE,
    evidence: withLive({ due: NaN, scored: NaN, droppedShift: NaN, apart: NaN }),
    says: 'undecided',
    by: 'live.errors',
  },
];

describe('a shadow trial', () => {
  it.each(cases)('$name', ({ plan = shadowPlan(), evidence, says, by }) => {
    const judgement = judgeShadow(plan, evidence);
    expect({ says: judgement.verdict.says, by: judgement.verdict.limitedBy }).toEqual({ says, by });
    expect(told(judgement)).toMatchSnapshot();
  });

  it('shows every measure with its band and its maturity', () => {
    const plan = shadowPlan({
      guardrails: [{ on: 'brier', margin: 0 }],
      slices: [{ column: 'hotel', is: true, margin: 0 }],
    });
    const cells = ['loss', 'guardrail.brier', 'slice.0'].flatMap((measure) => cellsOf(measure, 20, 0.05));
    const { figures } = judgeShadow(plan, shadowEvidence(cells));
    expect(figures.map(({ name }) => name)).toEqual(['loss', 'guardrail.brier', 'slice.hotel=true']);
    for (const figure of figures)
      expect(figure).toMatchObject({
        blocks: 20,
        rows: 2000,
        unseenShare: 0,
        coverage: 1,
        expectedCoverage: 100 / 110,
      });
  });

  it('has no design effect where rows of a stratum do not vary', () => {
    const cells = BETTER.map((cell) => ({ ...cell, sumOfSquares: 0 }));
    expect(judgeShadow(shadowPlan(), shadowEvidence(cells)).figures[0]).not.toHaveProperty('designEffect');
  });

  const anyCell = fc.record({
    measure: fc.constantFrom('loss', 'loss', 'loss', 'guardrail.brier', 'calibration', 'slice.0', 'other'),
    block: fc.integer({ min: 0, max: 15 }),
    stratum: fc.integer({ min: 0, max: 1 }),
    rows: fc.integer({ min: 1, max: 100 }),
    sum: fc.double({ min: -100, max: 100, noNaN: true }),
    sumOfSquares: fc.double({ min: 0, max: 100, noNaN: true }),
  });
  const anyMaturity = fc.record({
    block: fc.integer({ min: 0, max: 15 }),
    stratum: fc.integer({ min: 0, max: 1 }),
    requests: fc.integer({ min: 100, max: 200 }),
    matured: fc.integer({ min: 90, max: 100 }),
    labelled: fc.integer({ min: 80, max: 90 }),
    early: fc.integer({ min: 0, max: 9 }),
    overdue: fc.integer({ min: 0, max: 1 }),
    twiceOverdue: fc.integer({ min: 0, max: 1 }),
    unscored: fc.integer({ min: 0, max: 3 }),
  });
  const full = shadowPlan(
    {
      alpha: 0.2,
      maxUnseen: 0.5,
      guardrails: [
        { on: 'brier', margin: 0.5 },
        { on: 'calibration', margin: 0.5 },
      ],
      slices: [{ column: 'hotel', is: 1, margin: 0.5 }],
      live: { sloMs: 5 },
    },
    { strataEdgesDays: [30], minimumEffect: 1e-9 },
  );
  const plain = shadowPlan({ alpha: 0.2, maxUnseen: 0.5 }, { strataEdgesDays: [30], minimumEffect: 1e-9 });
  const cellsAndMaturity = fc.record({
    cells: fc.array(anyCell, { minLength: 40, maxLength: 80 }),
    maturity: fc.array(anyMaturity, { minLength: 6, maxLength: 40 }),
  });

  it('never throws, and never passes without data or on what is not a number', () => {
    const broken = <T extends object>(record: fc.Arbitrary<T>) =>
      fc
        .tuple(record, fc.constantFrom('', 'sum', 'rows', 'stratum', 'matured', 'requests', 'scored'), anyNumber)
        .map(([one, field, value]) => (field in one ? { ...one, [field]: value } : one));
    const anyLive = fc.record({
      since: anyInstant,
      until: anyInstant,
      due: anyNumber,
      scored: anyNumber,
      failed: anyNumber,
      slow: anyNumber,
      compared: anyNumber,
      apart: anyNumber,
      droppedShift: fc.option(fc.double()),
    });
    const anyEvidence = fc.record({
      cells: fc.array(broken(anyCell), { maxLength: 80, size: 'max' }),
      maturity: fc.array(broken(anyMaturity), { maxLength: 40 }),
      undated: anyNumber,
      restated: fc.array(fc.record({ block: fc.integer(), rows: anyNumber, sum: fc.double() }), { maxLength: 5 }),
      live: fc.option(anyLive, { nil: undefined }),
      asOf: anyInstant,
      lastRequestAt: fc.option(anyInstant, { nil: undefined }),
    });
    fc.assert(
      fc.property(anyEvidence, anyInstant, anyInstant, (over, now, startedAt) => {
        const evidence = shadowEvidence([], over);
        for (const plan of [plain, full, { ...full, logTime: true }]) {
          const judgement = judge(plan, evidence);
          holds(judgement);
          const isBroken = evidence.cells.some(
            ({ measure, sum, rows, stratum }) => measure === 'loss' && ![sum, rows, stratum].every(Number.isFinite),
          );
          const isBlind = evidence.cells.length === 0 || evidence.maturity.length === 0 || isBroken;
          expect(isBlind && judgement.verdict.says === 'pass').toBe(false);
          trialOver(plan, evidence, { startedAt, now });
        }
      }),
      { numRuns: 400 },
    );
  });

  it('swaps better and worse when the two models are swapped', () => {
    const swap = (cells: EvidenceCell[]) => cells.map((cell) => ({ ...cell, sum: -cell.sum }));
    const opposite = { pass: 'fail', fail: 'pass', undecided: 'undecided', 'no-data': 'no-data' } as const;
    const seen = new Set<string>();
    fc.assert(
      fc.property(cellsAndMaturity, fc.constantFrom(-0.5, 0, 0.5), ({ cells, maturity }, shift) => {
        const loss = cells.map((cell) => ({ ...cell, measure: 'loss', sum: cell.sum / 100 + shift * cell.rows }));
        const { says } = judge(plain, shadowEvidence(loss, { maturity })).verdict;
        seen.add(says);
        expect(judge(plain, shadowEvidence(swap(loss), { maturity })).verdict.says).toBe(opposite[says]);
      }),
      { numRuns: 300 },
    );
    expect(seen).toContain('pass');
    expect(seen).toContain('fail');
  });

  it('does not mind the order of cells', () => {
    fc.assert(
      fc.property(cellsAndMaturity, ({ cells, maturity }) => {
        const found = judge(full, shadowEvidence(cells, { maturity }));
        const turned = { maturity: maturity.toReversed() };
        expect(judge(full, shadowEvidence(cells.toReversed(), turned))).toEqual(found);
      }),
    );
  });
});

describe('a trial that cannot go on', () => {
  const at = { startedAt: '2016-11-01T00:00:00.000Z', now: '2016-12-01T00:00:00.000Z' };
  const LOG = shadowPlan({}, { logTime: true });
  const late = (twiceOverdue: number) => shadowEvidence([], { maturity: maturityOf(20, { twiceOverdue }) });
  const undefinedRequest = (asOf: string) => shadowEvidence([], { asOf, lastRequestAt: undefined });

  it.each([
    { name: 'goes on while requests come', plan: shadowPlan(), evidence: shadowEvidence([]), over: undefined },
    {
      name: 'ends when no request came for maxWait',
      plan: shadowPlan(),
      evidence: shadowEvidence([], { lastRequestAt: '2016-11-23T00:00:00.000Z' }),
      over: 'no data',
    },
    {
      name: 'waits from its start, where requests ended before it',
      plan: shadowPlan(),
      evidence: shadowEvidence([], { lastRequestAt: '2016-10-01T00:00:00.000Z' }),
      over: 'no data',
    },
    {
      name: 'waits from its start in the log, by the time of the log',
      plan: LOG,
      evidence: undefinedRequest('2016-07-09T00:00:00.000Z'),
      over: 'no data',
    },
    {
      name: 'waits on, by the time of the log',
      plan: LOG,
      evidence: undefinedRequest('2016-07-08T00:00:00.000Z'),
      over: undefined,
    },
    { name: 'ends when labels are twice overdue', plan: shadowPlan(), evidence: late(3), over: 'no data' },
    { name: 'goes on with 2 % twice overdue', plan: shadowPlan(), evidence: late(2), over: undefined },
    {
      name: 'ends after maxDuration from its first request',
      plan: shadowPlan({ maxDuration: '20 weeks' }),
      evidence: shadowEvidence([]),
      over: 'inconclusive',
    },
    {
      name: 'has lasted since its first request, though its labels end years before',
      plan: shadowPlan({ maxDuration: '26 weeks' }, { from: '2006-07-01T00:00:00.000Z' }),
      evidence: shadowEvidence([]),
      over: undefined,
    },
    {
      name: 'has lasted since its first day, by days',
      plan: shadowPlan({ block: 'day', maxDuration: '8 days' }),
      // 2016-11-22 is the 17,127th day since 1970.
      evidence: shadowEvidence([], { maturity: maturityOf(2, { block: 17_127 }) }),
      over: 'inconclusive',
    },
    {
      name: 'has lasted since its start, where nothing was asked yet',
      plan: shadowPlan({ maxWait: '5 weeks' }, { from: '2006-07-01T00:00:00.000Z' }),
      evidence: shadowEvidence([], { maturity: [], lastRequestAt: undefined }),
      over: undefined,
    },
    {
      name: 'ends after maxDuration, by the time of the log',
      plan: shadowPlan({ maxDuration: '20 weeks' }, { logTime: true }),
      evidence: shadowEvidence([]),
      over: 'inconclusive',
    },
    {
      name: 'ends after maxDuration of the workflow, where the time of the log stands still',
      plan: shadowPlan({ maxDuration: '3 weeks' }, { logTime: true }),
      evidence: undefinedRequest('2016-07-02T00:00:00.000Z'),
      over: 'inconclusive',
    },
  ])('$name', ({ plan, evidence, over }) => {
    const found = trialOver(plan, evidence, at);
    expect(found?.over).toBe(over);
    expect(found?.because ?? 'it goes on').toMatchSnapshot();
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { axisFor, bandMarks, bandWidth, drawBand, trialHead, trialLine, trialRow } from '../../../cli/demo/band.ts';
import { Look } from '../../../schemas/index.ts';

const plain = (_: unknown, text: string) => text;
const draw = (lower: number, upper: number, value = (lower + upper) / 2) =>
  drawBand({ lower, upper, value, effect: 0.2 }, 21, 1, plain);

describe('a band as it is drawn', () => {
  it.each([
    ['round 0', -0.5, 0.5, '     ━━━━━●━┊━━━     '],
    ['above the least improvement', 0.4, 0.8, '          │ ┊ ━━●━━  '],
    ['below 0', -0.8, -0.4, '  ━━●━━   │ ┊        '],
    ['wider than the axis', -2, 2, '…━━━━━━━━━●━┊━━━━━━━…'],
    ['closed in to a point', 0.1, 0.1, '          │●┊        '],
  ])('%s', (_, lower, upper, drawn) => {
    expect(draw(lower, upper)).toBe(drawn);
  });

  it('is always as wide as it was asked to be, with the mean inside the band', () => {
    const finite = fc.double({ min: -10, max: 10, noNaN: true });
    fc.assert(
      fc.property(
        finite,
        finite,
        fc.integer({ min: 5, max: 80 }),
        fc.double({ min: 0.001, max: 10, noNaN: true }),
        (a, b, width, scale) => {
          const [lower, upper] = [Math.min(a, b), Math.max(a, b)];
          const marks = bandMarks({ lower, upper, value: (a + b) / 2, effect: scale / 8 }, width, scale);
          expect(marks).toHaveLength(width);
          expect(marks.every(Boolean)).toBe(true);
        },
      ),
    );
  });
});

it.each([
  [{ lower: -0.03, upper: 0.04, effect: 0.001 }, 0.05],
  [{ lower: -0.03, upper: 0.04, effect: 0.01 }, 0.05],
  [{ lower: -0.001, upper: 0.001, effect: 0.01 }, 0.05],
  [{ lower: -30, upper: 0.04, effect: 0.01 }, 0.5],
])('the axis for %o reaches to %d', (drawn, scale) => {
  expect(axisFor({ ...drawn, value: 0 })).toBeCloseTo(scale, 12);
});

const at = '2016-10-21T00:00:00.000Z';
const shadow = (o: {
  says: Look['verdict']['says'];
  limitedBy?: string;
  effect?: string;
  figures?: Look['figures'];
}): Look =>
  Look.parse({
    model: 'hotel-cancellations',
    versions: [1, 2],
    kind: 'shadow',
    at,
    window: { from: at, to: at },
    plan: {
      kind: 'shadow',
      stage: { kind: 'shadow' },
      champion: 1,
      challenger: 2,
      from: '2016-07-01T00:00:00.000Z',
      loss: 'logLoss',
      minimumEffect: 0.01,
      tightestAt: 16,
      strataEdgesDays: [],
      logTime: true,
    },
    revision: 3,
    evidence: {
      kind: 'shadow',
      asOf: at,
      finalBefore: 0,
      maturity: [],
      cells: [],
      undated: 0,
      restated: [],
      scores: [],
    },
    rules: [{ rule: 'effect', says: 'undecided', because: o.effect ?? 'neither better nor worse yet' }],
    figures: o.figures ?? [],
    verdict: { says: o.says, because: 'in full', limitedBy: o.limitedBy },
    build: 'test',
  });

describe('a look in one line', () => {
  it('has the date of the log, the day of the trial, and the maturity of its band', () => {
    const figures = [
      {
        name: 'loss',
        value: 0.02,
        lower: 0.011,
        upper: 0.03,
        limit: 0.01,
        blocks: 15,
        unseenShare: 0.24,
        coverage: 0.999,
        expectedCoverage: 0.42,
      },
    ];
    const line = trialLine(shadow({ says: 'pass', figures }));
    expect(line).toEqual({
      date: '2016-10-21',
      day: 112,
      blocks: 15,
      drawn: { lower: 0.011, upper: 0.03, value: 0.02, effect: 0.01 },
      unseen: 0.24,
      coverage: 0.999,
      due: 0.42,
      says: 'better',
    });
    expect(trialRow(line, 100, 0.05, plain)).toBe(
      '2016-10-21   112     15               │ ┊━━●━━         24 %   42 %  100 %  better',
    );
  });

  it.each<[string, Parameters<typeof shadow>[0]]>([
    ['better', { says: 'pass' }],
    ['worse', { says: 'fail', limitedBy: 'effect' }],
    ['fails: guardrail.brier', { says: 'fail', limitedBy: 'guardrail.brier' }],
    ['nothing due yet', { says: 'no-data', limitedBy: 'labels' }],
    ['no data yet', { says: 'no-data', limitedBy: 'effect' }],
    ['too early (leaning better)', { says: 'undecided', limitedBy: 'blocks', effect: 'leaning better: mean logLoss' }],
    ['too much unseen (leaning worse)', { says: 'undecided', limitedBy: 'unseen', effect: 'leaning worse: mean' }],
    ['too much unseen', { says: 'undecided', limitedBy: 'unseen' }],
    ['no difference', { says: 'undecided', limitedBy: 'effect', effect: 'no difference: the two models say the same' }],
    ['better; too little live', { says: 'undecided', limitedBy: 'live.requests', effect: 'better: mean logLoss' }],
    ['undecided', { says: 'undecided', limitedBy: 'effect' }],
  ])('says: %s', (says, o) => {
    expect(trialLine(shadow(o)).says).toBe(says);
  });

  it('without a band its row has a dot where 0 is', () => {
    const row = trialRow(trialLine(shadow({ says: 'no-data', limitedBy: 'labels' })), 80, 0.1, plain);
    expect(row).toContain('          ·          ');
  });

  it('head and rows are aligned, on any screen', () => {
    for (const width of [60, 80, 100, 130]) {
      const head = trialHead(width, 0.1);
      const row = trialRow(trialLine(shadow({ says: 'no-data', limitedBy: 'labels' })), width, 0.1, plain);
      expect(row.indexOf('·')).toBe(head.indexOf('0', head.indexOf('weeks') + 7 + bandWidth(width) / 2 - 1));
      expect(row.indexOf('nothing')).toBe(head.indexOf('verdict'));
    }
  });
});

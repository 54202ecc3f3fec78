import { describe, expect, it } from 'vitest';
import { ACTS } from '../../../cli/demo/acts.ts';
import { judgeDemo, type Told } from '../../../cli/demo/summary.ts';
import type { RolloutResult } from '../../../schemas/index.ts';

const ended = (outcome: RolloutResult['outcome']): RolloutResult => ({
  outcome,
  model: 'm',
  version: 2,
  because: 'said so',
});
const look = (day: number, says: Told['looks'][number]['says']) => ({
  day,
  says,
  because: 'a rule',
  key: `looks/m/${day}`,
});

const tally = {
  days: 100,
  requests: 1000,
  rows: 9000,
  labels: 4000,
  failed: 0,
  firstFailures: [] as string[],
  assigned: {},
  versions: {},
  latencyMs: [],
};

const good: Told = {
  looks: [look(3, 'no-data'), look(60, 'undecided'), look(88, 'pass')],
  promotion: ended('promoted'),
  broken: [
    { harm: 'hangs', outcome: 'rolled back', failed: 0 },
    { harm: 'NaN', outcome: 'rolled back', failed: 0 },
  ],
};

describe('act 1 came out as it is promised', () => {
  const judged = (told: Partial<Told>, more: Partial<typeof tally> = {}) =>
    judgeDemo(ACTS['1'].expects, { ...good, ...told, tally: { ...tally, ...more } });

  it('when the trial finds better in time, and everything after it goes well', () => {
    expect(judged({})).toEqual({
      ok: true,
      lines: [
        '✓ better on day 88 (from 80 to 200 is expected), look 3',
        '✓ the challenger is promoted: said so',
        '✓ the version that hangs is rolled back, 0 requests failed',
        '✓ the version that answers NaN is rolled back, 0 requests failed',
        '✓ 1,000 requests with 9,000 bookings and 4,000 outcomes: all answered with 2xx',
      ],
    });
  });

  it.each<[string, Partial<Told>, Partial<typeof tally>, string]>([
    [
      'a look says fail before',
      { looks: [look(50, 'fail'), look(88, 'pass')] },
      {},
      '✗ on day 50 a look says fail; better is expected: a rule',
    ],
    [
      'no look decides',
      { looks: [look(90, 'undecided')] },
      {},
      '✗ the trial found nothing in 1 looks; better is expected',
    ],
    [
      'it passes too early',
      { looks: [look(79, 'pass')] },
      {},
      '✗ better on day 79 (from 80 to 200 is expected), look 1',
    ],
    [
      'it passes too late',
      { looks: [look(201, 'pass')] },
      {},
      '✗ better on day 201 (from 80 to 200 is expected), look 1',
    ],
    ['it is not promoted', { promotion: ended('rolled back') }, {}, '✗ the challenger is rolled back: said so'],
    [
      'nobody approved',
      { promotion: undefined, trial: ended('rejected') },
      {},
      '✗ the challenger did not get to a canary: said so',
    ],
    [
      'a broken one is promoted',
      { broken: [{ harm: 'hangs', outcome: 'promoted', failed: 0 }, good.broken[1]!] },
      {},
      '✗ the version that hangs is promoted, 0 requests failed',
    ],
    [
      'a broken one costs an answer',
      { broken: [good.broken[0]!, { harm: 'NaN', outcome: 'rolled back', failed: 2 }] },
      {},
      '✗ the version that answers NaN is rolled back, 2 requests failed',
    ],
    [
      'a broken one had no turn',
      { broken: [good.broken[0]!] },
      {},
      '✗ the version that answers NaN did not get its turn',
    ],
    [
      'an answer is not 2xx',
      {},
      { failed: 1, firstFailures: ['predict: 500'] },
      '✗ 1 of 1,000 requests with 9,000 bookings and 4,000 outcomes were not answered with 2xx: predict: 500',
    ],
    [
      'nothing was asked',
      {},
      { requests: 0, rows: 0, labels: 0 },
      '✗ 0 requests with 0 bookings and 0 outcomes: all answered with 2xx',
    ],
  ])('not when %s', (_, told, more, says) => {
    const { ok, lines } = judged(told, more);
    expect(ok).toBe(false);
    expect(lines).toContain(says);
  });
});

describe('act 2 came out as it is promised', () => {
  const judged = (told: Partial<Told>) => judgeDemo(ACTS['2'].expects, { looks: [], broken: [], ...told, tally });

  it('when the trial finds worse, and the challenger is rejected', () => {
    expect(judged({ looks: [look(200, 'undecided'), look(390, 'fail')], trial: ended('rejected') })).toEqual({
      ok: true,
      lines: [
        '✓ worse on day 390, look 2: a rule',
        '✓ the challenger is rejected',
        '✓ 1,000 requests with 9,000 bookings and 4,000 outcomes: all answered with 2xx',
      ],
    });
  });

  it('not when a look says pass before', () => {
    expect(judged({ looks: [look(150, 'pass')] })).toMatchObject({ ok: false });
  });

  it('not when the challenger is still there', () => {
    expect(judged({ looks: [look(390, 'fail')] })).toMatchObject({ ok: false });
  });
});

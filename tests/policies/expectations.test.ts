import { describe, expect, it } from 'vitest';
import { judgeExpectation } from '../../policies/index.ts';
import type { Expectation, ExpectationCounts } from '../../schemas/index.ts';

const counts = (o: Partial<ExpectationCounts>): ExpectationCounts => ({
  source: 's',
  rows: 120_000,
  failed: 0,
  examples: [],
  ...o,
});
const column = 'c';

describe('judgeExpectation', () => {
  it.each<[Expectation, Partial<ExpectationCounts>, boolean, string]>([
    [{ expect: 'exists', column }, {}, true, 'the column is there'],
    [
      { expect: 'exists', column },
      { failed: undefined, uncountable: 'there is no column c.' },
      false,
      'there is no column c.',
    ],
    [{ expect: 'not_null', column }, {}, true, 'all 120,000 rows hold'],
    [{ expect: 'not_null', column }, { failed: 1 }, false, '1 of 120,000 rows (under 0.01 %) have none'],
    [{ expect: 'not_null', column }, { rows: 0 }, false, 's has no rows to look at'],
    [{ expect: 'unique', column }, { failed: 1200 }, false, '1,200 of 120,000 rows (1 %) repeat a value'],
    [
      { expect: 'between', column, min: 1 },
      { failed: 119_999 },
      false,
      '119,999 of 120,000 rows (over 99.99 %) are outside',
    ],
    [
      { expect: 'in_set', column, values: ['x'] },
      { failed: 40_001 },
      false,
      '40,001 of 120,000 rows (33.3 %) have another value',
    ],
    [{ expect: 'row_count_between', min: 1 }, {}, true, '120,000 rows'],
    [{ expect: 'row_count_between', max: 1 }, { failed: 119_999 }, false, '120,000 rows'],
    [{ expect: 'unique', column }, { failed: NaN }, false, 'the rows that break it could not be counted'],
  ])('%o with %o: %s, because %s', (expectation, measured, passed, because) => {
    expect(judgeExpectation(expectation, counts(measured))).toMatchObject({ passed, because });
  });

  it.each<[Expectation, string]>([
    [{ expect: 'between', column, max: 5 }, 'between(c, -∞, 5) on s'],
    [{ expect: 'row_count_between', min: 5 }, 'row_count_between(5, ∞) on s'],
    [{ expect: 'in_set', column, values: [1, 2, 3, 4, 5, 6, 7] }, 'in_set(c, 1, 2, 3, 4, 5, and 2 more) on s'],
    [{ expect: 'unique', column }, 'unique(c) on s'],
  ])('%o is said %s', (expectation, words) => {
    expect(judgeExpectation(expectation, counts({})).expectation).toBe(words);
  });
});

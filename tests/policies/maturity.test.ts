import { describe, expect, it } from 'vitest';
import { coverageByBlock, maturityOf, restatedInWords } from '../../policies/index.ts';
import { labelsRule } from '../../policies/maturity.ts';
import { blockName, count, lasting, percent, show } from '../../policies/words.ts';
import { FIRST_WEEK, maturityOf as cellsOf, shadowEvidence } from './support.ts';

describe('the ground-truth clock', () => {
  it('says what is due, what is known of it, and what was to be expected by now', () => {
    const maturity = cellsOf(3, { overdue: 1, twiceOverdue: 1, unscored: 2, labelled: 99 });
    expect(maturityOf({ maturity, undated: 70 })).toEqual({
      requests: 400,
      due: 300,
      labelled: 297,
      early: 6,
      overdue: 3,
      twiceOverdue: 3,
      unscored: 6,
      coverage: 0.99,
      expectedCoverage: 0.75,
    });
    expect(maturityOf({ maturity: [], undated: 0 })).toMatchObject({
      coverage: undefined,
      expectedCoverage: undefined,
    });
  });

  it('gives the coverage curve block by block, the strata of a block together, the oldest first', () => {
    const maturity = [
      ...cellsOf(2, { stratum: 1, requests: 100, matured: 0, labelled: 0 }).toReversed(),
      ...cellsOf(1, { requests: 100, matured: 50, labelled: 40 }),
    ];
    expect(coverageByBlock(maturity)).toEqual([
      { block: FIRST_WEEK, requests: 200, due: 50, labelled: 40, coverage: 0.8, expected: 0.25 },
      { block: FIRST_WEEK + 1, requests: 100, due: 0, labelled: 0, coverage: undefined, expected: 0 },
    ]);
  });

  it('names blocks that were restated, the oldest three', () => {
    const restated = [4, 2, 0, 1].map((i) => ({ block: FIRST_WEEK + i, rows: i - 1, sum: 0.5 - i / 3 }));
    expect([
      restatedInWords([], 'week'),
      restatedInWords(restated.slice(0, 1), 'week'),
      restatedInWords(restated, 'week'),
      restatedInWords([{ block: 16_986, rows: NaN, sum: NaN }], 'day'),
    ]).toMatchInlineSnapshot(`
      [
        undefined,
        "1 week restated since the look before (week of 2016-08-01: +3 rows, loss -0.8333)",
        "4 weeks restated since the look before (week of 2016-07-04: -1 rows, loss +0.5; week of 2016-07-11: +0 rows, loss +0.1667; week of 2016-07-18: +1 rows, loss -0.1667; and 1 more)",
        "1 day restated since the look before (2016-07-04: changed by an unknown amount rows, loss changed by an unknown amount)",
      ]
    `);
  });

  it.each([
    ['one of 49 due rows says nothing about a week', 1, { matured: 49, overdue: 1 }, 'pass'],
    ['nor does one of 50', 1, { matured: 50, overdue: 1 }, 'pass'],
    ['two of 50 do', 1, { matured: 50, overdue: 2 }, 'no-data'],
    ['weeks of few rows are judged together', 6, { matured: 10, overdue: 1 }, 'no-data'],
    ['and may be within the limit', 30, { matured: 10, overdue: 0 }, 'pass'],
  ] as const)('overdue: %s', (_, weeks, cell, says) => {
    expect(labelsRule(shadowEvidence([], { maturity: cellsOf(weeks, cell) }), 'week').says).toBe(says);
  });

  it('says of weeks of few rows that it is these', () => {
    const maturity = cellsOf(6, { matured: 10, overdue: 1 });
    expect(labelsRule(shadowEvidence([], { maturity }), 'week').because).toMatchInlineSnapshot(
      `"6 of 60 due rows of the weeks with fewer than 50 of them (10 %) have no outcome, at most 2 % may lack one"`,
    );
  });

  it('says numbers as people do', () => {
    expect([
      ...[0, 0.0001, 0.031, 0.5, 0.99999, 1].map(percent),
      ...[1_000, 90_000, 3_600_000, 5_400_000, 86_400_000, 1e9, 400].map(lasting),
      ...[0, 1, 1234].map((n) => count(n, 'week')),
      ...[0, -0.0123456, 12_345.678].map(show),
      blockName(FIRST_WEEK, 'week'),
      blockName(16_986, 'day'),
      blockName(1e12, 'week'),
    ]).toMatchInlineSnapshot(`
      [
        "0 %",
        "under 0.1 %",
        "3.1 %",
        "50 %",
        "over 99.9 %",
        "100 %",
        "1 second",
        "1.5 minutes",
        "1 hour",
        "1.5 hours",
        "1 day",
        "11.6 days",
        "0.4 seconds",
        "0 weeks",
        "1 week",
        "1,234 weeks",
        "0",
        "-0.01235",
        "12350",
        "week of 2016-07-04",
        "2016-07-04",
        "week 1000000000000",
      ]
    `);
  });
});

import type { Expectation, ExpectationCounts, ExpectationResult } from '../schemas/index.ts';

/**
 * Judges what was counted for one expectation.
 *
 *   1. What could not be counted has failed: a column that is not there, or of a type that the limits do not fit.
 *   2. Of a source without rows nothing is known, so whatever speaks of its rows has failed.
 *   3. One row that breaks it is enough to fail.
 */
export function judgeExpectation(expectation: Expectation, counts: ExpectationCounts): ExpectationResult {
  const { rows, failed, examples } = counts;
  const result = { expectation: inWords(expectation, counts.source), rows, examples };
  if (counts.uncountable !== undefined || failed === undefined || !Number.isSafeInteger(failed) || failed < 0)
    return {
      ...result,
      passed: false,
      failed: 0,
      because: counts.uncountable ?? 'the rows that break it could not be counted',
    };
  if (expectation.expect === 'exists') return { ...result, passed: true, failed, because: 'the column is there' };
  if (expectation.expect === 'row_count_between')
    return { ...result, passed: failed === 0, failed, because: `${grouped(rows)} rows` };
  if (rows === 0) return { ...result, passed: false, failed, because: `${counts.source} has no rows to look at` };
  if (failed === 0) return { ...result, passed: true, failed, because: `all ${grouped(rows)} rows hold` };
  return {
    ...result,
    passed: false,
    failed,
    because: `${grouped(failed)} of ${grouped(rows)} rows (${share(failed / rows)}) ${BREAKS[expectation.expect]}`,
  };
}

const BREAKS = {
  not_null: 'have none',
  unique: 'repeat a value',
  between: 'are outside',
  in_set: 'have another value',
} as const;

const MOST_VALUES = 5;

/** As a person would say it: between(lead_time, 0, 800) on hotel_bookings. */
function inWords(expectation: Expectation, source: string): string {
  const limits = ({ min, max }: { min?: number | string; max?: number | string }) => `${min ?? '-∞'}, ${max ?? '∞'}`;
  const said = () => {
    switch (expectation.expect) {
      case 'between':
        return `between(${expectation.column}, ${limits(expectation)})`;
      case 'row_count_between':
        return `row_count_between(${limits(expectation)})`;
      case 'in_set': {
        const { column, values } = expectation;
        const more = values.length - MOST_VALUES;
        return `in_set(${column}, ${values.slice(0, MOST_VALUES).join(', ')}${more > 0 ? `, and ${more} more` : ''})`;
      }
      case 'exists':
      case 'not_null':
      case 'unique':
        return `${expectation.expect}(${expectation.column})`;
    }
  };
  return `${said()} on ${source}`;
}

function grouped(n: number): string {
  return n.toLocaleString('en-US');
}

/** A share that rounds to nothing still says that there is something. */
function share(x: number): string {
  const percent = 100 * x;
  if (percent < 0.01) return 'under 0.01 %';
  if (percent > 99.99 && percent < 100) return 'over 99.99 %';
  return `${percent.toFixed(percent < 10 ? 2 : 1).replace(/\.?0+$/, '')} %`;
}

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { derive, parseDate, parseTimestamp } from '../../onnx/index.ts';
import { graphOf, table } from './support/graphs.ts';

const PARTS = ['year', 'month', 'day', 'weekday', 'dayofyear'] as const;
type DateRow = Record<(typeof PARTS)[number] | 'days', number> & { date: string };
const derived = Object.fromEntries(PARTS.map((part) => [part, `${part}(d)`]));
const graph = graphOf({ d: { type: 'date' } }, derived);

async function partsOf(days: Float64Array): Promise<Record<string, Float64Array>> {
  const result = await derive(graph, table({ d: days }), new Float64Array(days.length));
  return result.derived.columns as Record<string, Float64Array>;
}

describe('date parts', () => {
  it("are those of Python's datetime", async () => {
    const golden = JSON.parse(readFileSync(new URL('../golden/onnx/dates.json', import.meta.url), 'utf8')) as DateRow[];
    expect(golden.map(({ date }) => parseDate(date))).toEqual(golden.map(({ days }) => days));
    const parts = await partsOf(Float64Array.from(golden, ({ days }) => days));
    const wanted = PARTS.map((part) => [part, Float64Array.from(golden, (row) => row[part])]);
    expect(parts).toEqual(Object.fromEntries(wanted));
  });

  it("are those of JavaScript's Date for every day from 1900 to 2200", async () => {
    const from = parseDate('1900-01-01')!;
    const to = parseDate('2200-12-31')!;
    const days = Float64Array.from({ length: to - from + 1 }, (_, i) => from + i);
    const parts = await partsOf(days);
    const wrong = days.filter((day, i) => {
      const date = new Date(day * 86_400_000);
      const year = date.getUTCFullYear();
      return (
        parts['year']![i] !== year ||
        parts['month']![i] !== date.getUTCMonth() + 1 ||
        parts['day']![i] !== date.getUTCDate() ||
        parts['weekday']![i] !== ((date.getUTCDay() + 6) % 7) + 1 ||
        parts['dayofyear']![i] !== (date.getTime() - Date.UTC(year, 0, 1)) / 86_400_000 + 1
      );
    });
    expect([...wrong]).toEqual([]);
  });
});

describe('times as text', () => {
  it.each([
    ['2017-03-01', 17_226],
    ['1970-01-01', 0],
    ['0001-01-01', -719_162],
    ['9999-12-31', 2_932_896],
    ['2017-02-29', undefined],
    ['2017-13-01', undefined],
    ['2017-3-1', undefined],
    ['0000-01-01', undefined],
    ['2017-03-01T00:00:00Z', undefined],
  ])('the date %s is day %s', (text, days) => expect(parseDate(text)).toBe(days));

  it.each([
    ['1970-01-02', 86_400],
    ['1970-01-01T00:00:01.5Z', 1.5],
    ['1970-01-01 01:00', 3600],
    ['1970-01-01T01:00:00+01:00', 0],
    ['1970-01-01T00:00:00-0130', 5400],
    ['1970-01-01T24:00:00Z', undefined],
    ['1970-01-01T00:60:00Z', undefined],
    ['1970-02-30T00:00:00Z', undefined],
    ['soon', undefined],
  ])('the time %s is second %s', (text, seconds) => expect(parseTimestamp(text)).toBe(seconds));
});

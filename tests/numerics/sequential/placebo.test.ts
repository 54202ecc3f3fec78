import { describe, expect, it } from 'vitest';
import { Random } from '../../../numerics/random.ts';
import { mixtureParameter } from '../../../numerics/sequential/confidence-sequence.ts';
import { placeboRate, type PlaceboCell } from '../../../numerics/sequential/placebo.ts';
import { stratifiedBand, type Cell } from '../../../numerics/sequential/stratified-band.ts';
import { normalQuantile } from '../../../numerics/special/normal-quantile.ts';

/** 2016-07-04, a Monday. */
const MONDAY = 16_986;
const normal = (random: Random) => normalQuantile(Math.max(random.float(), 2 ** -33));

interface Row {
  day: number;
  stratum: number;
  d: number;
}

/** Rows of whole weeks whose days, and weeks, have something in common. */
function rowsOf(seed: number, weeks: number, perDay: number, week: number, day: number, strata = 2): Row[] {
  const random = new Random(seed);
  const rows: Row[] = [];
  for (let w = 0; w < weeks; w++) {
    const ofWeek = week * normal(random);
    for (let i = 0; i < 7; i++) {
      const ofDay = day * normal(random);
      for (let row = 0; row < perDay; row++)
        rows.push({ day: MONDAY + 7 * w + i, stratum: row % strata, d: ofWeek + ofDay + normal(random) });
    }
  }
  return rows;
}

const cellsOf = (rows: readonly Row[]): PlaceboCell[] =>
  rows.map(({ day, stratum, d }) => ({ day, stratum, rows: 1, sum: d, sumOfSquares: d * d }));

const options = { alpha: 0.05, tightestAt: 26, maxUnseen: 0.1, trials: 500 };

/** Large, so that every unit reaches a verdict in some trials. */
const ALPHA = 0.9;

describe('placebo trials', () => {
  it('equal a trial by trial reckoning with the stratified band', () => {
    const rows = rowsOf(3, 20, 2, 0.5, 0.5);
    const shares = [0.7, 0.3];
    const trials = 25;
    for (const lookEvery of ['week', 'day'] as const) {
      const found = placeboRate(cellsOf(rows), shares, {
        ...options,
        alpha: ALPHA,
        trials,
        lookEvery,
        random: draws(5),
      });
      const expected = slowly(rows, shares, trials, lookEvery, draws(5));
      expect(found).toEqual({ trials, weeks: 20, ...expected });
      // The comparison is of something.
      expect(found.byRequest).toBeGreaterThan(found.byWeek);
      expect(found.byWeek).toBeGreaterThan(0);
      expect(found.byFortnight).toBeGreaterThan(0);
    }
  });

  it('find out that requests, and days, are not independent where weeks have something in common', () => {
    const rates = placeboRate(cellsOf(rowsOf(7, 30, 20, 0.5, 0.3)), [1, 1], { ...options, random: draws(1) });
    expect(rates.byRequest).toBeGreaterThan(0.5);
    expect(rates.byDay).toBeGreaterThan(1.5 * 2 * options.alpha);
    expect(rates.byWeek).toBeLessThan(1.5 * 2 * options.alpha);
  });

  it('let requests pass where they are independent', () => {
    const rates = placeboRate(cellsOf(rowsOf(8, 30, 10, 0, 0)), [1, 1], { ...options, random: draws(2) });
    for (const rate of [rates.byRequest, rates.byDay, rates.byWeek, rates.byFortnight])
      expect(rate).toBeLessThanOrEqual(1.5 * 2 * options.alpha);
  });

  it('show by fortnight flips what a week has in common with the next', () => {
    const rows = rowsOf(9, 40, 10, 0.8, 0);
    const byFortnight = rows.map((row) => {
      const first = MONDAY + 14 * Math.floor((row.day - MONDAY) / 14);
      return { ...row, d: rows.find(({ day }) => day === first)!.d };
    });
    const rates = placeboRate(cellsOf(byFortnight), [1, 1], { ...options, random: draws(3) });
    expect(rates.byFortnight).toBeGreaterThan(rates.byWeek);
  });

  it('reach no verdict before 10 blocks, with too much unseen, or where nothing varies', () => {
    const none = { byRequest: 0, byDay: 0, byWeek: 0, byFortnight: 0 };
    const short = placeboRate(cellsOf(rowsOf(1, 9, 10, 5, 5)), [1, 1], { ...options, random: draws(1) });
    expect(short).toMatchObject({ weeks: 9, byWeek: 0, byFortnight: 0 });
    const unseen = placeboRate(cellsOf(rowsOf(1, 20, 10, 5, 5, 1)), [0.8, 0.2], { ...options, random: draws(1) });
    expect(unseen).toMatchObject(none);
    const same = rowsOf(1, 20, 10, 0, 0).map((row) => ({ ...row, d: 0 }));
    expect(placeboRate(cellsOf(same), [1, 1], { ...options, random: draws(1) })).toMatchObject(none);
    expect(placeboRate([], [1], { ...options, random: draws(1) })).toEqual({ trials: 500, weeks: 0, ...none });
  });

  it('take days in any order, and a cell in parts', () => {
    const cells = cellsOf(rowsOf(4, 12, 6, 1, 1));
    const found = placeboRate(cells, [1, 1], { ...options, random: draws(1) });
    expect(placeboRate(cells.toReversed(), [2, 2], { ...options, random: draws(1) })).toEqual(found);
  });

  it('500 trials of 30 weeks and four strata are quick', () => {
    const cells = cellsOf(rowsOf(2, 30, 8, 1, 1, 4));
    const from = performance.now();
    placeboRate(cells, [1, 1, 1, 1], { ...options, random: draws(1) });
    expect(performance.now() - from).toBeLessThan(5_000);
  });

  it('refuse what is no evidence', () => {
    const cell = { day: MONDAY, stratum: 0, rows: 1, sum: 1, sumOfSquares: 1 };
    const ask = (over: Partial<PlaceboCell>, shares = [1], trials = 1) =>
      placeboRate([{ ...cell, ...over }], shares, { ...options, trials, random: draws(1) });
    expect(() => ask({}, [1], 0)).toThrow('0 trials');
    expect(() => ask({}, [NaN])).toThrow('shares NaN');
    expect(() => ask({ stratum: 1 })).toThrow('no share');
    expect(() => ask({ rows: 0 })).toThrow('0 rows');
    expect(() => ask({ sum: NaN })).toThrow('sums to NaN');
    expect(() => ask({ day: 0.5 })).toThrow('day 0.5');
  });
});

function draws(seed: number): () => number {
  const random = new Random(seed);
  return () => random.float();
}

/** The same by the book: every look is a stratified band over all rows so far. */
function slowly(
  rows: readonly Row[],
  shares: number[],
  trials: number,
  lookEvery: 'week' | 'day',
  random: () => number,
) {
  const weekOf = (day: number) => Math.floor((day - MONDAY) / 7);
  const weeks = 1 + Math.max(...rows.map(({ day }) => weekOf(day)));
  const flips = (size: number) => {
    const signs: number[] = [];
    for (let week = 0; week < weeks; week++)
      signs.push(week % size === 0 ? (random() < 0.5 ? -1 : 1) : signs[week - 1]!);
    return signs;
  };
  const lastDay = Math.max(...rows.map(({ day }) => day));
  const decides = (signs: number[], blockOf: (row: Row, i: number) => number, perWeek: number) => {
    const r = mixtureParameter(26 * perWeek, ALPHA);
    for (let day = MONDAY; day <= lastDay; day++) {
      if (lookEvery === 'week' && (day - MONDAY) % 7 !== 6) continue;
      const cells: Cell[] = rows
        .map((row, i) => ({ row, i }))
        .filter(({ row }) => row.day <= day)
        .map(({ row, i }) => ({
          stratum: row.stratum,
          block: blockOf(row, i),
          rows: 1,
          sum: signs[weekOf(row.day)]! * row.d,
          sumOfSquares: row.d ** 2,
        }));
      const band = stratifiedBand(cells, shares, { alpha: ALPHA, sides: 1, r });
      if (band && band.unseenShare <= 0.1 && (band.lower > 0 || band.upper < 0)) return true;
    }
    return false;
  };
  const counts = { byRequest: 0, byDay: 0, byWeek: 0, byFortnight: 0 };
  for (let trial = 0; trial < trials; trial++) {
    const byWeek = flips(1);
    const byFortnight = flips(2);
    counts.byRequest += Number(decides(byWeek, (_, i) => i, rows.length / weeks));
    counts.byDay += Number(decides(byWeek, ({ day }) => day, 7));
    counts.byWeek += Number(decides(byWeek, ({ day }) => weekOf(day), 1));
    counts.byFortnight += Number(decides(byFortnight, ({ day }) => weekOf(day), 1));
  }
  return {
    byRequest: counts.byRequest / trials,
    byDay: counts.byDay / trials,
    byWeek: counts.byWeek / trials,
    byFortnight: counts.byFortnight / trials,
  };
}

import { confidenceRadius, mixtureParameter } from './confidence-sequence.ts';
import { LEAST_BLOCKS } from './stratified-band.ts';

/** Rows of one stratum predicted on one day: their number, and the sums of their differences of loss and of the squares. */
export interface PlaceboCell {
  /** Since 1970. */
  day: number;
  stratum: number;
  rows: number;
  sum: number;
  sumOfSquares: number;
}

export interface PlaceboOptions {
  alpha: number;
  /** n* of {@link mixtureParameter}, in weeks; for days and requests it is as much of time. */
  tightestAt: number;
  /** Largest share in strata of fewer than LEAST_BLOCKS, for a verdict. */
  maxUnseen: number;
  trials: number;
  /** Uniform on [0, 1). */
  random: () => number;
  /** How often one looks; default at the end of every week. */
  lookEvery?: 'week' | 'day';
}

/** Shares of the placebo trials that reached a verdict, by what was taken for the unit of evidence. */
export interface PlaceboRates {
  trials: number;
  /** With a row. */
  weeks: number;
  byRequest: number;
  byDay: number;
  byWeek: number;
  /** By week as well, of trials whose signs were flipped by whole fortnights. */
  byFortnight: number;
}

/**
 * How often a trial of two equal models says that one is better, on a model's own log.
 *
 * A placebo trial takes the differences d of two models (a recipe and its reseeded twin), and changes their sign in whole
 * weeks, by chance: so the mean is 0 in truth, and all that rows of one week have in common stays in them. It looks at the
 * end of every week, or day, with the band of a trial,
 *
 *   | m | > radius(n, s, r, α) one-sided, from LEAST_BLOCKS on  →  a verdict, better or worse
 *
 * where m and s are those of stratifiedBand over the rows predicted so far, with the request, the day or the week as its
 * block. A unit whose blocks are independent under these flips reaches a verdict in at most 2 α: better and worse each
 * cost α, and by symmetry each is half of it. Fortnight flips show what weeks have in common with the next: they choose
 * nothing. Labels count as known at once.
 *
 * O(trials · looks · blocks · strata): 500 trials of 30 weeks take some tenths of a second.
 *
 * @param cells   a day and stratum that is named twice counts as one
 * @param shares  [strata] of all requests, of any sum; a stratum with rows has one above 0
 * @returns       rates of 0 where there is no row
 * @throws {RangeError} if a number is not finite, a cell has no rows or its stratum no share, or trials are no positive number
 * @see statistics.md, "Placebo alpha"
 */
export function placeboRate(
  cells: readonly PlaceboCell[],
  shares: ArrayLike<number>,
  { alpha, tightestAt, maxUnseen, trials, random, lookEvery = 'week' }: PlaceboOptions,
): PlaceboRates {
  if (!(Number.isInteger(trials) && trials > 0)) throw new RangeError(`placeboRate: ${trials} trials`);
  const log = dense(cells, shares, lookEvery);
  const { weeks, days, rows } = log;
  const rates = { byRequest: 0, byDay: 0, byWeek: 0, byFortnight: 0 };
  if (weeks === 0) return { trials, weeks, ...rates };
  const flips = (size: number): Float64Array => {
    const signs = new Float64Array(weeks);
    for (let week = 0; week < weeks; week++)
      signs[week] = week % size === 0 ? (random() < 0.5 ? -1 : 1) : signs[week - 1]!;
    return signs;
  };
  const unit = (blockOfDay: Int32Array | undefined, perWeek: number) => ({
    blockOfDay,
    r: mixtureParameter(tightestAt * perWeek, alpha),
    alpha,
    maxUnseen,
  });
  const request = unit(undefined, Math.max(1, rows / weeks));
  const day = unit(
    Int32Array.from({ length: days }, (_, i) => i),
    7,
  );
  const week = unit(log.weekOfDay, 1);
  const scratch = createScratch(log);
  for (let trial = 0; trial < trials; trial++) {
    const byWeek = flips(1);
    const byFortnight = flips(2);
    rates.byRequest += Number(decides(log, byWeek, request, scratch));
    rates.byDay += Number(decides(log, byWeek, day, scratch));
    rates.byWeek += Number(decides(log, byWeek, week, scratch));
    rates.byFortnight += Number(decides(log, byFortnight, week, scratch));
  }
  return {
    trials,
    weeks,
    byRequest: rates.byRequest / trials,
    byDay: rates.byDay / trials,
    byWeek: rates.byWeek / trials,
    byFortnight: rates.byFortnight / trials,
  };
}

/** 1970-01-05 was a Monday. */
const FIRST_MONDAY = 4;

interface Log {
  strata: number;
  /** Share of each stratum in all requests. */
  shares: Float64Array;
  /** With a row. */
  days: number;
  weeks: number;
  rows: number;
  /** [days] place of its week among the weeks with a row. */
  weekOfDay: Int32Array;
  /** [days] 1 where one looks after it. */
  looks: Uint8Array;
  /** [days × strata] */
  N: Float64Array;
  S: Float64Array;
  Q: Float64Array;
}

function dense(cells: readonly PlaceboCell[], given: ArrayLike<number>, lookEvery: 'week' | 'day'): Log {
  const strata = given.length;
  const shares = Float64Array.from(given);
  const total = shares.reduce((sum, share) => sum + share, 0);
  if (!(total > 0 && Number.isFinite(total) && shares.every((share) => share >= 0)))
    throw new RangeError(`placeboRate: shares ${[...shares].join(', ')}`);
  for (const { day, stratum, rows, sum, sumOfSquares } of cells) {
    const where = `stratum ${stratum}, day ${day}`;
    if (!(shares[stratum]! > 0)) throw new RangeError(`placeboRate: ${where} has no share of the requests`);
    if (!(Number.isInteger(rows) && rows > 0)) throw new RangeError(`placeboRate: ${where} has ${rows} rows`);
    if (!Number.isInteger(day) || !Number.isFinite(sum) || !Number.isFinite(sumOfSquares))
      throw new RangeError(`placeboRate: ${where} sums to ${sum}, its squares to ${sumOfSquares}`);
  }
  const days = [...new Set(cells.map(({ day }) => day))].sort((a, b) => a - b);
  const weekOf = (day: number): number => Math.floor((day - FIRST_MONDAY) / 7);
  const weeks = [...new Set(days.map(weekOf))];
  const placeOfDay = new Map(days.map((day, i) => [day, i]));
  const placeOfWeek = new Map(weeks.map((week, i) => [week, i]));
  const N = new Float64Array(days.length * strata);
  const S = new Float64Array(days.length * strata);
  const Q = new Float64Array(days.length * strata);
  let rows = 0;
  for (const cell of cells) {
    const at = placeOfDay.get(cell.day)! * strata + cell.stratum;
    N[at]! += cell.rows;
    S[at]! += cell.sum;
    Q[at]! += cell.sumOfSquares;
    rows += cell.rows;
  }
  const weekOfDay = Int32Array.from(days, (day) => placeOfWeek.get(weekOf(day))!);
  const looks = Uint8Array.from(days, (_, i) => Number(lookEvery === 'day' || weekOfDay[i] !== weekOfDay[i + 1]));
  return {
    strata,
    shares: shares.map((share) => share / total),
    days: days.length,
    weeks: weeks.length,
    rows,
    weekOfDay,
    looks,
    N,
    S,
    Q,
  };
}

interface Unit {
  /** [days] block of each; absent: every request is one. */
  blockOfDay: Int32Array | undefined;
  r: number;
  alpha: number;
  maxUnseen: number;
}

interface Scratch {
  /** [blocks × strata] so far. */
  N: Float64Array;
  S: Float64Array;
  /** [strata] so far. */
  rows: Float64Array;
  sum: Float64Array;
  squares: Float64Array;
  blocks: Float64Array;
  factor: Float64Array;
}

const createScratch = ({ days, strata }: Log): Scratch => ({
  N: new Float64Array(days * strata),
  S: new Float64Array(days * strata),
  rows: new Float64Array(strata),
  sum: new Float64Array(strata),
  squares: new Float64Array(strata),
  blocks: new Float64Array(strata),
  factor: new Float64Array(strata),
});

/** Whether one trial reaches a verdict at any look. */
function decides(log: Log, signs: Float64Array, unit: Unit, scratch: Scratch): boolean {
  const { strata, days, weekOfDay } = log;
  const { N, S, rows, sum, squares, blocks } = scratch;
  for (const array of [N, S, rows, sum, squares, blocks]) array.fill(0);
  for (let day = 0; day < days; day++) {
    const sign = signs[weekOfDay[day]!]!;
    const block = unit.blockOfDay?.[day];
    for (let h = 0; h < strata; h++) {
      const from = day * strata + h;
      const n = log.N[from]!;
      if (n === 0) continue;
      const signed = sign * log.S[from]!;
      rows[h]! += n;
      sum[h]! += signed;
      squares[h]! += log.Q[from]!;
      if (block === undefined) {
        blocks[h]! += n;
        continue;
      }
      const to = block * strata + h;
      if (N[to] === 0) blocks[h]!++;
      N[to]! += n;
      S[to]! += signed;
    }
    if (log.looks[day] === 1 && saysSomething(log, unit, scratch, (block ?? 0) + 1)) return true;
  }
  return false;
}

/** The stratified band over what is in the scratch. */
function saysSomething({ strata, shares }: Log, unit: Unit, scratch: Scratch, blocksSoFar: number): boolean {
  const { N, S, rows, sum, squares, blocks, factor } = scratch;
  let seenShare = 0;
  for (let h = 0; h < strata; h++) if (blocks[h]! >= LEAST_BLOCKS) seenShare += shares[h]!;
  if (seenShare === 0 || 1 - seenShare > unit.maxUnseen) return false;
  let mean = 0;
  let n = 0;
  let psiSquares = 0;
  for (let h = 0; h < strata; h++) {
    factor[h] = 0;
    if (blocks[h]! < LEAST_BLOCKS) continue;
    factor[h] = shares[h]! / seenShare / rows[h]!;
    mean += factor[h]! * sum[h]!;
    if (unit.blockOfDay) continue;
    n += rows[h]!;
    psiSquares += factor[h]! ** 2 * Math.max(0, squares[h]! - sum[h]! ** 2 / rows[h]!);
  }
  if (unit.blockOfDay)
    for (let block = 0; block < blocksSoFar; block++) {
      let psi = 0;
      let isThere = 0;
      for (let h = 0; h < strata; h++) {
        const at = block * strata + h;
        if (factor[h] === 0 || N[at] === 0) continue;
        isThere = 1;
        psi += factor[h]! * (S[at]! - (sum[h]! / rows[h]!) * N[at]!);
      }
      n += isThere;
      psiSquares += psi * psi;
    }
  const s = Math.sqrt((psiSquares * n * n) / (n - 1));
  // Where nothing varies, nothing is said.
  return s > 0 && Math.abs(mean) > confidenceRadius(n, s, unit.r, unit.alpha, 1);
}

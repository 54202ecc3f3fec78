import { confidenceRadius, type Sides } from './confidence-sequence.ts';

/**
 * A stratum is seen, and a verdict may be had, from so many blocks on. With fewer, looked at every day, the band errs more
 * often than promised on real logs.
 *
 * @see docs/decisions/0012-ten-blocks.md
 */
export const LEAST_BLOCKS = 10;

/** Rows of one stratum in one block: their number, and the sums of their values and of the squares. */
export interface Cell {
  stratum: number;
  /** Such as the week. Blocks are told apart by this, in any order. */
  block: number;
  rows: number;
  sum: number;
  sumOfSquares: number;
}

export interface BandOptions {
  alpha: number;
  sides: Sides;
  /** Of mixtureParameter: fixed before the first look. */
  r: number;
}

export interface Band {
  mean: number;
  /** Each at alpha where it is one-sided. */
  lower: number;
  upper: number;
  /** n: those with a row in a seen stratum. */
  blocks: number;
  /** Of one block's influence. 0: nothing differs, or nothing varies. */
  s: number;
  /** Share of all requests whose stratum has too few blocks to be estimated, in [0, 1). */
  unseenShare: number;
  /**
   * How many times wider in variance the mean is than it were if rows were independent; undefined where no row of a
   * stratum differs from another.
   */
  designEffect: number | undefined;
}

/**
 * Always-valid band of a mean whose evidence comes in by strata that mature at different times.
 *
 *   m = Σₕ wₕ mₕ / Σₕ wₕ over seen strata
 *   ψ_b = Σₕ wₕ (S_hb − mₕ N_hb) / (Nₕ Σ w)
 *   s = √(Σ_b ψ_b² n² / (n − 1))
 *
 * wₕ is the stratum's share of all requests, matured or not: so the mean speaks of all of them and not of those that
 * came true early. A stratum with fewer than {@link LEAST_BLOCKS} is unseen. With one stratum it is the plain band over
 * blocks.
 * The design effect is s² / n over the variance of the same mean from rows, Σₕ wₕ² σₕ² / Nₕ / (Σ w)².
 *
 * @param cells   matured rows; a stratum and block that is named twice counts as one
 * @param shares  [strata] wₕ, of any sum; a stratum without requests has 0
 * @returns       undefined where no stratum is seen: that is no data, and no verdict
 * @throws {RangeError} if a number is not finite, a cell has no rows or a stratum without a share, or shares have no sum
 * @see statistics.md, "Maturity without bias"
 */
export function stratifiedBand(
  cells: readonly Cell[],
  shares: ArrayLike<number>,
  { alpha, sides, r }: BandOptions,
): Band | undefined {
  const totalShare = checkedSum(shares);
  const strata = Array.from(shares, () => ({ blocks: new Set<number>(), rows: 0, sum: 0, sumOfSquares: 0 }));
  for (const cell of cells) {
    check(cell, shares);
    const stratum = strata[cell.stratum]!;
    stratum.blocks.add(cell.block);
    stratum.rows += cell.rows;
    stratum.sum += cell.sum;
    stratum.sumOfSquares += cell.sumOfSquares;
  }
  const isSeen = strata.map(({ blocks }) => blocks.size >= LEAST_BLOCKS);
  const seenShare = strata.reduce((sum, _, h) => sum + (isSeen[h] ? shares[h]! : 0), 0);
  if (seenShare === 0) return undefined;

  let mean = 0;
  let varianceOfRows = 0;
  strata.forEach(({ rows, sum, sumOfSquares }, h) => {
    if (!isSeen[h]) return;
    const weight = shares[h]! / seenShare;
    mean += (weight * sum) / rows;
    varianceOfRows += (weight * weight * Math.max(0, sumOfSquares - (sum * sum) / rows)) / (rows - 1) / rows;
  });

  const influence = new Map<number, number>();
  for (const { stratum: h, block, rows, sum } of cells) {
    if (!isSeen[h]) continue;
    const stratum = strata[h]!;
    const own = ((shares[h]! / seenShare) * (sum - (stratum.sum / stratum.rows) * rows)) / stratum.rows;
    influence.set(block, (influence.get(block) ?? 0) + own);
  }
  const n = influence.size;
  let squares = 0;
  for (const psi of influence.values()) squares += psi * psi;
  const s = Math.sqrt((squares * n * n) / (n - 1));
  const radius = confidenceRadius(n, s, r, alpha, sides);
  return {
    mean,
    lower: mean - radius,
    upper: mean + radius,
    blocks: n,
    s,
    unseenShare: Math.max(0, 1 - seenShare / totalShare),
    designEffect: varianceOfRows > 0 ? (s * s) / n / varianceOfRows : undefined,
  };
}

function checkedSum(shares: ArrayLike<number>): number {
  let sum = 0;
  for (let h = 0; h < shares.length; h++) {
    if (!(shares[h]! >= 0)) throw new RangeError(`stratifiedBand: share ${shares[h]} of stratum ${h}`);
    sum += shares[h]!;
  }
  if (!(sum > 0 && Number.isFinite(sum))) throw new RangeError(`stratifiedBand: shares sum to ${sum}`);
  return sum;
}

function check({ stratum, block, rows, sum, sumOfSquares }: Cell, shares: ArrayLike<number>): void {
  const where = `stratum ${stratum}, block ${block}`;
  if (!(shares[stratum]! > 0)) throw new RangeError(`stratifiedBand: ${where} has no share of the requests`);
  if (!(Number.isInteger(rows) && rows > 0)) throw new RangeError(`stratifiedBand: ${where} has ${rows} rows`);
  if (!Number.isFinite(block) || !Number.isFinite(sum) || !Number.isFinite(sumOfSquares))
    throw new RangeError(`stratifiedBand: ${where} sums to ${sum}, its squares to ${sumOfSquares}`);
}

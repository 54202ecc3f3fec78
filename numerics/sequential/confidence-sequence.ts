/** One-sided: a bound below or above, each at alpha; a trial with both verdicts errs at 2 alpha. */
export type Sides = 1 | 2;

/**
 * r of the asymptotic confidence sequence: what makes it tightest at `tightestAt` observations.
 *
 *   r = √((−2 ln α + ln(−2 ln α + 1)) / n*)
 *
 * @param tightestAt  n*: observations expected by the time of the verdict; fewer than 16 count as 16
 * @param alpha       in (0, 1)
 * @throws {RangeError} if an argument is outside
 * @see Waudby-Smith et al. 2024, "Time-uniform central limit theory", arXiv 2103.06476, appendix B.2
 * @example mixtureParameter(26, 0.05) // 0.5525
 */
export function mixtureParameter(tightestAt: number, alpha: number): number {
  if (!(tightestAt > 0 && Number.isFinite(tightestAt))) throw new RangeError(`mixtureParameter: n* ${tightestAt}`);
  checkAlpha('mixtureParameter', alpha);
  const surprise = -2 * Math.log(alpha);
  return Math.sqrt((surprise + Math.log(surprise + 1)) / Math.max(LEAST_TIGHTEST_AT, tightestAt));
}

const LEAST_TIGHTEST_AT = 16;

/**
 * How far the mean of n observations may be from the truth, at every n at once: looking every day costs nothing. At most
 * alpha in the limit of many observations, if these are independent; before 8 a verdict is not to be had.
 *
 *   two-sided  s √(2 (n r² + 1) / (n² r²) · ln(√(n r² + 1) / α))
 *   one-sided  the logarithm is ln(1 + √(n r² + 1) / (2 α))
 *
 * @param n  observations: blocks, not rows
 * @param s  their standard deviation
 * @param r  of {@link mixtureParameter}, the same at every look
 * @throws {RangeError} if n is not a positive whole number, s negative or not finite, r not positive, or alpha outside (0, 1)
 * @see Waudby-Smith et al. 2024, arXiv 2103.06476, theorem 2.2 and, one-sided, proposition 2.4
 * @example confidenceRadius(26, 1, 0.55, 0.05, 2) // 0.5953
 */
export function confidenceRadius(n: number, s: number, r: number, alpha: number, sides: Sides): number {
  if (!(Number.isInteger(n) && n > 0)) throw new RangeError(`confidenceRadius: n ${n}`);
  if (!(s >= 0 && Number.isFinite(s))) throw new RangeError(`confidenceRadius: s ${s}`);
  if (!(r > 0 && Number.isFinite(r))) throw new RangeError(`confidenceRadius: r ${r}`);
  checkAlpha('confidenceRadius', alpha);
  const grown = n * r * r + 1;
  const logarithm = sides === 2 ? Math.log(Math.sqrt(grown) / alpha) : Math.log1p(Math.sqrt(grown) / (2 * alpha));
  return s * Math.sqrt(((2 * grown) / (n * n * r * r)) * logarithm);
}

function checkAlpha(what: string, alpha: number): void {
  if (!(alpha > 0 && alpha < 1)) throw new RangeError(`${what}: alpha ${alpha}`);
}

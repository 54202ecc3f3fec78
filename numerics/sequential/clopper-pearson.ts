import { inverseIncompleteBeta } from '../special/incomplete-beta.ts';

/**
 * Exact bounds of a rate. Each errs at most `alpha`: a lower 95 % bound is that at 0.05, the two-sided 95 % interval is
 * that at 0.025. They hold for one look at a number of trials that was settled beforehand.
 *
 * @param hits    0 … trials
 * @param trials  at least 1
 * @param alpha   error of each bound, in (0, 1)
 * @throws {RangeError} if hits or trials are no such whole numbers, or alpha is outside
 * @see Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404
 * @example clopperPearson(6, 100, 0.025) // { lower: 0.02233, upper: 0.12603 }
 */
export function clopperPearson(hits: number, trials: number, alpha: number): { lower: number; upper: number } {
  if (!(Number.isInteger(hits) && Number.isInteger(trials) && hits >= 0 && hits <= trials && trials > 0))
    throw new RangeError(`clopperPearson: ${hits} of ${trials}`);
  if (!(alpha > 0 && alpha < 1)) throw new RangeError(`clopperPearson: alpha ${alpha}`);
  return {
    lower: hits === 0 ? 0 : inverseIncompleteBeta(alpha, hits, trials - hits + 1),
    upper: hits === trials ? 1 : 1 - inverseIncompleteBeta(alpha, trials - hits, hits + 1),
  };
}

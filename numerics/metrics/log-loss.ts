import { checkProbabilities } from './check.ts';

/** Probabilities are kept this far from 0 and 1, so that one sure and wrong row costs 34.5 nats, not infinitely many. */
export const SMALLEST_PROBABILITY = 1e-15;

/**
 * Mean negative log-likelihood, in nats.
 *
 *   −Σ (y ln p + (1 − y) ln(1 − p)) / n,  p clipped to [1e-15, 1 − 1e-15]
 *
 * @param labels         [rows] 0 or 1
 * @param probabilities  [rows] of the positive class
 * @throws {RangeError} if there are no rows, lengths differ, or a value is no label or no probability
 * @see sklearn.metrics.log_loss
 * @example logLoss([0, 1], [0.5, 0.5]) // 0.6931
 */
export function logLoss(labels: ArrayLike<number>, probabilities: ArrayLike<number>): number {
  checkProbabilities('logLoss', labels, probabilities);
  let sum = 0;
  for (let row = 0; row < labels.length; row++) {
    const p = Math.min(Math.max(probabilities[row]!, SMALLEST_PROBABILITY), 1 - SMALLEST_PROBABILITY);
    sum -= labels[row] === 1 ? Math.log(p) : Math.log1p(-p);
  }
  return sum / labels.length;
}

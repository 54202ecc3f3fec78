import { checkProbabilities } from './check.ts';

/**
 * Brier score: Σ (p − y)² / n.
 *
 * @param labels         [rows] 0 or 1
 * @param probabilities  [rows] of the positive class
 * @throws {RangeError} if there are no rows, lengths differ, or a value is no label or no probability
 * @see sklearn.metrics.brier_score_loss
 * @example brier([0, 1], [0.2, 0.6]) // 0.1
 */
export function brier(labels: ArrayLike<number>, probabilities: ArrayLike<number>): number {
  checkProbabilities('brier', labels, probabilities);
  let sum = 0;
  for (let row = 0; row < labels.length; row++) sum += (probabilities[row]! - labels[row]!) ** 2;
  return sum / labels.length;
}

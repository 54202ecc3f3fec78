import { checkNumbers } from './check.ts';

/**
 * Coefficient of determination: 1 − Σ (y − ŷ)² / Σ (y − ȳ)².
 *
 * @param labels       [rows]
 * @param predictions  [rows]
 * @returns            ≤ 1; 0 for one who always says the mean
 * @throws {RangeError} if there are no rows, lengths differ, a number is not finite, or all labels are the same
 * @see sklearn.metrics.r2_score
 * @example r2([1, 2, 3], [1, 2, 4]) // 0.5
 */
export function r2(labels: ArrayLike<number>, predictions: ArrayLike<number>): number {
  checkNumbers('r2', labels, predictions);
  let mean = 0;
  for (let row = 0; row < labels.length; row++) mean += labels[row]! / labels.length;
  let unexplained = 0;
  let all = 0;
  let differ = false;
  for (let row = 0; row < labels.length; row++) {
    unexplained += (labels[row]! - predictions[row]!) ** 2;
    all += (labels[row]! - mean) ** 2;
    differ ||= labels[row] !== labels[0];
  }
  if (!differ || all === 0) throw new RangeError('r2: all labels are the same');
  return 1 - unexplained / all;
}

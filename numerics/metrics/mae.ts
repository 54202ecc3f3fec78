import { checkNumbers } from './check.ts';

/**
 * Mean absolute error, in units of the label.
 *
 * @param labels       [rows]
 * @param predictions  [rows]
 * @throws {RangeError} if there are no rows, lengths differ, or a number is not finite
 * @see sklearn.metrics.mean_absolute_error
 * @example mae([1, 2], [1, 4]) // 1
 */
export function mae(labels: ArrayLike<number>, predictions: ArrayLike<number>): number {
  checkNumbers('mae', labels, predictions);
  let sum = 0;
  for (let row = 0; row < labels.length; row++) sum += Math.abs(predictions[row]! - labels[row]!);
  return sum / labels.length;
}

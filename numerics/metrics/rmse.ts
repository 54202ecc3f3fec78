import { checkNumbers } from './check.ts';

/**
 * Root mean squared error, in units of the label.
 *
 * @param labels       [rows]
 * @param predictions  [rows]
 * @throws {RangeError} if there are no rows, lengths differ, or a number is not finite
 * @see sklearn.metrics.root_mean_squared_error
 * @example rmse([1, 2], [1, 4]) // 1.4142
 */
export function rmse(labels: ArrayLike<number>, predictions: ArrayLike<number>): number {
  checkNumbers('rmse', labels, predictions);
  let sum = 0;
  for (let row = 0; row < labels.length; row++) sum += (predictions[row]! - labels[row]!) ** 2;
  return Math.sqrt(sum / labels.length);
}

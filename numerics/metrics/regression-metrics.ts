import { mae } from './mae.ts';
import { r2 } from './r2.ts';
import { rmse } from './rmse.ts';

/**
 * Every metric of a regression model.
 *
 * @param labels       [rows]
 * @param predictions  [rows]
 * @throws {RangeError} if there are no rows, lengths differ, a number is not finite, or all labels are the same
 */
export function regressionMetrics(labels: ArrayLike<number>, predictions: ArrayLike<number>) {
  return { rmse: rmse(labels, predictions), mae: mae(labels, predictions), r2: r2(labels, predictions) };
}

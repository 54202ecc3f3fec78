import type { ConfusionCounts } from './confusion.ts';

/**
 * Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).
 *
 * @throws {RangeError} if no row is positive and none was called so: F1 is then 0 / 0
 * @see sklearn.metrics.f1_score
 * @example f1({ truePositive: 2, falsePositive: 1, trueNegative: 5, falseNegative: 1 }) // 0.6667
 */
export function f1({ truePositive, falsePositive, falseNegative }: ConfusionCounts): number {
  const all = 2 * truePositive + falsePositive + falseNegative;
  if (!(all > 0)) throw new RangeError('f1: no row is positive and none was called so');
  return (2 * truePositive) / all;
}

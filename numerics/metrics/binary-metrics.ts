import { accuracy } from './accuracy.ts';
import { auc } from './auc.ts';
import { averagePrecision } from './average-precision.ts';
import { brier } from './brier.ts';
import { calibrationError } from './calibration-error.ts';
import { confusion } from './confusion.ts';
import { f1 } from './f1.ts';
import { logLoss } from './log-loss.ts';

/**
 * Every metric of a binary model. A row is called positive at or above the threshold.
 *
 * @param labels         [rows] 0 or 1
 * @param probabilities  [rows] of the positive class
 * @returns              positiveRate is the share of rows whose label is 1
 * @throws {RangeError} if there are no rows, lengths differ, there is one class only, or a value is no label or no probability
 */
export function binaryMetrics(labels: ArrayLike<number>, probabilities: ArrayLike<number>, threshold: number) {
  const counts = confusion(labels, probabilities, threshold);
  const { truePositive, falsePositive, trueNegative, falseNegative } = counts;
  return {
    auc: auc(labels, probabilities),
    averagePrecision: averagePrecision(labels, probabilities),
    logLoss: logLoss(labels, probabilities),
    brier: brier(labels, probabilities),
    calibrationError: calibrationError(labels, probabilities),
    accuracy: accuracy([
      [trueNegative, falsePositive],
      [falseNegative, truePositive],
    ]),
    f1: f1(counts),
    confusion: counts,
    positiveRate: (truePositive + falseNegative) / labels.length,
  };
}

import { checkProbabilities } from './check.ts';

export interface ConfusionCounts {
  truePositive: number;
  falsePositive: number;
  trueNegative: number;
  falseNegative: number;
}

/**
 * Counts of right and wrong answers when a row is called positive at or above the threshold.
 *
 * @param labels         [rows] 0 or 1
 * @param probabilities  [rows] of the positive class
 * @throws {RangeError} if there are no rows, lengths differ, or a value is no label or no probability
 */
export function confusion(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  threshold: number,
): ConfusionCounts {
  checkProbabilities('confusion', labels, probabilities);
  if (Number.isNaN(threshold)) throw new RangeError('confusion: the threshold is NaN');
  const counts = { truePositive: 0, falsePositive: 0, trueNegative: 0, falseNegative: 0 };
  for (let row = 0; row < labels.length; row++) {
    const positive = labels[row] === 1;
    if (probabilities[row]! >= threshold) counts[positive ? 'truePositive' : 'falsePositive']++;
    else counts[positive ? 'falseNegative' : 'trueNegative']++;
  }
  return counts;
}

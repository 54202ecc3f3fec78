import { splitByLabel } from './metrics/split-by-label.ts';

/** What a threshold is to be best at: the lowest total cost, or the highest F1 or accuracy. */
export type ThresholdGoal = { falsePositive: number; falseNegative: number } | 'f1' | 'accuracy';

/**
 * The probability at or above which a row is best called positive.
 *
 * Every cut between two distinct probabilities is tried, and "none" and "all" as well. The answer lies half
 * way between its two neighbours, so that the last bits of a probability do not decide. Of cuts that are
 * equally good the highest is taken: the fewest positives. O(n log n).
 *
 * @param labels         [rows] 0 or 1
 * @param probabilities  [rows] of the positive class
 * @throws {RangeError} if lengths differ, a value is NaN or no probability, there are no rows, F1 is asked for
 *   without a positive row, or a cost is negative
 * @example bestThreshold([0, 0, 1, 1], [0.1, 0.3, 0.5, 0.9], 'accuracy') // 0.4
 */
export function bestThreshold(
  labels: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  goal: ThresholdGoal,
): number {
  const { positives, negatives } = splitByLabel('bestThreshold', labels, probabilities, { probabilities: true });
  if (goal === 'f1' && positives.length === 0) throw new RangeError('bestThreshold: F1 needs a positive row');
  if (typeof goal === 'object' && !(goal.falsePositive >= 0 && goal.falseNegative >= 0))
    throw new RangeError(`bestThreshold: costs ${goal.falsePositive} and ${goal.falseNegative}`);

  /** Lower is better. */
  const badness = (truePositive: number, falsePositive: number): number => {
    const falseNegative = positives.length - truePositive;
    if (goal === 'f1') return -(2 * truePositive) / (2 * truePositive + falsePositive + falseNegative);
    if (goal === 'accuracy') return falsePositive + falseNegative;
    return goal.falsePositive * falsePositive + goal.falseNegative * falseNegative;
  };

  let p = positives.length; // rows p … are called positive, and n … of the negatives
  let n = negatives.length;
  const highest = Math.max(positives[p - 1] ?? 0, negatives[n - 1] ?? 0);
  let least = badness(0, 0);
  // Above a probability of 1 there is no other: the next double then says "none".
  let best = highest < 1 ? between(highest, 1) : 1 + Number.EPSILON;
  while (p > 0 || n > 0) {
    const cut = Math.max(positives[p - 1] ?? 0, negatives[n - 1] ?? 0);
    while (p > 0 && positives[p - 1] === cut) p--;
    while (n > 0 && negatives[n - 1] === cut) n--;
    const found = badness(positives.length - p, negatives.length - n);
    if (found >= least) continue;
    least = found;
    best = between(Math.max(positives[p - 1] ?? 0, negatives[n - 1] ?? 0), cut);
  }
  return best;
}

/** Half way, but above `low` unless both are the same. */
function between(low: number, high: number): number {
  const middle = low + (high - low) / 2;
  return middle > low ? middle : high;
}

import { splitByLabel } from './split-by-label.ts';

/**
 * Average precision: the area under the precision-recall curve, as steps.
 *
 *   AP = Σ (Rₙ − Rₙ₋₁) · Pₙ  over the distinct scores, descending
 *
 * O(n log n).
 *
 * @param labels  [rows] 0 or 1
 * @param scores  [rows] any scale
 * @returns       0 … 1
 * @throws {RangeError} if a score is NaN, lengths differ, or no row is positive
 * @see sklearn.metrics.average_precision_score
 * @example averagePrecision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) // 0.8333
 */
export function averagePrecision(labels: ArrayLike<number>, scores: ArrayLike<number>): number {
  const { positives, negatives } = splitByLabel('averagePrecision', labels, scores);
  if (positives.length === 0) throw new RangeError('averagePrecision: no positive row');
  let sum = 0;
  let n = negatives.length;
  for (let p = positives.length; p > 0;) {
    const score = positives[p - 1]!;
    const before = p;
    while (p > 0 && positives[p - 1] === score) p--;
    while (n > 0 && negatives[n - 1]! >= score) n--;
    const found = positives.length - p;
    sum += ((before - p) * found) / (found + negatives.length - n);
  }
  return sum / positives.length;
}

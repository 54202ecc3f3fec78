import { splitByLabel } from './split-by-label.ts';

/**
 * Area under the ROC curve: how often a positive row scores above a negative one, ties counting half.
 *
 *   AUC = (pairs won + pairs tied / 2) / (positives · negatives)
 *
 * Pairs are counted in whole numbers, so the order of rows does not matter to the last bit. O(n log n).
 *
 * @param labels  [rows] 0 or 1
 * @param scores  [rows] any scale
 * @returns       0 … 1
 * @throws {RangeError} if a score is NaN, lengths differ, or there is one class only
 * @see Mann & Whitney 1947; sklearn.metrics.roc_auc_score
 * @example auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) // 0.75
 */
export function auc(labels: ArrayLike<number>, scores: ArrayLike<number>): number {
  const { positives, negatives } = splitByLabel('auc', labels, scores);
  if (positives.length === 0 || negatives.length === 0)
    throw new RangeError(`auc: ${positives.length} positive and ${negatives.length} negative rows; it needs both`);
  let twiceWon = 0;
  let below = 0; // negatives that score less than this positive
  let upTo = 0; // and those that score no more
  for (const score of positives) {
    while (below < negatives.length && negatives[below]! < score) below++;
    if (upTo < below) upTo = below;
    while (upTo < negatives.length && negatives[upTo]! <= score) upTo++;
    twiceWon += below + upTo;
  }
  return twiceWon / 2 / (positives.length * negatives.length);
}

import { checkBinaryLabel, checkLengths, checkProbability } from './check.ts';

/**
 * Scores of positive and of negative rows, each ascending. Two native sorts of plain numbers are
 * several times faster than one sort of row indices by score.
 *
 * @throws {RangeError} if lengths differ, there are no rows, a label is not 0 or 1, or a score is NaN
 */
export function splitByLabel(
  what: string,
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  o: { probabilities?: boolean } = {},
): { positives: Float64Array; negatives: Float64Array } {
  checkLengths(what, labels, scores);
  let positive = 0;
  for (let row = 0; row < labels.length; row++) {
    checkBinaryLabel(what, labels[row]!, row);
    if (o.probabilities) checkProbability(what, scores[row]!, row);
    else if (Number.isNaN(scores[row]!)) throw new RangeError(`${what}: the score of row ${row} is NaN`);
    positive += labels[row]!;
  }
  const positives = new Float64Array(positive);
  const negatives = new Float64Array(labels.length - positive);
  for (let row = 0, p = 0, n = 0; row < labels.length; row++) {
    if (labels[row] === 1) positives[p++] = scores[row]!;
    else negatives[n++] = scores[row]!;
  }
  return { positives: positives.sort(), negatives: negatives.sort() };
}

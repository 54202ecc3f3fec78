import { checkClass, checkLengths } from './check.ts';

/**
 * How many rows of each class were given each class.
 *
 * @param labels     [rows] class index
 * @param predicted  [rows] class index
 * @returns          [true class][predicted class]
 * @throws {RangeError} if there are no rows, lengths differ, or a value is no class
 * @see sklearn.metrics.confusion_matrix
 */
export function confusionMatrix(labels: ArrayLike<number>, predicted: ArrayLike<number>, classes: number): number[][] {
  checkLengths('confusionMatrix', labels, predicted);
  const matrix = Array.from({ length: classes }, () => Array.from({ length: classes }, () => 0));
  for (let row = 0; row < labels.length; row++) {
    checkClass('confusionMatrix', labels[row]!, classes, row);
    checkClass('confusionMatrix', predicted[row]!, classes, row);
    matrix[labels[row]!]![predicted[row]!]!++;
  }
  return matrix;
}

import { accuracy } from './accuracy.ts';
import { confusionMatrix } from './confusion-matrix.ts';
import { macroF1 } from './macro-f1.ts';
import { mostLikely } from './most-likely.ts';
import { multiclassLogLoss } from './multiclass-log-loss.ts';

/**
 * Every metric of a multiclass model. A row is given its most likely class.
 *
 * @param labels         [rows] class index
 * @param probabilities  [classes] arrays of [rows]
 * @throws {RangeError} if there are no rows, lengths differ, or a value is no class or no probability
 */
export function multiclassMetrics(labels: ArrayLike<number>, probabilities: readonly ArrayLike<number>[]) {
  const matrix = confusionMatrix(labels, mostLikely(probabilities), probabilities.length);
  return {
    accuracy: accuracy(matrix),
    macroF1: macroF1(matrix),
    logLoss: multiclassLogLoss(labels, probabilities),
    confusion: matrix,
  };
}

import { checkClass, checkLengths, checkProbability } from './check.ts';
import { SMALLEST_PROBABILITY } from './log-loss.ts';

/**
 * Mean negative log-probability of the true class, in nats; probabilities clipped to [1e-15, 1 − 1e-15].
 *
 * @param labels         [rows] class index
 * @param probabilities  [classes] arrays of [rows]
 * @throws {RangeError} if there are no rows, lengths differ, or a value is no class or no probability
 * @see sklearn.metrics.log_loss
 */
export function multiclassLogLoss(labels: ArrayLike<number>, probabilities: readonly ArrayLike<number>[]): number {
  for (const own of probabilities) checkLengths('multiclassLogLoss', labels, own);
  let sum = 0;
  for (let row = 0; row < labels.length; row++) {
    checkClass('multiclassLogLoss', labels[row]!, probabilities.length, row);
    const p = probabilities[labels[row]!]![row]!;
    checkProbability('multiclassLogLoss', p, row);
    sum -= Math.log(Math.min(Math.max(p, SMALLEST_PROBABILITY), 1 - SMALLEST_PROBABILITY));
  }
  return sum / labels.length;
}

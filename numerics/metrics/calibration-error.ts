import { checkProbabilities } from './check.ts';

/**
 * Expected calibration error: how far the predicted probability is from the observed share, bin by bin.
 *
 *   ECE = Σ_b (n_b / n) · |mean p in b − mean y in b|
 *
 * over bins of equal width, [0, 0.1), …, [0.9, 1].
 *
 * @param labels         [rows] 0 or 1
 * @param probabilities  [rows] of the positive class
 * @throws {RangeError} if there are no rows, lengths differ, or a value is no label or no probability
 * @see Naeini, Cooper & Hauskrecht 2015, AAAI
 * @example calibrationError([0, 1], [0.25, 0.75]) // 0.25
 */
export function calibrationError(labels: ArrayLike<number>, probabilities: ArrayLike<number>, bins = 10): number {
  checkProbabilities('calibrationError', labels, probabilities);
  const excess = new Float64Array(bins);
  for (let row = 0; row < labels.length; row++) {
    const p = probabilities[row]!;
    excess[Math.min(Math.floor(p * bins), bins - 1)]! += p - labels[row]!;
  }
  return excess.reduce((sum, e) => sum + Math.abs(e), 0) / labels.length;
}

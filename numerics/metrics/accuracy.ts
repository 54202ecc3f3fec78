/**
 * Share of right answers.
 *
 * @param matrix  [true class][predicted class] counts
 * @throws {RangeError} if it counts no rows
 * @see sklearn.metrics.accuracy_score
 * @example accuracy([[3, 1], [0, 4]]) // 0.875
 */
export function accuracy(matrix: readonly (readonly number[])[]): number {
  let right = 0;
  let all = 0;
  for (const [k, row] of matrix.entries()) {
    right += row[k]!;
    for (const count of row) all += count;
  }
  if (!(all > 0)) throw new RangeError('accuracy: no rows');
  return right / all;
}

/**
 * Mean of the F1 of each class that occurs among labels or answers; one that occurs in neither has none.
 *
 * @param matrix  [true class][predicted class] counts
 * @throws {RangeError} if it counts no rows
 * @see sklearn.metrics.f1_score with average='macro'
 * @example macroF1([[2, 0], [1, 1]]) // 0.7333
 */
export function macroF1(matrix: readonly (readonly number[])[]): number {
  let sum = 0;
  let occurring = 0;
  for (const [k, row] of matrix.entries()) {
    let all = 0; // 2 TP + FP + FN
    for (let other = 0; other < matrix.length; other++) all += row[other]! + matrix[other]![k]!;
    if (all === 0) continue;
    occurring++;
    sum += (2 * row[k]!) / all;
  }
  if (occurring === 0) throw new RangeError('macroF1: no rows');
  return sum / occurring;
}

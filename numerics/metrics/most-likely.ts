/**
 * The class with the highest probability, row by row; the first of equals, as numpy's argmax.
 *
 * @param probabilities  [classes] arrays of [rows]
 * @returns              [rows] class index
 * @throws {RangeError} if a probability is NaN or there are no classes
 */
export function mostLikely(probabilities: readonly ArrayLike<number>[]): Int32Array {
  const [first] = probabilities;
  if (!first) throw new RangeError('mostLikely: no classes');
  const best = new Int32Array(first.length);
  for (let row = 0; row < best.length; row++) {
    let highest = -Infinity;
    for (let k = 0; k < probabilities.length; k++) {
      const p = probabilities[k]![row]!;
      if (Number.isNaN(p)) throw new RangeError(`mostLikely: a probability of row ${row} is NaN`);
      if (p > highest) {
        highest = p;
        best[row] = k;
      }
    }
  }
  return best;
}

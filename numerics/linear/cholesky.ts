/** A pivot this much smaller than its diagonal is rounding error. */
const DEPENDENT = 1e-11;

/**
 * Factor L of a symmetric positive semi-definite matrix A = L Lᵀ. O(size³ / 3).
 *
 * A column that depends on those before it gets no pivot, and its unknown the value 0, as in R's lm: without a penalty
 * a one-hot column too many is then harmless.
 *
 * @param a  [size x size] row-major, its lower triangle; not changed
 * @returns  [size x size] row-major lower triangle; 0 on the diagonal marks a dependent column
 */
export function cholesky(a: Float64Array, size: number): Float64Array {
  const l = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * size + j]!;
      for (let k = 0; k < j; k++) sum -= l[i * size + k]! * l[j * size + k]!;
      if (j < i) l[i * size + j] = l[j * size + j] === 0 ? 0 : sum / l[j * size + j]!;
      else l[i * size + i] = sum > DEPENDENT * a[i * size + i]! ? Math.sqrt(sum) : 0;
    }
  }
  return l;
}

/** Solves L Lᵀ x = b in place; b is [size]. */
export function solveInPlace(l: Float64Array, b: Float64Array): void {
  const size = b.length;
  for (let i = 0; i < size; i++) {
    let sum = b[i]!;
    for (let k = 0; k < i; k++) sum -= l[i * size + k]! * b[k]!;
    b[i] = l[i * size + i] === 0 ? 0 : sum / l[i * size + i]!;
  }
  for (let i = size - 1; i >= 0; i--) {
    const x = (b[i] = l[i * size + i] === 0 ? 0 : b[i]! / l[i * size + i]!);
    for (let k = 0; k < i; k++) b[k]! -= l[i * size + k]! * x;
  }
}

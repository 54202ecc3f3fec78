/** Adds l2 to the diagonal of a Gram matrix, the last column's (the intercept's) excepted. In place; returns it. */
export function penalised(gram: Float64Array, size: number, l2: number): Float64Array {
  for (let c = 0; c < size - 1; c++) gram[c * size + c]! += l2;
  return gram;
}

/**
 * e^xᵢ / Σ e^xⱼ for every row, in place; the largest is subtracted first, so that nothing overflows.
 *
 * @param margins  [outputs x rows] output-major; probabilities on return
 */
export function softmaxInPlace(margins: Float64Array, outputs: number): void {
  const rows = margins.length / outputs;
  for (let row = 0; row < rows; row++) {
    let largest = -Infinity;
    for (let at = row; at < margins.length; at += rows) largest = Math.max(largest, margins[at]!);
    let sum = 0;
    for (let at = row; at < margins.length; at += rows) sum += margins[at] = Math.exp(margins[at]! - largest);
    for (let at = row; at < margins.length; at += rows) margins[at]! /= sum;
  }
}

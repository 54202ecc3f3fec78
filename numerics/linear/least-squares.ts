import type { Design } from './design.ts';
import { cholesky, solveInPlace } from './cholesky.ts';
import { penalised } from './penalty.ts';

/**
 * Weights of least squares with an L2 penalty, by the normal equations:
 *
 *   (XᵀX + λI) w = Xᵀy,  the intercept unpenalised
 *
 * which is the minimum of Σ ½ (y − Xw)² + ½ λ |w|². O(rows x columns²), less where columns are sparse.
 *
 * @returns [size], in the design's columns
 * @see Hoerl & Kennard 1970; sklearn.linear_model.Ridge with alpha = l2
 */
export function leastSquares(design: Design, labels: Float64Array, l2: number): Float64Array {
  const mean = labels.reduce((sum, label) => sum + label / labels.length, 0);
  const weights = new Float64Array(design.size);
  design.addTransposeProduct(
    labels.map((label) => label - mean),
    weights,
  );
  solveInPlace(cholesky(penalised(design.gram(), design.size, l2), design.size), weights);
  weights[design.size - 1]! += mean;
  return weights;
}

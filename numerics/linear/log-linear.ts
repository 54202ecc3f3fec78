import type { Objective } from '../training-data.ts';
import type { Design } from './design.ts';
import { outputsOf } from '../training-data.ts';
import { cholesky, solveInPlace } from './cholesky.ts';
import { minimise } from './lbfgs.ts';
import { penalised } from './penalty.ts';

/** Nats of the summed loss that another step may still promise when the search ends; the loss itself is thousands. */
const TOLERANCE = 1e-15;

/**
 * Weights of logistic (one output) or softmax regression with an L2 penalty: the minimum of
 *
 *   −Σ ln p(label) + ½ λ Σ w²,  intercepts unpenalised
 *
 * by L-BFGS from the priors. Its preconditioner is the Hessian at the priors, p_k (1 − p_k) XᵀX + λI, so correlated
 * and differently scaled columns cost no more iterations than good ones: some ten to thirty passes over the rows.
 *
 * @param labels  [rows] class index
 * @returns       [outputs] arrays of [size], in the design's columns; softmax weights sum to 0 over the classes
 * @see sklearn.linear_model.LogisticRegression with C = 1 / l2
 */
export function logLinear(
  objective: Objective,
  design: Design,
  labels: Float64Array,
  { l2, maxIterations }: { l2: number; maxIterations: number },
): Float64Array[] {
  const outputs = outputsOf(objective);
  const { size, rows } = design;
  const counts = new Float64Array(Math.max(outputs, 2));
  for (const label of labels) counts[label]!++;
  // Of two classes the second has the margin.
  const priors = Array.from({ length: outputs }, (_, k) => Math.max(counts[outputs === 1 ? 1 : k]!, 0.5) / rows);
  const curvatures = priors.map((p) => p * (1 - p));
  const meanCurvature = curvatures.reduce((sum, c) => sum + c, 0) / outputs;
  const factor = cholesky(penalised(design.gram(), size, l2 / meanCurvature), size);
  const precondition = (gradient: Float64Array): void => {
    centreOverClasses(gradient, outputs, size);
    for (const [k, curvature] of curvatures.entries()) {
      const own = gradient.subarray(k * size, (k + 1) * size);
      solveInPlace(factor, own);
      for (let c = 0; c < size; c++) own[c]! /= curvature;
    }
    centreOverClasses(gradient, outputs, size);
  };

  const start = new Float64Array(outputs * size);
  for (const [k, p] of priors.entries())
    start[(k + 1) * size - 1] = outputs === 1 ? Math.log(p / (1 - p)) : Math.log(p);

  centreOverClasses(start, outputs, size);

  const margins = new Float64Array(outputs * rows);
  const of = (all: Float64Array, k: number, length: number): Float64Array => all.subarray(k * length, (k + 1) * length);
  const evaluate = (weights: Float64Array, gradient: Float64Array): number => {
    margins.fill(0);
    for (let k = 0; k < outputs; k++) design.addProduct(of(weights, k, size), of(margins, k, rows));
    let value = outputs === 1 ? logisticInPlace(margins, labels) : softmaxInPlace(margins, labels, outputs);
    for (let k = 0; k < outputs; k++) {
      design.addTransposeProduct(of(margins, k, rows), of(gradient, k, size));
      for (let c = k * size; c < (k + 1) * size - 1; c++) {
        gradient[c]! += l2 * weights[c]!;
        value += (l2 / 2) * weights[c]! * weights[c]!;
      }
    }
    return value;
  };

  const { at } = minimise(evaluate, start, precondition, { maxIterations, tolerance: TOLERANCE });
  return Array.from({ length: outputs }, (_, k) => of(at, k, size));
}

/** Summed loss; margins become residuals p − y. */
function logisticInPlace(margins: Float64Array, labels: Float64Array): number {
  let sum = 0;
  for (let row = 0; row < labels.length; row++) {
    const margin = margins[row]!;
    const e = Math.exp(-Math.abs(margin));
    sum += Math.max(margin, 0) - margin * labels[row]! + Math.log1p(e);
    margins[row] = (margin >= 0 ? 1 : e) / (1 + e) - labels[row]!;
  }
  return sum;
}

/** Summed loss; margins [outputs x rows] become residuals p_k − [k is the label]. */
function softmaxInPlace(margins: Float64Array, labels: Float64Array, outputs: number): number {
  const rows = labels.length;
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    let largest = -Infinity;
    for (let k = 0; k < outputs; k++) largest = Math.max(largest, margins[k * rows + row]!);
    const own = labels[row]! * rows + row;
    sum += largest - margins[own]!;
    let total = 0;
    for (let k = 0; k < outputs; k++) total += margins[k * rows + row] = Math.exp(margins[k * rows + row]! - largest);
    sum += Math.log(total);
    for (let k = 0; k < outputs; k++) margins[k * rows + row]! /= total;
    margins[own]! -= 1;
  }
  return sum;
}

/**
 * Takes the mean over classes off. A number added to all classes' weights changes no probability, so the penalty alone
 * decides it: a direction so flat that the search, if it could go there, would need hundreds of steps.
 */
function centreOverClasses(weights: Float64Array, outputs: number, size: number): void {
  if (outputs === 1) return;
  for (let c = 0; c < size; c++) {
    let mean = 0;
    for (let k = 0; k < outputs; k++) mean += weights[k * size + c]! / outputs;
    for (let k = 0; k < outputs; k++) weights[k * size + c]! -= mean;
  }
}

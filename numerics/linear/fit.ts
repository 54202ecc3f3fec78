import type { LinearModel } from '../trained-model.ts';
import type { Objective, TrainingData } from '../training-data.ts';
import { checkLabelsDiffer, checkRows, outputsOf } from '../training-data.ts';
import { Design } from './design.ts';
import { leastSquares } from './least-squares.ts';
import { logLinear } from './log-linear.ts';

export interface LinearParameters {
  /** Half of it times the squared weights is added to the sum of losses; intercepts are free. */
  l2: number;
  maxIterations: number;
}

/**
 * Fits a linear model: logistic (binary), softmax (multiclass) or least squares (regression). Deterministic, and
 * without a seed.
 *
 * @throws {RangeError} if a feature is missing or infinite (naming its column), a label is outside the task's range, the
 *   labels are all the same, or a parameter is out of range
 */
export function fitLinear(
  objective: Objective,
  { l2, maxIterations }: LinearParameters,
  { features, labels }: TrainingData,
): LinearModel {
  if (!(l2 >= 0 && Number.isFinite(l2))) throw new RangeError(`linear: l2 is ${l2}`);
  if (!Number.isInteger(maxIterations) || maxIterations < 1)
    throw new RangeError(`linear: maxIterations is ${maxIterations}`);
  checkRows(objective, { features, labels }, 'training');
  checkLabelsDiffer(objective, labels);
  const design = new Design(features);
  const weights =
    objective.task === 'regression'
      ? [leastSquares(design, labels, l2)]
      : logLinear(objective, design, labels, { l2, maxIterations });
  const fitted = weights.map((own) => design.unCentre(own));
  return {
    kind: 'linear',
    task: objective.task,
    outputs: outputsOf(objective),
    intercepts: fitted.map(({ intercept }) => intercept),
    coefficients: fitted.flatMap(({ coefficients }) => [...coefficients]),
  };
}

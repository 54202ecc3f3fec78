import type { Matrix } from './matrix.ts';
import type { LinearModel, TrainedModel } from './trained-model.ts';
import { predictMargins } from './boosting/predict.ts';
import { sigmoid } from './sigmoid.ts';
import { softmaxInPlace } from './softmax.ts';

/**
 * What a model says of rows: the probability of the positive class (binary), of each class
 * (multiclass), or the value (regression).
 *
 * @returns [outputs] arrays of [rows]
 * @throws {RangeError} if the model tests a feature that the matrix lacks, or a linear model's row has NaN
 */
export function scoresOf(model: TrainedModel, features: Matrix): Float64Array[] {
  const { rows } = features;
  const scores =
    model.kind === 'linear' ? linearMargins(model, features) : Float64Array.from(predictMargins(model, features));
  if (model.task === 'binary') for (let row = 0; row < rows; row++) scores[row] = sigmoid(scores[row]!);
  if (model.task === 'multiclass') softmaxInPlace(scores, model.outputs);
  return Array.from({ length: model.outputs }, (_, output) => scores.subarray(output * rows, (output + 1) * rows));
}

function linearMargins(model: LinearModel, { rows, columns, values }: Matrix): Float64Array {
  if (model.coefficients.length !== model.outputs * columns)
    throw new RangeError(`scoresOf: ${model.coefficients.length / model.outputs} coefficients, ${columns} columns`);
  const margins = new Float64Array(model.outputs * rows);
  for (let output = 0; output < model.outputs; output++) {
    const own = margins.subarray(output * rows, (output + 1) * rows).fill(model.intercepts[output]!);
    for (let column = 0; column < columns; column++) {
      const coefficient = model.coefficients[output * columns + column]!;
      const start = column * rows;
      for (let row = 0; row < rows; row++) own[row]! += coefficient * values[start + row]!;
    }
    for (let row = 0; row < rows; row++)
      if (Number.isNaN(own[row]!)) throw new RangeError(`scoresOf: row ${row} has a missing value`);
  }
  return margins;
}

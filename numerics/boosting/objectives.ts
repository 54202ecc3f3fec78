import type { Objective } from '../training-data.ts';
import { outputsOf } from '../training-data.ts';

/** A loss to descend. Arrays are [outputs x rows], output-major. */
export interface Loss {
  outputs: number;
  /** The best margins that do not depend on features, in float32. */
  baseMargins(labels: Float64Array): number[];
  /**
   * Mean loss of the rows: nats, or the mean squared error. With `slopes`, first and second derivatives of each
   * row's loss by its margins are written there, in the same pass.
   */
  evaluate(
    margins: Float64Array,
    labels: Float64Array,
    slopes?: { gradients: Float64Array; hessians: Float64Array },
  ): number;
}

export function lossOf(objective: Objective): Loss {
  if (objective.task === 'binary') return logistic;
  return objective.task === 'multiclass' ? softmax(outputsOf(objective)) : squaredError;
}

/** −ln p of the label, p = 1 / (1 + e^−margin). Gradient p − y, hessian p (1 − p). */
const logistic: Loss = {
  outputs: 1,
  baseMargins(labels) {
    let positives = 0;
    for (const label of labels) positives += label;
    return [Math.fround(Math.log(positives / (labels.length - positives)))];
  },
  evaluate(margins, labels, slopes) {
    let sum = 0;
    for (let row = 0; row < labels.length; row++) {
      const margin = margins[row]!;
      const label = labels[row]!;
      const e = Math.exp(-Math.abs(margin));
      const p = (margin >= 0 ? 1 : e) / (1 + e);
      sum += Math.max(margin, 0) - margin * label + Math.log1p(e);
      if (slopes) {
        slopes.gradients[row] = p - label;
        slopes.hessians[row] = e / ((1 + e) * (1 + e));
      }
    }
    return sum / labels.length;
  },
};

/**
 * −ln p of the label, p = softmax(margins). Gradient p_k − [k is the label]; the hessian's diagonal is
 * K / (K − 1) · p_k (1 − p_k), since one of K margins is redundant (Friedman 2001, equation 34).
 */
const softmax = (classes: number): Loss => ({
  outputs: classes,
  baseMargins(labels) {
    const counts = new Float64Array(classes);
    for (const label of labels) counts[label]!++;
    // A class without a row gets half of one: its prior is small, not zero.
    return Array.from(counts, (count) => Math.fround(Math.log(Math.max(count, 0.5) / labels.length)));
  },
  evaluate(margins, labels, slopes) {
    const rows = labels.length;
    const factor = classes / (classes - 1);
    const exps = new Float64Array(classes);
    let sum = 0;
    for (let row = 0; row < rows; row++) {
      let largest = -Infinity;
      for (let k = 0; k < classes; k++) largest = Math.max(largest, margins[k * rows + row]!);
      let total = 0;
      for (let k = 0; k < classes; k++) total += exps[k] = Math.exp(margins[k * rows + row]! - largest);
      const label = labels[row]!;
      sum += Math.log(total) + largest - margins[label * rows + row]!;
      if (slopes)
        for (let k = 0; k < classes; k++) {
          const p = exps[k]! / total;
          slopes.gradients[k * rows + row] = p - (k === label ? 1 : 0);
          slopes.hessians[k * rows + row] = factor * p * (1 - p);
        }
    }
    return sum / rows;
  },
});

/** Half the squared error, so that the gradient is margin − label and the hessian 1; told as the mean squared error. */
const squaredError: Loss = {
  outputs: 1,
  baseMargins(labels) {
    let mean = 0;
    for (const label of labels) mean += label / labels.length;
    return [Math.fround(mean)];
  },
  evaluate(margins, labels, slopes) {
    let sum = 0;
    for (let row = 0; row < labels.length; row++) {
      const excess = margins[row]! - labels[row]!;
      sum += excess * excess;
      if (slopes) {
        slopes.gradients[row] = excess;
        slopes.hessians[row] = 1;
      }
    }
    return sum / labels.length;
  },
};

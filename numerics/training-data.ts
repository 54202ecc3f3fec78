import type { Matrix } from './matrix.ts';

/** What a model is to predict. */
export interface Objective {
  task: 'binary' | 'multiclass' | 'regression';
  /** multiclass: how many classes the labels have. */
  classes?: number;
}

/** Rows to learn from, or to validate on. */
export interface TrainingData {
  features: Matrix;
  /** [rows] 0 or 1 (binary), class index (multiclass) or the value itself (regression) */
  labels: Float64Array;
}

/** 1 for binary and regression, else the number of classes. */
export function outputsOf(objective: Objective): number {
  if (objective.task !== 'multiclass') return 1;
  const { classes } = objective;
  if (classes === undefined || !Number.isInteger(classes) || classes < 2)
    throw new RangeError(`multiclass: needs 2 classes or more, not ${classes}`);
  return classes;
}

/**
 * Refuses labels that no model can learn from.
 *
 * @param part  what the message calls these rows: training, validation
 * @throws {RangeError} if there are no rows, shapes differ, or a label is outside the task's range
 */
export function checkRows({ task, classes = 2 }: Objective, { features, labels }: TrainingData, part: string): void {
  const { rows, columns, values } = features;
  if (rows === 0) throw new RangeError(`${part} rows: there are none`);
  if (labels.length !== rows) throw new RangeError(`${part} rows: ${rows} rows of features, ${labels.length} labels`);
  if (values.length !== rows * columns)
    throw new RangeError(`${part} rows: ${rows} x ${columns} features, ${values.length} values`);
  for (let row = 0; row < rows; row++) {
    const label = labels[row]!;
    const known =
      task === 'regression'
        ? Number.isFinite(label)
        : Number.isInteger(label) && label >= 0 && label < (task === 'binary' ? 2 : classes);
    if (!known) throw new RangeError(`${part} rows: label ${label} of row ${row} is not a ${task} label`);
  }
}

/** @throws {RangeError} if all labels are the same: there is nothing to learn */
export function checkLabelsDiffer({ task }: Objective, labels: Float64Array): void {
  const first = labels[0]!;
  for (const label of labels) if (label !== first) return;
  throw new RangeError(
    task === 'regression'
      ? `training rows: every target is ${first}; a constant cannot be learnt from`
      : `training rows: every label is class ${first}; training needs at least two classes`,
  );
}

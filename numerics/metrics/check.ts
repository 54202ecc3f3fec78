/** @throws {RangeError} if there are no rows or the lengths differ */
export function checkLengths(what: string, labels: ArrayLike<number>, scores: ArrayLike<number>): void {
  if (labels.length !== scores.length)
    throw new RangeError(`${what}: ${labels.length} labels, ${scores.length} scores`);
  if (labels.length === 0) throw new RangeError(`${what}: no rows`);
}

/** @throws {RangeError} if a label is not 0 or 1, a probability not in [0, 1], or the lengths differ */
export function checkProbabilities(what: string, labels: ArrayLike<number>, probabilities: ArrayLike<number>): void {
  checkLengths(what, labels, probabilities);
  for (let row = 0; row < labels.length; row++) {
    checkBinaryLabel(what, labels[row]!, row);
    checkProbability(what, probabilities[row]!, row);
  }
}

export function checkBinaryLabel(what: string, label: number, row: number): void {
  if (label !== 0 && label !== 1) throw new RangeError(`${what}: label ${label} of row ${row} is not 0 or 1`);
}

export function checkProbability(what: string, p: number, row: number): void {
  if (!(p >= 0 && p <= 1)) throw new RangeError(`${what}: ${p} of row ${row} is not a probability`);
}

/** @throws {RangeError} if the label is not a class index */
export function checkClass(what: string, label: number, classes: number, row: number): void {
  if (!Number.isInteger(label) || label < 0 || label >= classes)
    throw new RangeError(`${what}: label ${label} of row ${row} is not one of ${classes} classes`);
}

/** @throws {RangeError} if the lengths differ, there are no rows, or a number is not finite */
export function checkNumbers(what: string, labels: ArrayLike<number>, predictions: ArrayLike<number>): void {
  checkLengths(what, labels, predictions);
  for (let row = 0; row < labels.length; row++)
    if (!Number.isFinite(labels[row]!) || !Number.isFinite(predictions[row]!))
      throw new RangeError(`${what}: row ${row} has label ${labels[row]}, prediction ${predictions[row]}`);
}

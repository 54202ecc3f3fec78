import type { Matrix } from '../matrix.ts';

/** Columns with fewer non-zeros than this share of rows are kept as those alone: one-hot columns, mostly. */
const SPARSE_SHARE = 0.3;

interface DenseColumn {
  /** [rows] less their mean */
  values: Float64Array;
  mean: number;
}
interface SparseColumn {
  /** Rows with a value other than 0, ascending, */
  at: Int32Array;
  /** and that value. */
  values: Float64Array;
}

/**
 * Features as the solvers take them, with a column of ones last: the intercept's.
 *
 * Dense columns are centred, so that their scale and offset do not spoil the arithmetic. Mostly-zero columns are not
 * (they would no longer be sparse); the column of ones takes care of theirs.
 */
export class Design {
  readonly rows: number;
  /** Columns, that of ones included. */
  readonly size: number;
  #columns: (DenseColumn | SparseColumn)[];

  /** @throws {RangeError} naming the column and row of a value that is missing or infinite */
  constructor({ rows, columns, values }: Matrix) {
    this.rows = rows;
    this.size = columns + 1;
    this.#columns = Array.from({ length: columns }, (_, c) => readColumn(values.subarray(c * rows, (c + 1) * rows), c));
  }

  /** Adds X · weights to `margins` [rows]; weights are [size]. */
  addProduct(weights: Float64Array, margins: Float64Array): void {
    const intercept = weights[this.size - 1]!;
    for (let row = 0; row < this.rows; row++) margins[row]! += intercept;
    for (const [c, column] of this.#columns.entries()) {
      const weight = weights[c]!;
      if (weight === 0) continue;
      const { values } = column;
      if ('at' in column) for (let i = 0; i < values.length; i++) margins[column.at[i]!]! += weight * values[i]!;
      else for (let row = 0; row < values.length; row++) margins[row]! += weight * values[row]!;
    }
  }

  /** Adds Xᵀ · residuals to `into` [size]; residuals are [rows]. */
  addTransposeProduct(residuals: Float64Array, into: Float64Array): void {
    for (const [c, column] of this.#columns.entries()) into[c]! += inner(column, residuals);
    let sum = 0;
    for (let row = 0; row < this.rows; row++) sum += residuals[row]!;
    into[this.size - 1]! += sum;
  }

  /** Xᵀ X, its lower triangle, [size x size] row-major. */
  gram(): Float64Array {
    const { size, rows } = this;
    const gram = new Float64Array(size * size);
    const spread = new Float64Array(rows); // a sparse column, written out
    for (const [i, column] of this.#columns.entries()) {
      let sum = 0;
      for (const value of column.values) sum += value;
      gram[(size - 1) * size + i] = sum;
      if ('at' in column) for (let k = 0; k < column.values.length; k++) spread[column.at[k]!] = column.values[k]!;
      for (let j = 0; j <= i; j++) {
        const other = this.#columns[j]!;
        // Whichever is sparse is walked along.
        gram[i * size + j] =
          'at' in column
            ? 'at' in other
              ? inner(other, spread)
              : inner(column, other.values)
            : inner(other, column.values);
      }
      if ('at' in column) for (const row of column.at) spread[row] = 0;
    }
    gram[size * size - 1] = rows;
    return gram;
  }

  /** Weights of the columns as they were given: the offsets that centring took off go into the intercept. */
  unCentre(weights: Float64Array): { coefficients: Float64Array; intercept: number } {
    const coefficients = weights.slice(0, this.size - 1);
    let intercept = weights[this.size - 1]!;
    for (const [c, column] of this.#columns.entries())
      if ('mean' in column) intercept -= coefficients[c]! * column.mean;
    return { coefficients, intercept };
  }
}

function readColumn(own: Float32Array, c: number): DenseColumn | SparseColumn {
  let nonZero = 0;
  let sum = 0;
  for (let row = 0; row < own.length; row++) {
    const value = own[row]!;
    if (!Number.isFinite(value))
      throw new RangeError(`linear: column ${c} is ${value} in row ${row}; impute missing values first`);
    if (value !== 0) nonZero++;
    sum += value;
  }
  if (nonZero < SPARSE_SHARE * own.length) {
    const at = new Int32Array(nonZero);
    const values = new Float64Array(nonZero);
    for (let row = 0, i = 0; row < own.length; row++)
      if (own[row] !== 0) {
        at[i] = row;
        values[i++] = own[row]!;
      }
    return { at, values };
  }
  const mean = sum / own.length;
  return { values: Float64Array.from(own, (value) => value - mean), mean };
}

function inner(column: DenseColumn | SparseColumn, dense: Float64Array): number {
  const { values } = column;
  let sum = 0;
  if ('at' in column) {
    for (let i = 0; i < values.length; i++) sum += values[i]! * dense[column.at[i]!]!;
    return sum;
  }
  // Four sums at once: one alone would wait for each addition to end.
  let [a, b, c] = [0, 0, 0];
  const fours = values.length - (values.length % 4);
  for (let i = 0; i < fours; i += 4) {
    sum += values[i]! * dense[i]!;
    a += values[i + 1]! * dense[i + 1]!;
    b += values[i + 2]! * dense[i + 2]!;
    c += values[i + 3]! * dense[i + 3]!;
  }
  for (let i = fours; i < values.length; i++) sum += values[i]! * dense[i]!;
  return sum + a + (b + c);
}

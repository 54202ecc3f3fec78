import type { Matrix } from '../matrix.ts';

/** Columns with fewer non-zeros than this share of rows are kept as those alone: one-hot columns, mostly. */
const SPARSE_SHARE = 0.3;
const BLOCK_ROWS = 512;

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
      gram[(size - 1) * size + i] = column.values.reduce((sum, value) => sum + value, 0);
      if (!('at' in column)) continue;
      for (let k = 0; k < column.values.length; k++) spread[column.at[k]!] = column.values[k]!;
      for (const [j, other] of this.#columns.entries())
        if (!('at' in other)) gram[Math.max(i, j) * size + Math.min(i, j)] = inner(column, other.values);
        else if (j <= i) gram[i * size + j] = inner(other, spread);
      for (const row of column.at) spread[row] = 0;
    }
    gram[size * size - 1] = rows;
    this.#addDenseGram(gram);
    return gram;
  }

  /**
   * Products of dense columns with each other: four at a time, which read the one they share once, and in blocks of
   * rows, so that all columns' blocks stay in the processor's cache.
   */
  #addDenseGram(gram: Float64Array): void {
    const dense = this.#columns.flatMap((column, c) => ('at' in column ? [] : [{ c, values: column.values }]));
    const products = new Float64Array(4);
    for (let from = 0; from < this.rows; from += BLOCK_ROWS) {
      const to = Math.min(from + BLOCK_ROWS, this.rows);
      for (const [i, { c: column, values }] of dense.entries()) {
        for (let j = 0; j <= i; j += 4) {
          // Beyond the last column it is taken again, and its products are not kept.
          const a = dense[j]!.values;
          const b = dense[Math.min(j + 1, i)]!.values;
          const c = dense[Math.min(j + 2, i)]!.values;
          const d = dense[Math.min(j + 3, i)]!.values;
          fourProducts(values, a, b, c, d, from, to, products);
          for (let k = 0; k < 4 && j + k <= i; k++) gram[column * this.size + dense[j + k]!.c]! += products[k]!;
        }
      }
    }
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
  const values = new Float64Array(own.length);
  for (let row = 0; row < own.length; row++) values[row] = own[row]! - mean;
  return { values, mean };
}

function inner(column: DenseColumn | SparseColumn, dense: Float64Array): number {
  const { values } = column;
  let sum = 0;
  if ('at' in column) {
    for (let i = 0; i < values.length; i++) sum += values[i]! * dense[column.at[i]!]!;
    return sum;
  }
  for (let row = 0; row < values.length; row++) sum += values[row]! * dense[row]!;
  return sum;
}

/** Inner products of x with four others, over rows `from` … `to` − 1. */
function fourProducts(
  x: Float64Array,
  a: Float64Array,
  b: Float64Array,
  c: Float64Array,
  d: Float64Array,
  from: number,
  to: number,
  into: Float64Array,
): void {
  let xa = 0;
  let xb = 0;
  let xc = 0;
  let xd = 0;
  for (let row = from; row < to; row++) {
    const value = x[row]!;
    xa += value * a[row]!;
    xb += value * b[row]!;
    xc += value * c[row]!;
    xd += value * d[row]!;
  }
  into[0] = xa;
  into[1] = xb;
  into[2] = xc;
  into[3] = xd;
}

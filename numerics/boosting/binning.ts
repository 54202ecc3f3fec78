import type { Matrix } from '../matrix.ts';

/** Above this many rows, quantiles are those of an evenly spaced sample. */
const SAMPLE_ROWS = 200_000;
const LARGEST_FLOAT32 = 3.4028234663852886e38;

/** A feature's values replaced by the number of the quantile bin that they fall into. */
export interface Binned {
  rows: number;
  columns: number;
  /** [columns x rows] column-major; missing values are in bin `edges[column].length` */
  bins: Uint8Array;
  /** Per column, ascending, float32: a value is in the first bin whose edge it does not exceed. */
  edges: Float32Array[];
}

/**
 * Cuts every column into at most `maxBins` bins of nearly equal count; missing values are in one more.
 * O(rows log rows) per column, without regard to a column's scale: only the order of values counts.
 *
 * @throws {RangeError} if maxBins is not within 2 … 255
 */
export function binColumns({ rows, columns, values }: Matrix, maxBins: number): Binned {
  if (!(maxBins >= 2 && maxBins <= 255)) throw new RangeError(`binColumns: ${maxBins} bins`);
  const bins = new Uint8Array(rows * columns);
  const edges: Float32Array[] = [];
  for (let column = 0; column < columns; column++) {
    const own = values.subarray(column * rows, (column + 1) * rows);
    const columnEdges = quantileEdges(own, maxBins);
    edges.push(columnEdges);
    assignBins(own, columnEdges, bins.subarray(column * rows, (column + 1) * rows));
  }
  return { rows, columns, bins, edges };
}

/**
 * Upper edges of a column's bins. Where there are no more distinct values than bins each has its own; else bins
 * are filled, from the smallest value on, to an equal share of the rows that are left, as LightGBM fills them: a value
 * as frequent as a whole bin ends one, and begins one where that in front of it is at least half full.
 *
 * @returns ascending edges; the last is the largest float32. Each other lies as near as can be to half way between
 *   its neighbours: lower <= edge < upper. Empty if every value is missing.
 */
export function quantileEdges(values: Float32Array, maxBins: number): Float32Array {
  const { distinct, counts, total } = countDistinct(values);
  if (distinct.length === 0) return new Float32Array(0);
  const edges: number[] = [];
  const alone = distinct.length <= maxBins;
  const heavy = counts.map((count) => count * maxBins >= total);
  let rowsLeft = total;
  let binsLeft = maxBins;
  for (const [i, count] of counts.entries())
    if (heavy[i]) {
      rowsLeft -= count;
      binsLeft--;
    }
  let share = rowsLeft / binsLeft;
  let filled = 0;
  for (let i = 0; i < distinct.length - 1 && edges.length < maxBins - 1; i++) {
    filled += counts[i]!;
    if (!heavy[i]) rowsLeft -= counts[i]!;
    if (!alone && !heavy[i] && filled < share && !(heavy[i + 1] && filled >= share / 2)) continue;
    edges.push(midpoint(distinct[i]!, distinct[i + 1]!));
    filled = 0;
    if (!heavy[i]) share = rowsLeft / Math.max(--binsLeft, 1);
  }
  edges.push(LARGEST_FLOAT32);
  return Float32Array.from(edges);
}

function countDistinct(values: Float32Array): { distinct: number[]; counts: number[]; total: number } {
  const every = Math.max(1, values.length / SAMPLE_ROWS);
  const sorted = new Float32Array(Math.ceil(values.length / every));
  let total = 0;
  for (let i = 0; i < sorted.length; i++) {
    const value = values[Math.floor(i * every)]!;
    if (!Number.isNaN(value)) sorted[total++] = Math.min(Math.max(value, -LARGEST_FLOAT32), LARGEST_FLOAT32);
  }
  const distinct: number[] = [];
  const counts: number[] = [];
  for (const value of sorted.subarray(0, total).sort()) {
    if (value === distinct[distinct.length - 1]) counts[counts.length - 1]!++;
    else {
      distinct.push(value + 0); // −0 becomes 0: JSON has no −0
      counts.push(1);
    }
  }
  return { distinct, counts, total };
}

/** A float32 t with lower <= t < upper, so that `value <= t` parts the two in float32 as in float64. */
function midpoint(lower: number, upper: number): number {
  const middle = Math.fround(lower / 2 + upper / 2) + 0;
  return middle >= lower && middle < upper ? middle : lower;
}

/** Binary search of every value. */
function assignBins(values: Float32Array, edges: Float32Array, into: Uint8Array): void {
  for (let row = 0; row < values.length; row++) {
    const value = values[row]!;
    if (Number.isNaN(value)) {
      into[row] = edges.length;
      continue;
    }
    let low = 0;
    let high = edges.length - 1; // an infinite value is in the last bin
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value <= edges[middle]!) high = middle;
      else low = middle + 1;
    }
    into[row] = low;
  }
}

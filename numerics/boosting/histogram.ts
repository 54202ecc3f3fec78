import type { Binned } from './binning.ts';

/**
 * Sums of a node's rows by feature and bin: gradient, hessian and number of rows, side by side, since all three are
 * touched at once. [3 x bins of all features]
 */
export type Histogram = Float64Array;

/** Where each feature's bins begin in a histogram, counted in bins; its missing bin is the last of its own. */
export function histogramOffsets(binned: Binned): Int32Array {
  const offsets = new Int32Array(binned.columns + 1);
  for (let f = 0; f < binned.columns; f++) offsets[f + 1] = offsets[f]! + binned.edges[f]!.length + 1;
  return offsets;
}

export function emptyHistogram(offsets: Int32Array): Histogram {
  return new Float64Array(3 * offsets[offsets.length - 1]!);
}

/**
 * Fills a histogram from a node's rows, four features at a time: a row's gradients are then read once for four bins,
 * and the four additions do not wait for each other. More than twice as fast as feature by feature.
 *
 * @param rows       the node's rows
 * @param gradients  [2 x rows] gradient and hessian of those rows, in their order: gathered once per node
 * @param features   those to sum up; the others' bins are left as they are
 */
export function buildHistogram(
  into: Histogram,
  { bins, rows: allRows }: Binned,
  offsets: Int32Array,
  features: Int32Array,
  rows: Int32Array,
  gradients: Float64Array,
): void {
  for (const f of features) into.fill(0, 3 * offsets[f]!, 3 * offsets[f + 1]!);
  const fours = features.length - (features.length % 4);
  for (let next = 0; next < fours; next += 4) {
    const [f0, f1, f2, f3] = features.subarray(next, next + 4) as unknown as [number, number, number, number];
    const [start0, start1, start2, start3] = [3 * offsets[f0]!, 3 * offsets[f1]!, 3 * offsets[f2]!, 3 * offsets[f3]!];
    const [column0, column1, column2, column3] = [f0 * allRows, f1 * allRows, f2 * allRows, f3 * allRows];
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!;
      const gradient = gradients[2 * i]!;
      const hessian = gradients[2 * i + 1]!;
      const at0 = start0 + 3 * bins[column0 + row]!;
      const at1 = start1 + 3 * bins[column1 + row]!;
      const at2 = start2 + 3 * bins[column2 + row]!;
      const at3 = start3 + 3 * bins[column3 + row]!;
      into[at0]! += gradient;
      into[at0 + 1]! += hessian;
      into[at0 + 2]!++;
      into[at1]! += gradient;
      into[at1 + 1]! += hessian;
      into[at1 + 2]!++;
      into[at2]! += gradient;
      into[at2 + 1]! += hessian;
      into[at2 + 2]!++;
      into[at3]! += gradient;
      into[at3 + 1]! += hessian;
      into[at3 + 2]!++;
    }
  }
  for (const f of features.subarray(fours)) {
    const start = 3 * offsets[f]!;
    const column = f * allRows;
    for (let i = 0; i < rows.length; i++) {
      const at = start + 3 * bins[column + rows[i]!]!;
      into[at]! += gradients[2 * i]!;
      into[at + 1]! += gradients[2 * i + 1]!;
      into[at + 2]!++;
    }
  }
}

/** Turns a parent's histogram into that of the other child: larger = parent − smaller, a pass over bins instead of rows. */
export function subtractInPlace(
  parent: Histogram,
  smaller: Histogram,
  offsets: Int32Array,
  features: Int32Array,
): void {
  for (const f of features) {
    for (let at = 3 * offsets[f]!; at < 3 * offsets[f + 1]!; at += 3) {
      parent[at + 2]! -= smaller[at + 2]!;
      // What is left of an empty bin's sums is rounding error.
      const empty = parent[at + 2] === 0;
      parent[at] = empty ? 0 : parent[at]! - smaller[at]!;
      parent[at + 1] = empty ? 0 : parent[at + 1]! - smaller[at + 1]!;
    }
  }
}

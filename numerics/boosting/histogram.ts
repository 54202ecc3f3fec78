import type { Binned } from './binning.ts';

/** Sums of a node's gradients by feature and bin. */
export interface Histogram {
  /** [2 x bins of all features] gradient and hessian, interleaved */
  sums: Float64Array;
  /** [bins of all features] rows */
  counts: Int32Array;
}

/** Where each feature's bins begin in a histogram; its missing bin is the last of its own. */
export function histogramOffsets(binned: Binned): Int32Array {
  const offsets = new Int32Array(binned.columns + 1);
  for (let f = 0; f < binned.columns; f++) offsets[f + 1] = offsets[f]! + binned.edges[f]!.length + 1;
  return offsets;
}

export function emptyHistogram(offsets: Int32Array): Histogram {
  const bins = offsets[offsets.length - 1]!;
  return { sums: new Float64Array(2 * bins), counts: new Int32Array(bins) };
}

/**
 * Fills a histogram from a node's rows.
 *
 * @param rows       the node's rows
 * @param gradients  [2 x rows] gradient and hessian of those rows, in their order: gathered once per node, read once per feature
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
  const { sums, counts } = into;
  for (const f of features) {
    const offset = offsets[f]!;
    sums.fill(0, 2 * offset, 2 * offsets[f + 1]!);
    counts.fill(0, offset, offsets[f + 1]);
    const column = f * allRows;
    for (let i = 0; i < rows.length; i++) {
      const bin = offset + bins[column + rows[i]!]!;
      sums[2 * bin]! += gradients[2 * i]!;
      sums[2 * bin + 1]! += gradients[2 * i + 1]!;
      counts[bin]!++;
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
    for (let bin = offsets[f]!; bin < offsets[f + 1]!; bin++) {
      parent.counts[bin]! -= smaller.counts[bin]!;
      // What is left of an empty bin's sums is rounding error.
      const empty = parent.counts[bin] === 0;
      parent.sums[2 * bin] = empty ? 0 : parent.sums[2 * bin]! - smaller.sums[2 * bin]!;
      parent.sums[2 * bin + 1] = empty ? 0 : parent.sums[2 * bin + 1]! - smaller.sums[2 * bin + 1]!;
    }
  }
}

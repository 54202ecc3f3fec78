import type { Tree } from '../trained-model.ts';
import type { Binned } from './binning.ts';
import type { Histogram } from './histogram.ts';
import type { NodeSums, Split, SplitLimits } from './split.ts';
import { buildHistogram, emptyHistogram, histogramOffsets, subtractInPlace } from './histogram.ts';
import { findSplit } from './split.ts';

export interface GrowLimits extends SplitLimits {
  maxDepth: number;
  learningRate: number;
}

/**
 * Grows trees on one binned table: every node is split as long as a split gains, down to maxDepth.
 *
 * The rows of a node are a contiguous range of one array, parted in place and in a stable way. Of two children only
 * the smaller one's histogram is summed from rows. Nodes are visited depth first, so no more histograms are alive
 * than the tree is deep.
 */
export class Grower {
  #binned: Binned;
  #limits: GrowLimits;
  #offsets: Int32Array;
  #free: Histogram[] = [];
  #rows: Int32Array;
  #scratch: Int32Array;
  #gathered: Float64Array;

  constructor(binned: Binned, limits: GrowLimits) {
    this.#binned = binned;
    this.#limits = limits;
    this.#offsets = histogramOffsets(binned);
    this.#rows = new Int32Array(binned.rows);
    this.#scratch = new Int32Array(binned.rows);
    this.#gathered = new Float64Array(2 * binned.rows);
  }

  /**
   * @param rows       the rows to learn from
   * @param gradients  [all rows] first derivatives of the loss by the margin
   * @param hessians   [all rows] second derivatives
   * @param features   the features to choose from, ascending
   */
  grow(rows: Int32Array, gradients: Float64Array, hessians: Float64Array, features: Int32Array): Tree {
    this.#rows.set(rows);
    const tree: Tree = { feature: [], threshold: [], left: [], right: [], missingLeft: [], value: [] };
    const sums = this.#gather(0, rows.length, gradients, hessians);
    const histogram = this.#build(0, rows.length, features);
    this.#growNode(tree, { begin: 0, end: rows.length, depth: 0, sums, histogram }, gradients, hessians, features);
    return tree;
  }

  /** Adds a node and all below it to the tree, and hands its histogram back. Returns its index. */
  #growNode(
    tree: Tree,
    node: { begin: number; end: number; depth: number; sums: NodeSums; histogram?: Histogram },
    gradients: Float64Array,
    hessians: Float64Array,
    features: Int32Array,
  ): number {
    const { begin, end, depth, sums, histogram } = node;
    const at = tree.feature.length;
    const split = histogram && findSplit(histogram, this.#offsets, features, sums, this.#limits);
    if (!histogram || !split) {
      if (histogram) this.#free.push(histogram);
      addNode(tree, -1, 0, false, this.#leafValue(sums));
      return at;
    }
    addNode(tree, split.feature, this.#binned.edges[split.feature]![split.bin]!, split.missingLeft, 0);
    const middle = this.#part(begin, end, split);

    const childDepth = depth + 1;
    const splittable = ({ rows, hessian }: NodeSums): boolean =>
      childDepth < this.#limits.maxDepth &&
      rows >= 2 * this.#limits.minChildRows &&
      hessian >= 2 * this.#limits.minChildWeight;
    let ofLeft: Histogram | undefined;
    let ofRight: Histogram | undefined;
    if (splittable(split.left) || splittable(split.right)) {
      const leftIsSmaller = middle - begin <= end - middle;
      const [from, to] = leftIsSmaller ? [begin, middle] : [middle, end];
      this.#gather(from, to, gradients, hessians);
      const smaller = this.#build(from, to, features);
      subtractInPlace(histogram, smaller, this.#offsets, features);
      [ofLeft, ofRight] = leftIsSmaller ? [smaller, histogram] : [histogram, smaller];
      if (!splittable(split.left)) ofLeft = void this.#free.push(ofLeft);
      if (!splittable(split.right)) ofRight = void this.#free.push(ofRight);
    } else this.#free.push(histogram);

    const left = { begin, end: middle, depth: childDepth, sums: split.left, histogram: ofLeft };
    const right = { begin: middle, end, depth: childDepth, sums: split.right, histogram: ofRight };
    tree.left[at] = this.#growNode(tree, left, gradients, hessians, features);
    tree.right[at] = this.#growNode(tree, right, gradients, hessians, features);
    return at;
  }

  /** Copies a node's gradients together, so that each feature's pass reads them in a row; returns their sums. */
  #gather(begin: number, end: number, gradients: Float64Array, hessians: Float64Array): NodeSums {
    const gathered = this.#gathered;
    let gradient = 0;
    let hessian = 0;
    for (let i = begin, to = 0; i < end; i++) {
      const row = this.#rows[i]!;
      gradient += gathered[to++] = gradients[row]!;
      hessian += gathered[to++] = hessians[row]!;
    }
    return { gradient, hessian, rows: end - begin };
  }

  #build(begin: number, end: number, features: Int32Array): Histogram {
    const histogram = this.#free.pop() ?? emptyHistogram(this.#offsets);
    const rows = this.#rows.subarray(begin, end);
    buildHistogram(histogram, this.#binned, this.#offsets, features, rows, this.#gathered);
    return histogram;
  }

  /** Rows that go left, then those that go right, each in the order they had. Returns where the right ones begin. */
  #part(begin: number, end: number, { feature, bin, missingLeft }: Split): number {
    const { bins, edges, rows: allRows } = this.#binned;
    const column = feature * allRows;
    const missing = edges[feature]!.length;
    const rows = this.#rows;
    const scratch = this.#scratch;
    let left = begin;
    let right = 0;
    for (let i = begin; i < end; i++) {
      const row = rows[i]!;
      const own = bins[column + row]!;
      if (own === missing ? missingLeft : own <= bin) rows[left++] = row;
      else scratch[right++] = row;
    }
    rows.set(scratch.subarray(0, right), left);
    return left;
  }

  /** −G / (H + λ), shrunk by the learning rate. */
  #leafValue({ gradient, hessian }: NodeSums): number {
    const weight = hessian + this.#limits.l2;
    if (!(weight > 0)) return 0;
    return Math.fround((-gradient / weight) * this.#limits.learningRate) + 0; // −0 becomes 0: JSON has no −0
  }
}

function addNode(tree: Tree, feature: number, threshold: number, missingLeft: boolean, value: number): void {
  tree.feature.push(feature);
  tree.threshold.push(threshold);
  tree.left.push(-1);
  tree.right.push(-1);
  tree.missingLeft.push(missingLeft ? 1 : 0);
  tree.value.push(value);
}

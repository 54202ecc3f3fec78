import type { Histogram } from './histogram.ts';

/** A node's rows and their gradients, summed. */
export interface NodeSums {
  gradient: number;
  hessian: number;
  rows: number;
}

export interface Split {
  feature: number;
  /** Rows of this bin and those before it go left. */
  bin: number;
  missingLeft: boolean;
  gain: number;
  left: NodeSums;
  right: NodeSums;
}

export interface SplitLimits {
  l2: number;
  minChildWeight: number;
  minChildRows: number;
}

/**
 * The split that lowers the loss most, by its second-order expansion:
 *
 *   gain = G_L² / (H_L + λ) + G_R² / (H_R + λ) − G² / (H + λ)
 *
 * Missing values are tried on either side; where a node has none they follow the larger child. Of equal gains
 * the first feature and the lowest bin win, so the answer depends on nothing else. O(bins of the features).
 *
 * @returns undefined if no split has a positive gain within the limits
 * @see Chen & Guestrin 2016, doi:10.1145/2939672.2939785, equations 7 and algorithm 3
 */
export function findSplit(
  histogram: Histogram,
  offsets: Int32Array,
  features: Int32Array,
  node: NodeSums,
  { l2, minChildWeight, minChildRows }: SplitLimits,
): Split | undefined {
  const { sums, counts } = histogram;
  const score = (g: number, h: number): number => (g * g) / (h + l2 || Infinity);
  const nodeScore = score(node.gradient, node.hessian);
  // Rounding alone can make a tiny gain; such a split says nothing.
  let bestGain = 1e-10 * Math.max(1, nodeScore);
  let best: Split | undefined;

  for (const feature of features) {
    const first = offsets[feature]!;
    const missing = offsets[feature + 1]! - 1;
    const missingRows = counts[missing]!;
    let g = 0;
    let h = 0;
    let rows = 0;
    for (let bin = first; bin < missing; bin++) {
      if (counts[bin] === 0) continue; // the same split as the bin before
      g += sums[2 * bin]!;
      h += sums[2 * bin + 1]!;
      rows += counts[bin]!;
      for (let missingLeft = 0; missingLeft <= (missingRows > 0 ? 1 : 0); missingLeft++) {
        const leftG = missingLeft ? g + sums[2 * missing]! : g;
        const leftH = missingLeft ? h + sums[2 * missing + 1]! : h;
        const leftRows = missingLeft ? rows + missingRows : rows;
        const rightRows = node.rows - leftRows;
        if (leftRows < minChildRows || rightRows < minChildRows) continue;
        const rightG = node.gradient - leftG;
        const rightH = node.hessian - leftH;
        if (leftH < minChildWeight || rightH < minChildWeight) continue;
        const gain = score(leftG, leftH) + score(rightG, rightH) - nodeScore;
        if (!(gain > bestGain)) continue;
        bestGain = gain;
        best = {
          feature,
          bin: bin - first,
          missingLeft: missingRows > 0 ? missingLeft === 1 : leftRows >= rightRows,
          gain,
          left: { gradient: leftG, hessian: leftH, rows: leftRows },
          right: { gradient: rightG, hessian: rightH, rows: rightRows },
        };
      }
    }
  }
  return best;
}

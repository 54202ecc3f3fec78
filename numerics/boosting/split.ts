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
  const nodeScore = node.gradient === 0 ? 0 : (node.gradient * node.gradient) / (node.hessian + l2);
  // Rounding alone can make a tiny gain; such a split says nothing.
  let bestGain = 1e-10 * Math.max(1, nodeScore);
  let best: Split | undefined;

  for (const feature of features) {
    const first = 3 * offsets[feature]!;
    const missing = 3 * (offsets[feature + 1]! - 1);
    const missingRows = histogram[missing + 2]!;
    const sides = missingRows > 0 ? 2 : 1;
    let g = 0;
    let h = 0;
    let rows = 0;
    for (let at = first; at < missing; at += 3) {
      if (histogram[at + 2] === 0) continue; // the same split as the bin before
      g += histogram[at]!;
      h += histogram[at + 1]!;
      rows += histogram[at + 2]!;
      for (let missingLeft = 0; missingLeft < sides; missingLeft++) {
        const leftG = missingLeft ? g + histogram[missing]! : g;
        const leftH = missingLeft ? h + histogram[missing + 1]! : h;
        const leftRows = missingLeft ? rows + missingRows : rows;
        const rightRows = node.rows - leftRows;
        if (leftRows < minChildRows || rightRows < minChildRows) continue;
        const rightG = node.gradient - leftG;
        const rightH = node.hessian - leftH;
        if (leftH < minChildWeight || rightH < minChildWeight) continue;
        const gain = (leftG * leftG) / (leftH + l2) + (rightG * rightG) / (rightH + l2) - nodeScore;
        if (!(gain > bestGain)) continue; // nor NaN, of a child without weight
        bestGain = gain;
        best = {
          feature,
          bin: (at - first) / 3,
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

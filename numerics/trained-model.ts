/** One binary tree in flat arrays of one length; node 0 is the root. Plain numbers, so that a tree is JSON. */
export interface Tree {
  /** Feature tested at a node; -1 at a leaf. */
  feature: number[];
  /** float32; a row goes left when its value is <= this. 0 at a leaf. */
  threshold: number[];
  /** Index of the children; -1 at a leaf. */
  left: number[];
  right: number[];
  /** 1: a missing value goes left. */
  missingLeft: number[];
  /** float32: what a leaf adds to the margin, learning rate included; 0 at an inner node. */
  value: number[];
}

/** Margins are summed in float32 in tree order, the base last; tree t belongs to output t % outputs. */
export interface TreeEnsemble {
  kind: 'treeEnsemble';
  task: 'binary' | 'multiclass' | 'regression';
  /** 1 for binary and regression, else the number of classes. */
  outputs: number;
  /** [outputs] float32 */
  baseMargins: number[];
  trees: Tree[];
}

/** margin[o] = intercepts[o] + sum over f of coefficients[o * features + f] * x[f] */
export interface LinearModel {
  kind: 'linear';
  task: 'binary' | 'multiclass' | 'regression';
  outputs: number;
  /** [outputs] */
  intercepts: number[];
  /** [outputs x features] */
  coefficients: number[];
}

export type TrainedModel = TreeEnsemble | LinearModel;

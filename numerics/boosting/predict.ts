import type { Matrix } from '../matrix.ts';
import type { Tree, TreeEnsemble } from '../trained-model.ts';

/**
 * Margins of rows, to the bit as ONNX Runtime's TreeEnsemble gives them: values compared and leaves summed in
 * float32, in tree order, the base last. O(rows x trees x depth).
 *
 * @returns [outputs x rows] output-major
 * @throws {RangeError} if a tree tests a feature that the matrix lacks
 */
export function predictMargins(model: TreeEnsemble, features: Matrix): Float32Array {
  const { rows } = features;
  const margins = new Float32Array(model.outputs * rows);
  for (const [t, tree] of model.trees.entries()) {
    const output = t % model.outputs;
    addTree(tree, features, margins.subarray(output * rows, (output + 1) * rows));
  }
  for (let output = 0; output < model.outputs; output++)
    for (let row = output * rows; row < (output + 1) * rows; row++) margins[row]! += model.baseMargins[output]!;
  return margins;
}

/**
 * Adds what a tree says of each row, in the precision of the sums.
 *
 * @param margins [rows]
 * @throws {RangeError} if the tree tests a feature that the matrix lacks
 */
export function addTree(tree: Tree, { rows, columns, values }: Matrix, margins: Float32Array | Float64Array): void {
  const feature = Int32Array.from(tree.feature);
  const threshold = Float32Array.from(tree.threshold);
  const value = Float32Array.from(tree.value);
  const children = new Int32Array(2 * feature.length); // left, right
  for (let node = 0; node < feature.length; node++) {
    if (feature[node]! >= columns) throw new RangeError(`predict: feature ${feature[node]} of ${columns}`);
    children[2 * node] = tree.left[node]!;
    children[2 * node + 1] = tree.right[node]!;
  }
  const missing = Uint8Array.from(tree.missingLeft, (left) => 1 - left);
  for (let row = 0; row < rows; row++) {
    let node = 0;
    for (let f = feature[0]!; f >= 0; f = feature[node]!) {
      const x = values[f * rows + row]!;
      const right = x <= threshold[node]! ? 0 : x === x ? 1 : missing[node]!;
      node = children[2 * node + right]!;
    }
    margins[row]! += value[node]!;
  }
}

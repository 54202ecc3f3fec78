import type { Matrix } from '../numerics/matrix.ts';
import type { Columns, GraphSpec } from '../schemas/index.ts';
import { runInBatches } from './session.ts';

/**
 * The features that a trainer sees: the head run over all rows, so training and serving cannot differ.
 *
 * @param head         from {@link buildHead}
 * @param graph        the description that the head was built from
 * @param predictedAt  [rows] seconds since 1970
 */
export async function featureMatrix(
  head: Uint8Array,
  graph: GraphSpec,
  inputs: Columns,
  predictedAt: Float64Array,
): Promise<Matrix> {
  const { rows } = inputs;
  const absent = Object.keys(graph.inputs).find((name) => !Object.hasOwn(inputs.columns, name));
  if (absent !== undefined) throw new RangeError(`featureMatrix: no column ${absent}`);
  let columns = 0;
  let values = new Float32Array();
  await runInBatches(head, inputs, predictedAt, (outputs, from, to) => {
    const { data, dims } = outputs['features']!;
    const batch = data as Float32Array;
    if (from === 0) {
      columns = dims[1]!;
      values = new Float32Array(rows * columns);
    }
    for (let c = 0; c < columns; c++)
      for (let r = from; r < to; r++) values[c * rows + r] = batch[(r - from) * columns + c]!;
  });
  return { rows, columns, values };
}

import type { Column, Columns, GraphSpec } from '../schemas/index.ts';
import { buildDerivations } from './build-graph.ts';
import { graphColumns } from './graph-columns.ts';
import { runInBatches } from './session.ts';

/**
 * Computes the derived columns and when each row's label is final, by the nodes that the served graph has.
 *
 * @param inputs       rows as {@link decodeColumn} or {@link decodeRows} gives them
 * @param predictedAt  [rows] seconds since 1970
 * @returns derived: numbers (truths 0 and 1, missing NaN) or texts (missing null); maturesAt: [rows] seconds since 1970,
 *          NaN where what it is made of is missing
 * @throws {UserError} if an expression has a mistake
 */
export async function derive(
  graph: GraphSpec,
  inputs: Columns,
  predictedAt: Float64Array,
): Promise<{ derived: Columns; maturesAt: Float64Array }> {
  const columns: Record<string, Column> = {};
  for (const { name, expression } of graphColumns(graph).derived)
    columns[name] =
      expression.type === 'string' ? Array.from<string | null>({ length: inputs.rows }) : new Float64Array(inputs.rows);
  const maturesAt = new Float64Array(inputs.rows);
  await runInBatches(buildDerivations(graph), inputs, predictedAt, (outputs, from) => {
    for (const [name, column] of Object.entries(columns)) {
      const values = outputs[name]!.data;
      if (column instanceof Float64Array) column.set(values as Float64Array, from);
      else (values as string[]).forEach((value, i) => (column[from + i] = value === '' ? null : value));
    }
    maturesAt.set(outputs['matures_at']!.data as Float64Array, from);
  });
  return { derived: { rows: inputs.rows, columns }, maturesAt };
}

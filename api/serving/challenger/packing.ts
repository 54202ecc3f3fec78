import type { Columns, InputSchema, Output } from '../../../schemas/index.ts';
import type { Layout, PackedOutputs, PackedRows } from './messages.ts';

/** A row's output, why it has none, or how its run threw. */
export type RowResult = Output | { failed: string } | { threw: string };

/** Rows [from, to) of a table. */
export interface Slice {
  rows: Columns;
  predictedAt: Float64Array;
  from: number;
  to: number;
}

export function layoutOf(inputs: InputSchema, takes: readonly string[]): Layout {
  const columns = takes.filter((name) => name !== 'predicted_at');
  return {
    numbers: columns.filter((name) => inputs[name]!.type !== 'string'),
    strings: columns.filter((name) => inputs[name]!.type === 'string'),
  };
}

/** The first column that the layout wants and the rows do not have, or have as another type: rows are decoded by the champion's inputs. */
export function missingColumn(layout: Layout, { columns }: Columns): string | undefined {
  return (
    layout.numbers.find((name) => !(columns[name] instanceof Float64Array)) ??
    layout.strings.find((name) => !Array.isArray(columns[name]))
  );
}

/** Slices of tables one below the other. */
export function packRows(layout: Layout, slices: readonly Slice[]): PackedRows {
  const rows = slices.reduce((sum, { from, to }) => sum + to - from, 0);
  const numbers = new Float64Array((1 + layout.numbers.length) * rows);
  const strings = Array.from<string | null>({ length: layout.strings.length * rows });
  let at = 0;
  for (const { rows: table, predictedAt, from, to } of slices) {
    for (let r = from; r < to; r++) numbers[at + r - from] = predictedAt[r]!;
    for (let c = 0; c < layout.numbers.length; c++) {
      const column = table.columns[layout.numbers[c]!]!;
      const start = (1 + c) * rows + at - from;
      for (let r = from; r < to; r++) numbers[start + r] = column[r] as number;
    }
    for (let c = 0; c < layout.strings.length; c++) {
      const column = table.columns[layout.strings[c]!]!;
      const start = c * rows + at - from;
      for (let r = from; r < to; r++) strings[start + r] = column[r] as string | null;
    }
    at += to - from;
  }
  return { rows, numbers, strings };
}

export function unpackRows(
  layout: Layout,
  { rows, numbers, strings }: PackedRows,
): { rows: Columns; predictedAt: Float64Array } {
  const columns: Columns['columns'] = {};
  for (const [c, name] of layout.numbers.entries()) columns[name] = numbers.subarray((1 + c) * rows, (2 + c) * rows);
  for (const [c, name] of layout.strings.entries()) columns[name] = strings.slice(c * rows, (c + 1) * rows);
  return { rows: { rows, columns }, predictedAt: numbers.subarray(0, rows) };
}

export function packOutputs(results: readonly RowResult[]): PackedOutputs {
  const first = results.find((result) => 'scores' in result);
  const width = first && 'scores' in first ? first.scores.length : 0;
  const packed: PackedOutputs = {
    scores: new Float64Array(results.length * width),
    width,
    maturesAt: new Float64Array(results.length),
    failed: [],
    threw: [],
  };
  for (const [row, result] of results.entries())
    if ('scores' in result) {
      packed.scores.set(result.scores, row * width);
      packed.maturesAt[row] = result.maturesAt;
    } else if ('failed' in result) packed.failed.push([row, result.failed]);
    else packed.threw.push([row, result.threw]);
  return packed;
}

export function unpackOutputs({ scores, width, maturesAt, failed, threw }: PackedOutputs): RowResult[] {
  const results: RowResult[] = [];
  for (let row = 0; row < maturesAt.length; row++) {
    const own: number[] = [];
    for (let k = row * width; k < (row + 1) * width; k++) own.push(scores[k]!);
    results.push({ scores: own, maturesAt: maturesAt[row]! });
  }
  for (const [row, because] of failed) results[row] = { failed: because };
  for (const [row, because] of threw) results[row] = { threw: because };
  return results;
}

/**
 * Tables in memory, column by column.
 *
 * A number column is a Float64Array, missing = NaN; booleans are 0 and 1, dates are days since 1970-01-01,
 * timestamps are seconds since then (UTC). A string column is an array, missing = null.
 */
export type Column = Float64Array | (string | null)[];

export interface Columns {
  rows: number;
  columns: Record<string, Column>;
}

/** What rows.sql gave, in its sealed order. Times are seconds since 1970. Labels are numbers, or strings when multiclass. */
export interface TrainingRows {
  rows: number;
  entity: string[];
  predictedAt: Float64Array;
  knownAt: Float64Array;
  label: Column;
  inputs: Columns;
}

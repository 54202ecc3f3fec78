import { DuckDBTypeId, type DuckDBType } from '@duckdb/node-api';

/** What a DuckDB type is to us. `other` has no place in a table of ours: lists, structs, blobs, times of day, intervals. */
export type ColumnKind = 'integer' | 'decimal' | 'float' | 'boolean' | 'date' | 'timestamp' | 'text' | 'null' | 'other';

const T = DuckDBTypeId;
const KINDS = new Map<DuckDBTypeId, ColumnKind>([
  ...(
    [
      T.TINYINT,
      T.SMALLINT,
      T.INTEGER,
      T.BIGINT,
      T.HUGEINT,
      T.UTINYINT,
      T.USMALLINT,
      T.UINTEGER,
      T.UBIGINT,
      T.UHUGEINT,
    ] as const
  ).map((id) => [id, 'integer'] as const),
  [T.DECIMAL, 'decimal'],
  [T.FLOAT, 'float'],
  [T.DOUBLE, 'float'],
  [T.BOOLEAN, 'boolean'],
  [T.DATE, 'date'],
  ...([T.TIMESTAMP, T.TIMESTAMP_S, T.TIMESTAMP_MS, T.TIMESTAMP_NS, T.TIMESTAMP_TZ] as const).map(
    (id) => [id, 'timestamp'] as const,
  ),
  [T.VARCHAR, 'text'],
  [T.ENUM, 'text'],
  [T.UUID, 'text'],
  [T.SQLNULL, 'null'],
]);

export function columnKind(type: DuckDBType): ColumnKind {
  return KINDS.get(type.typeId) ?? 'other';
}

export function isNumeric(kind: ColumnKind): boolean {
  return kind === 'integer' || kind === 'decimal' || kind === 'float';
}

/**
 * A column as a DOUBLE without NULL: NaN where it is missing, infinite where a date is. Dates are days and timestamps
 * seconds since 1970 (to the microsecond). Undefined for what is read as text, or not at all.
 */
export function asDouble(kind: ColumnKind, column: string): string | undefined {
  const missing = `'nan'::DOUBLE`;
  const finite = (time: string, value: string) =>
    `CASE WHEN ${column} IS NULL THEN ${missing} WHEN isfinite(${time}) THEN ${value} ELSE 'infinity'::DOUBLE END`;
  if (isNumeric(kind) || kind === 'boolean') return `coalesce(${column}::DOUBLE, ${missing})`;
  if (kind === 'date') return finite(column, `(${column} - DATE '1970-01-01')::DOUBLE`);
  if (kind === 'timestamp') return finite(`${column}::TIMESTAMP`, `epoch(${column}::TIMESTAMP)`);
  return undefined;
}

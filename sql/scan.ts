import { resolve } from 'node:path';
import type { SourceFile } from './format.ts';
import { literal } from './quote.ts';

/** The table function that reads the parts of one source: all of one format. */
export function scan(parts: readonly SourceFile[]): string {
  const { format, gzip } = parts[0]!;
  const files = `[${parts.map(({ path }) => literal(resolve(path))).join(', ')}]`;
  const compression = literal(gzip ? 'gzip' : 'none');
  if (format === 'parquet') return `read_parquet(${files})`;
  // Types come from all rows (sample_size = -1): a text in row 30,000 makes a text column, not a failed run.
  if (format === 'csv') return `read_csv(${files}, header = true, sample_size = -1, compression = ${compression})`;
  return `read_json(${files}, format = 'newline_delimited', sample_size = -1, compression = ${compression})`;
}

import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { constants, gunzipSync } from 'node:zlib';
import type { SourceFile } from './format.ts';
import { literal } from './quote.ts';

/** The table function that reads the parts of one source: all of one format. */
export async function scan(parts: readonly SourceFile[]): Promise<string> {
  const first = parts[0]!;
  const files = `[${parts.map(({ path }) => literal(resolve(path))).join(', ')}]`;
  if (first.format === 'parquet') return `read_parquet(${files})`;
  // Types come from all rows (sample_size = -1): a text in row 30,000 makes a text column, not a failed run.
  const options = `sample_size = -1, compression = ${first.gzip ? "'gzip'" : "'uncompressed'"}`;
  if (first.format === 'ndjson') return `read_json(${files}, format = 'newline_delimited', ${options})`;
  // The dialect is said: left to guess, DuckDB explains a row that is cut off by another delimiter.
  const delimiter = literal(delimiterOf(await headerOf(first)));
  return `read_csv(${files}, header = true, delim = ${delimiter}, quote = '"', escape = '"', strict_mode = true, ${options})`;
}

/** The same CSV read as texts without a look ahead: its error names the first row that does not fit the header. */
export async function strictScan(file: SourceFile): Promise<string> {
  const header = await headerOf(file);
  const delimiter = delimiterOf(header);
  const columns = header
    .replace(/"[^"]*"/g, '')
    .split(delimiter)
    .map((_, i) => `c${i}: 'VARCHAR'`);
  const options = `header = true, delim = ${literal(delimiter)}, quote = '"', escape = '"', compression = ${file.gzip ? "'gzip'" : "'none'"}`;
  return `read_csv([${literal(resolve(file.path))}], auto_detect = false, ${options}, columns = {${columns.join(', ')}})`;
}

const MOST_HEADER_BYTES = 65_536;

async function headerOf({ path, gzip }: SourceFile): Promise<string> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MOST_HEADER_BYTES), 0, MOST_HEADER_BYTES, 0);
    const start = buffer.subarray(0, bytesRead);
    // The end is cut off here, which is no error yet.
    const text = gzip ? gunzipSync(start, { finishFlush: constants.Z_SYNC_FLUSH }) : start;
    return text.toString('utf8').split(/[\r\n]/)[0]!;
  } finally {
    await handle.close();
  }
}

/** Of the usual delimiters the one that the header has most of, quoted names apart. */
function delimiterOf(header: string): string {
  const bare = header.replace(/"[^"]*"/g, '');
  const counted = [',', ';', '\t', '|'].map((delimiter) => ({ delimiter, count: bare.split(delimiter).length }));
  return counted.reduce((best, next) => (next.count > best.count ? next : best)).delimiter;
}

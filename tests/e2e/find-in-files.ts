import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { openDatabase } from '../../sql/index.ts';

/**
 * Every place under a folder where one of the texts stands: in bytes as they are, unzipped where they are gzip, and as
 * values where they are Parquet. Found is `path: text`.
 *
 * @param skip  paths, relative to the folder, that are passed over with all that is under them
 */
export async function findInFiles(
  folder: string,
  texts: readonly string[],
  skip: readonly string[],
): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(folder.length + 1);
    if (!entry.isFile() || skip.some((one) => path === one || path.startsWith(`${one}/`))) continue;
    const bytes = await readFile(join(folder, path));
    const seen = [bytes, ...(isGzip(bytes) ? [gunzipSync(bytes)] : [])];
    if (isParquet(bytes)) seen.push(Buffer.from(await valuesOf(join(folder, path))));
    for (const text of texts) if (seen.some((one) => one.includes(text))) found.push(`${path}: ${text}`);
  }
  return found;
}

const isGzip = (bytes: Buffer): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;
const isParquet = (bytes: Buffer): boolean => bytes.subarray(0, 4).toString('latin1') === 'PAR1';

async function valuesOf(file: string): Promise<string> {
  const db = await openDatabase({ files: [file] });
  try {
    return JSON.stringify(await db.rowsOf(`SELECT * FROM read_parquet('${file}')`));
  } finally {
    db.close();
  }
}

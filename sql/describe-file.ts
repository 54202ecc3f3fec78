import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { UserError } from '../schemas/index.ts';
import { openDatabase, type Database } from './database.ts';
import { explained, messageOf, withoutValues } from './explain.ts';
import type { SourceFile } from './format.ts';
import { identifier } from './quote.ts';
import { scan, strictScan } from './scan.ts';

export interface DescribedFile {
  rows: number;
  columns: { name: string; type: string }[];
}

/**
 * Rows and columns of a file, every value of which has been read once.
 * @throws {UserError} naming source and file, when it is missing, empty, truncated, of another format or has no rows
 */
export async function describeFile(file: SourceFile): Promise<DescribedFile> {
  await checkStart(file);
  if (file.gzip) await checkGzip(file);
  const db = await openDatabase({ files: [{ path: file.path, name: nameOf(file) }] });
  try {
    const from = await scan([file]);
    const described = await readable(db, file, () => db.describe(`SELECT * FROM ${from}`));
    const counts = described.map(({ name }, i) => `count(${identifier(name)}) AS c${i}`);
    const [counted] = await readable(db, file, () =>
      db.rowsOf(`SELECT count(*) AS rows, ${counts.join(', ')} FROM ${from}`),
    );
    const rows = Number(counted!.rows);
    if (rows === 0)
      throw explained('EmptySource', {
        what: `${where(file)} is an empty table.`,
        found: `0 rows, columns ${described.map(({ name }) => name).join(', ')}`,
        expected: 'at least one row',
        next: `look at how ${nameOf(file)} is written, put the complete file there, and apply the project again`,
      });
    return { rows, columns: described.map(({ name, type }) => ({ name, type })) };
  } finally {
    db.close();
  }
}

/** Runs a read of this file; DuckDB's complaint becomes ours. */
export async function readable<R>(db: Database, file: SourceFile, read: () => Promise<R>): Promise<R> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof UserError) throw error;
    const said = messageOf(file.format === 'csv' ? await strictError(db, file, error) : error, db.hide);
    const { text } = file.personal ? withoutValues(said) : said;
    throw explained('UnreadableSource', {
      what: `${where(file)} cannot be read as ${IN_WORDS[file.format]}: it is damaged, truncated or of another format.`,
      found: shortened(text),
      expected: `a complete ${IN_WORDS[file.format]} file${file.gzip ? ', compressed by gzip' : ''}`,
      next: `write or copy ${nameOf(file)} again, and apply the project again`,
    });
  }
}

/** What a plain reading of the CSV stumbles over, which says more than that no types could be found. */
async function strictError(db: Database, file: SourceFile, error: unknown): Promise<unknown> {
  try {
    const from = await strictScan(file);
    await db.run(`SELECT count(c0) FROM ${from}`);
    return error;
  } catch (stumbled) {
    return stumbled;
  }
}

const IN_WORDS = { parquet: 'Parquet', csv: 'CSV', ndjson: 'NDJSON' } as const;

export function nameOf(file: SourceFile): string {
  return file.file ?? (file.source === undefined ? file.path : 'its file');
}

function where(file: SourceFile): string {
  const name = file.file === undefined && file.source !== undefined ? 'its file' : `file ${nameOf(file)}`;
  return file.source === undefined ? name.replace('file', 'File') : `Source ${file.source}: ${name}`;
}

/** What the first bytes tell for certain, before DuckDB guesses. */
async function checkStart(file: SourceFile): Promise<void> {
  const found = await stat(file.path).catch(() => undefined);
  const wrong = (type: string, what: string, saw: string) =>
    explained(type, {
      what: `${where(file)} ${what}`,
      found: saw,
      expected: `a ${IN_WORDS[file.format]} file${file.gzip ? ', compressed by gzip' : ''}`,
      next: `put the file there, or correct ${file.source === undefined ? 'its name' : `sources.${file.source}.file in model.yaml`}, and apply the project again`,
    });
  if (!found) throw wrong('MissingSource', 'is missing.', 'nothing of that name');
  if (!found.isFile())
    throw wrong('MissingSource', 'is not a file.', found.isDirectory() ? 'a folder' : 'something else');
  if (found.size === 0) throw wrong('EmptySource', 'is empty.', '0 bytes');
  const start = await firstBytes(file.path, 512);
  const is = (...bytes: number[]) => bytes.every((byte, i) => start[i] === byte);
  const isGzip = is(0x1f, 0x8b);
  const isParquet = is(0x50, 0x41, 0x52, 0x31);
  const asText = start.toString('latin1').trimStart().toLowerCase();
  if (file.gzip && !isGzip) throw wrong('UnreadableSource', 'is not compressed by gzip.', 'other bytes at its start');
  if (!file.gzip && isGzip)
    throw wrong('UnreadableSource', `is not ${IN_WORDS[file.format]}.`, 'a file compressed by gzip');
  if (file.format === 'parquet' && !isParquet)
    throw wrong('UnreadableSource', 'is not Parquet.', 'a file that does not begin with PAR1');
  if (file.format === 'parquet' || file.gzip) return;
  if (isParquet) throw wrong('UnreadableSource', `is not ${IN_WORDS[file.format]}.`, 'a Parquet file');
  if (start.includes(0)) throw wrong('UnreadableSource', `is not ${IN_WORDS[file.format]}.`, 'a binary file');
  if (/^(<!doctype|<html|<\?xml)/.test(asText))
    throw wrong('UnreadableSource', `is not ${IN_WORDS[file.format]}.`, 'a page of HTML or XML');
}

/** DuckDB says of a gzip file that ends too early only that no dialect fits. */
async function checkGzip(file: SourceFile): Promise<void> {
  try {
    await pipeline(
      createReadStream(file.path),
      createGunzip(),
      new Writable({ write: (_chunk, _encoding, done) => done() }),
    );
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!code.startsWith('Z_')) throw error;
    throw explained('UnreadableSource', {
      what: `${where(file)} is truncated or damaged.`,
      found:
        code === 'Z_BUF_ERROR'
          ? 'compressed data that end too early'
          : `compressed data that are damaged (${(error as Error).message})`,
      expected: `a complete ${IN_WORDS[file.format]} file, compressed by gzip`,
      next: `write or copy ${nameOf(file)} again, and apply the project again`,
    });
  }
}

async function firstBytes(path: string, most: number): Promise<Buffer> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(most), 0, most, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** DuckDB's CSV reader adds a page of advice: its first lines say what is wrong. */
function shortened(text: string): string {
  const lines = text
    .replace(/\n\s*LINE \d+: [\s\S]*$/, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const told = lines.slice(0, 3).join(' ');
  return told.length > 300 ? `${told.slice(0, 300)}…` : told;
}

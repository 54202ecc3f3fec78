import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { DuckDBInstance } from '@duckdb/node-api';

/** A folder for one test file, removed after it. */
export function temporaryFolder(): { path: string; file(name: string, content?: string | Uint8Array): string } {
  const path = mkdtempSync(join(tmpdir(), 'gauntlet-test-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return {
    path,
    file(name, content) {
      const file = join(path, name);
      if (content !== undefined) writeFileSync(file, content);
      return file;
    },
  };
}

/** Writes what a query gives, by a database without limits. */
export async function writeTable(file: string, select: string, options = 'FORMAT parquet'): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run(`COPY (${select}) TO '${file}' (${options})`);
  connection.closeSync();
  instance.closeSync();
}

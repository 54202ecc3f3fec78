import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Packages of Temporal and DuckDB that a fresh process holds once it has loaded a module of ours. */
async function heavyPackagesOf(module: string): Promise<string[]> {
  const script = `
    import { createRequire } from 'node:module';
    await import('./${module}');
    const loaded = Object.keys(createRequire(import.meta.url).cache).join('\\n');
    console.log(JSON.stringify([...new Set(loaded.match(/node_modules\\/@(temporalio|duckdb)\\/[a-z-]+/g) ?? [])]));`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', script],
    { cwd: root },
  );
  return JSON.parse(stdout) as string[];
}

describe('serving stands alone', () => {
  it('loads neither Temporal nor DuckDB, by itself or through what it imports', async () => {
    expect(await heavyPackagesOf('api/serving.ts')).toEqual([]);
  });

  it('would be caught: sql loads DuckDB', async () => {
    expect(await heavyPackagesOf('sql/index.ts')).toContain('node_modules/@duckdb/node-api');
  });
});

import { execFile } from 'node:child_process';
import { copyFile, cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/**
 * Imports point one way. tests/fixtures/imports mirrors the folders: each file under a `forbidden` name breaks
 * exactly one arrow, each under an `allowed` name uses every arrow that is open. They are linted as they would be
 * in the tree itself: in an empty folder, at the same paths, under the project's own .oxlintrc.json.
 */
const root = fileURLToPath(new URL('../../', import.meta.url));
const fixtures = join(root, 'tests', 'fixtures', 'imports');

/** What each folder may import of ours; `types` only as types. Everything else needs a fixture that fails. */
const MAY: Record<string, string[]> = {
  schemas: [],
  numerics: [],
  policies: ['schemas', 'numerics'],
  onnx: ['schemas', 'numerics'],
  bucket: ['schemas'],
  sql: ['schemas'],
  activities: ['schemas', 'numerics', 'policies', 'onnx', 'bucket', 'sql'],
  workflows: ['schemas'],
  api: ['schemas', 'numerics', 'policies', 'onnx', 'bucket', 'sql'],
  workers: ['schemas', 'numerics', 'policies', 'onnx', 'bucket', 'sql', 'activities', 'workflows', 'api'],
  cli: ['schemas', 'numerics', 'policies', 'onnx', 'bucket', 'sql', 'activities', 'workflows', 'workers', 'api'],
};
const FOLDERS = Object.keys(MAY);

const files = (await readdir(fixtures, { recursive: true }))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.split(sep).join('/'))
  .sort();
const forbidden = files.filter((file) => file.includes('/forbidden'));
const allowed = files.filter((file) => file.includes('/allowed'));

let place: string;
let found: Map<string, string[]>;

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'gauntlet-lint-'));
  await cp(fixtures, place, { recursive: true });
  await copyFile(join(root, '.oxlintrc.json'), join(place, '.oxlintrc.json'));
  found = await lint(place);
});
afterAll(() => rm(place, { recursive: true, force: true }));

describe('imports point one way', () => {
  it.each(forbidden)('%s is refused', (file) => {
    expect(found.get(file) ?? []).toEqual(['eslint(no-restricted-imports)']);
  });

  it.each(allowed)('%s passes', (file) => {
    expect(found.get(file) ?? []).toEqual([]);
  });

  it('every arrow that is not open has a fixture', () => {
    const closed = FOLDERS.flatMap((from) =>
      FOLDERS.filter((to) => to !== from && !MAY[from]!.includes(to)).map((to) => `${from}/forbidden/${to}.ts`),
    );
    expect(closed.filter((file) => !files.includes(file))).toEqual([]);
    expect(FOLDERS.filter((from) => !files.includes(`${from}/allowed/all.ts`))).toEqual([]);
  });
});

describe('the lint command', () => {
  it('leaves the fixtures alone', async () => {
    const { stdout } = await oxlint(root, ['--format', 'json', 'tests']);
    const report = JSON.parse(stdout) as { diagnostics: { filename: string }[] };
    expect(report.diagnostics.filter(({ filename }) => filename.includes('fixtures/imports'))).toEqual([]);
  });
});

/** Rules that each file breaks, by path below `folder`. */
async function lint(folder: string): Promise<Map<string, string[]>> {
  const { stdout } = await oxlint(folder, ['--format', 'json', '-A', 'unicorn/prefer-node-protocol', '.']);
  const report = JSON.parse(stdout) as { number_of_files: number; diagnostics: { filename: string; code: string }[] };
  // A linter that looked at nothing finds nothing.
  expect(report.number_of_files).toBe(files.length);
  const byFile = new Map<string, string[]>();
  for (const { filename, code } of report.diagnostics) byFile.set(filename, [...(byFile.get(filename) ?? []), code]);
  return byFile;
}

/** oxlint says what it found by its exit code too; only a run that never was is an error here. */
function oxlint(cwd: string, args: string[]): Promise<{ code: number; stdout: string }> {
  const bin = join(root, 'node_modules', 'oxlint', 'bin', 'oxlint');
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, [bin, ...args], { cwd, maxBuffer: 1 << 26 }, (_error, stdout, stderr) => {
      if (child.exitCode === null) reject(new Error(`oxlint did not run: ${stderr}`));
      else resolve({ code: child.exitCode, stdout });
    });
  });
}

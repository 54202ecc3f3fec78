import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Build } from '../schemas/index.ts';

/** Packages whose version bears on what a training gives. */
const PACKAGES = ['@duckdb/node-api', 'onnxruntime-node', '@bufbuild/protobuf', '@temporalio/worker', 'zod'];

const ROOT = new URL('..', import.meta.url);

/** Which code this process runs: the commit (an image has no checkout, and is built with GAUNTLET_COMMIT), whether the tree had changes, Node and the packages that matter. */
export async function readBuild(): Promise<Build> {
  const [commit, status] = await Promise.all([
    git('rev-parse', 'HEAD'),
    git('status', '--porcelain', '--untracked-files=no'),
  ]);
  const lock = JSON.parse(await readFile(new URL('package-lock.json', ROOT), 'utf8')) as {
    packages: Record<string, { version?: string }>;
  };
  return {
    commit: commit?.trim() ?? process.env['GAUNTLET_COMMIT'] ?? 'unknown',
    dirty: commit === undefined ? false : status === undefined || status.trim() !== '',
    node: process.version,
    packages: Object.fromEntries(
      PACKAGES.map((name) => [name, lock.packages[`node_modules/${name}`]?.version ?? 'unknown']),
    ),
  };
}

/** Undefined outside a checkout, or where git is not installed. */
async function git(...args: string[]): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('git', args, { cwd: ROOT });
    return stdout;
  } catch {
    return undefined;
  }
}

/** Schemathesis, which makes requests from an OpenAPI document: valid ones, invalid ones, and those at every limit. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { installRequirements, type Installed } from './install.ts';

const VERSION = '4.32.5';
const LEAST_PYTHON = 11;
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const run = promisify(execFile);

/** The requirements were made by: uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate */
export async function installSchemathesis(): Promise<Installed> {
  const lack = await lackOfPython();
  const requirements = await readFile(here('schemathesis.txt'), 'utf8');
  const installed: Installed =
    lack === undefined ? await installRequirements(`schemathesis-${VERSION}`, requirements) : { ok: false, why: lack };
  if (!installed.ok) console.warn(`SKIPPED: schemathesis against /openapi.json, because ${installed.why}`);
  return installed;
}

async function lackOfPython(): Promise<string | undefined> {
  const asked = ['-c', 'import sys; print(sys.version_info.major * 100 + sys.version_info.minor)'];
  const found = await run('python3', asked).then(
    ({ stdout }) => Number(stdout),
    () => 0,
  );
  if (found >= 300 + LEAST_PYTHON) return undefined;
  return found === 0 ? 'there is no python3' : `it needs Python 3.${LEAST_PYTHON} or newer`;
}

export interface SchemathesisRun {
  /** Of `installSchemathesis`. */
  folder: string;
  /** For what it is given and what it leaves. */
  scratch: string;
  document: object;
  url: string;
  /** schemathesis.toml */
  config: string;
  maxExamples: number;
  seed: number;
  limitMs: number;
}

/** @returns its exit code, 0 where it found nothing, and all that it said */
export async function runSchemathesis(o: SchemathesisRun): Promise<{ code: number; said: string }> {
  const document = join(o.scratch, 'openapi.json');
  const config = join(o.scratch, 'schemathesis.toml');
  await writeFile(document, JSON.stringify(o.document));
  await writeFile(config, `hooks = ${JSON.stringify(here('schemathesis-hooks.py'))}\n${o.config}`);
  const args = ['--config-file', config, 'run', document, '--url', o.url, '--no-color', '--continue-on-failure'];
  const bounds = ['--max-examples', String(o.maxExamples), '--seed', String(o.seed)];
  const options = {
    cwd: o.scratch,
    timeout: o.limitMs,
    maxBuffer: 64e6,
    env: { ...process.env, PYTHONPATH: o.folder, PYTHONDONTWRITEBYTECODE: '1', NO_COLOR: '1' },
  };
  return run('python3', [join(o.folder, 'bin', 'schemathesis'), ...args, ...bounds], options).then(
    ({ stdout }) => ({ code: 0, said: stdout }),
    (error: { code?: number; stdout?: string; stderr?: string }) => ({
      code: error.code ?? -1,
      said: `${error.stdout}${error.stderr}`,
    }),
  );
}

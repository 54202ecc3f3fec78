import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withLock } from '../../../workers/temporal/index.ts';

const MODULE = fileURLToPath(new URL('../../../workers/temporal/lock.ts', import.meta.url));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gauntlet-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const run = (body: string) =>
  spawn(
    process.execPath,
    [
      '--import',
      import.meta.resolve('tsx'),
      '--input-type=module',
      '--eval',
      `import { withLock } from ${JSON.stringify(MODULE)}; ${body}`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );

it('withLock lets one at a time in, across processes, while some are killed in the middle', async () => {
  const lock = join(folder, 'lock');
  const counter = join(folder, 'counter');
  writeFileSync(counter, '0');
  const body = `
    import { readFileSync, writeFileSync } from 'node:fs';
    import { setTimeout as sleep } from 'node:timers/promises';
    for (let i = 0; i < 10; i++)
      await withLock(${JSON.stringify(lock)}, async () => {
        const n = Number(readFileSync(${JSON.stringify(counter)}, 'utf8'));
        await sleep(3);
        writeFileSync(${JSON.stringify(counter)}, String(n + 1));
      });`;
  const dying = Array.from({ length: 3 }, () =>
    run(`await withLock(${JSON.stringify(lock)}, async () => process.kill(process.pid, 'SIGKILL'));`),
  );
  const working = Array.from({ length: 3 }, () => run(body));
  await Promise.all([...dying, ...working].map((child) => once(child, 'exit')));
  expect(readFileSync(counter, 'utf8')).toBe('30');
});

it('withLock names the holder when it has waited long enough', async () => {
  const lock = join(folder, 'lock');
  await withLock(lock, async () => {
    await expect(withLock(lock, async () => {}, { timeoutMs: 100 })).rejects.toThrow(`held by process ${process.pid}`);
  });
});

it('withLock is free again after an error', async () => {
  const lock = join(folder, 'lock');
  await expect(withLock(lock, async () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await withLock(lock, async () => 'in')).toBe('in');
});

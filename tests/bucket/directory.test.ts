import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectoryBucket, openBucket } from '../../bucket/index.ts';
import { linesOf, outputOf, startChild } from './children/start.ts';
import { keepsItsPromises } from './contract.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gauntlet-directory-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('DirectoryBucket', () => {
  keepsItsPromises(() => DirectoryBucket.open(join(root, 'contract')));

  it('of 20 processes that race for one key, one wins, 20 times over', async () => {
    const folder = join(root, 'race');
    const children = Array.from({ length: 20 }, (_, i) => startChild('race.ts', [folder, `process ${i}`]));
    try {
      const line = children.map(linesOf);
      await Promise.all(line.map(async (next) => expect(await next()).toBe('ready')));
      for (let round = 0; round < 20; round++) {
        for (const child of children) child.stdin.write(`race/${round}\n`);
        const won = await Promise.all(line.map((next) => next()));
        expect(won.filter((word) => word === 'true')).toHaveLength(1);
        const winner = `process ${won.indexOf('true')}`;
        expect(await readFile(join(folder, 'race', String(round)), 'utf8')).toBe(winner);
      }
    } finally {
      for (const child of children) child.kill('SIGKILL');
    }
  }, 180_000);

  it('kill -9 in the middle of writing leaves whole keys only', async () => {
    const folder = join(root, 'killed');
    let found = 0;
    let halfWritten = 0;
    for (let round = 0; round < 6; round++) {
      const child = startChild('write-until-killed.ts', [folder, root, String(round)]);
      expect(await linesOf(child)()).toBe('ready');
      await sleep(20 + 41 * round);
      child.kill('SIGKILL');
      await once(child, 'exit');
      halfWritten += (await readdir(join(folder, '.tmp'))).length;
    }
    const bucket = await DirectoryBucket.open(folder);
    for await (const { key, bytes } of bucket.list('')) {
      const n = Number(key.split('/').at(-1));
      expect(bytes).toBe(500_000);
      expect(Buffer.compare((await bucket.read(key))!, Buffer.alloc(500_000, n % 251))).toBe(0);
      found++;
    }
    expect(found).toBeGreaterThan(6);
    // Else no kill fell into a write, and the test proved nothing.
    expect(halfWritten).toBeGreaterThan(0);
  }, 180_000);

  it('temporary files are no keys, and are removed at opening once they are older than an hour', async () => {
    const folder = join(root, 'temporary');
    const bucket = await DirectoryBucket.open(folder);
    await bucket.create('a', new Uint8Array(1));
    const old = join(folder, '.tmp', 'old');
    await writeFile(old, 'left by a process that died');
    await writeFile(join(folder, '.tmp', 'young'), 'being written');
    const before = new Date(Date.now() - 61 * 60_000);
    await utimes(old, before, before);
    const again = await DirectoryBucket.open(folder);
    expect(await readdir(join(folder, '.tmp'))).toEqual(['young']);
    const keys: string[] = [];
    for await (const { key } of again.list('')) keys.push(key);
    expect(keys).toEqual(['a']);
  });

  it('a create leaves no temporary file, whether it won or lost', async () => {
    const folder = join(root, 'tidy');
    const bucket = await DirectoryBucket.open(folder);
    await bucket.create('a', new Uint8Array(1));
    await bucket.create('a', new Uint8Array(2));
    expect(await readdir(join(folder, '.tmp'))).toEqual([]);
  });

  interface Report {
    before: boolean;
    error: string;
    type: string;
    after: boolean;
    keys: string[];
  }
  const expectNoRoom = (report: Report, code: string, happened: string): void => {
    expect(report).toMatchObject({ before: true, type: 'DiskFull', after: true, keys: ['small', 'small-2'] });
    expect(report.error).toContain(`could not take large/key: ${happened} (${code}).`);
    expect(report.error).toContain('Nothing was stored');
  };

  it.each([false, true])(
    'a file size limit is told in words, and no key is left (from a file: %s)',
    async (fromFile) => {
      const body = join(root, 'two-megabytes');
      await writeFile(body, Buffer.alloc(2_000_000, 1));
      const folder = join(root, `limited-${fromFile}`);
      const child = startChild(
        'write-too-much.ts',
        [folder, ...(fromFile ? [body] : [])],
        ['bash', '-c', 'ulimit -f 100; exec "$@"', 'bash'],
      );
      const report = JSON.parse(await outputOf(child)) as Report;
      expectNoRoom(report, 'EFBIG', 'the file would be larger than this process may write');
      expect(await readdir(join(folder, '.tmp'))).toEqual([]);
    },
  );

  // A disk of one megabyte needs a mount, which not every machine lets a test make.
  const mount = 'mount -t tmpfs -o size=1m none "$0"';
  const mayMount =
    process.platform === 'linux' &&
    spawnSync('unshare', ['-rm', 'bash', '-c', mount, tmpdir()], { stdio: 'ignore' }).status === 0;
  it.skipIf(!mayMount)('a full disk is told in words, and no key is left', async () => {
    const folder = join(root, 'full');
    await mkdir(folder);
    const before = ['unshare', '-rm', 'bash', '-c', `${mount} && exec "$@"`, folder];
    const report = JSON.parse(await outputOf(startChild('write-too-much.ts', [folder], before))) as Report;
    expectNoRoom(report, 'ENOSPC', 'the disk is full');
    expect(report.keys).not.toContain('large/key');
  });
});

describe('openBucket', () => {
  it.each([
    ['file:', () => `file:${join(root, 'opened')}`],
    ['file://', () => `file://${join(root, 'opened')}`],
  ])('opens a folder by %s and makes it', async (_, url) => {
    const bucket = await openBucket(url());
    await bucket.create('key', new TextEncoder().encode('x'));
    expect(await readFile(join(root, 'opened', 'key'), 'utf8')).toBe('x');
  });

  it.each([
    '',
    'bucket',
    'file:',
    'file://host/a',
    's3:',
    's3://',
    's3://UPPER',
    's3://b/a//b',
    'gs://bucket',
    'http://x',
  ])('refuses %j and says what it takes', async (url) => {
    await expect(openBucket(url)).rejects.toMatchObject({
      name: 'UserError',
      type: 'BadBucket',
      message: expect.stringMatching(/names no bucket\. Expected file:<folder>.* or s3:\/\/<bucket>\/<prefix>/),
    });
  });

  it('says that a file is in the place of the folder', async () => {
    await writeFile(join(root, 'a-file'), '');
    for (const folder of ['a-file', 'a-file/below'])
      await expect(openBucket(`file:${join(root, folder)}`)).rejects.toMatchObject({ type: 'BadBucket' });
  });
});

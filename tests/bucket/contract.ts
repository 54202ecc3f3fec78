/** What every bucket promises; a folder and S3 are held to the same. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Bucket } from '../../bucket/index.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (body: Uint8Array | undefined): string | undefined => body && new TextDecoder().decode(body);

async function keys(bucket: Bucket, prefix: string, after?: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of bucket.list(prefix, after)) found.push(key);
  return found;
}

/**
 * @param open another client of the same bucket at every call; the bucket is empty at first
 * @param order SeaweedFS lists folder by folder, where a folder's name begins another name beside it
 */
export function keepsItsPromises(open: () => Promise<Bucket>, order: 'bytes' | 'folders' = 'bytes'): void {
  let bucket: Bucket;
  let folder: string;

  beforeAll(async () => {
    bucket = await open();
    folder = await mkdtemp(join(tmpdir(), 'gauntlet-contract-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('a new bucket has no keys', async () => {
    expect(await keys(bucket, '')).toEqual([]);
  });

  it('what was created is read back, whole and by ranges', async () => {
    expect(await bucket.create('ranges/digits', bytes('0123456789'))).toBe(true);
    expect(text(await bucket.read('ranges/digits'))).toBe('0123456789');
    expect(text(await bucket.read('ranges/digits', { from: 0, to: 1 }))).toBe('0');
    expect(text(await bucket.read('ranges/digits', { from: 3, to: 6 }))).toBe('345');
    expect(text(await bucket.read('ranges/digits', { from: 7 }))).toBe('789');
  });

  it('a range past the end gives what there is, which may be nothing', async () => {
    await bucket.create('past/digits', bytes('0123456789'));
    expect(text(await bucket.read('past/digits', { from: 8, to: 99 }))).toBe('89');
    expect(text(await bucket.read('past/digits', { from: 10 }))).toBe('');
    expect(text(await bucket.read('past/digits', { from: 10, to: 11 }))).toBe('');
    expect(text(await bucket.read('past/digits', { from: 99, to: 120 }))).toBe('');
    expect(text(await bucket.read('past/digits', { from: 4, to: 4 }))).toBe('');
  });

  it('a key that is not there reads as undefined, whole and by ranges', async () => {
    expect(await bucket.read('absent')).toBeUndefined();
    expect(await bucket.read('absent/below')).toBeUndefined();
    expect(await bucket.read('absent', { from: 0, to: 10 })).toBeUndefined();
    expect(await bucket.read('absent', { from: 5, to: 5 })).toBeUndefined();
  });

  it('create is true again for the same bytes and false for others, which change nothing', async () => {
    expect(await bucket.create('twice', bytes('first'))).toBe(true);
    expect(await bucket.create('twice', bytes('first'))).toBe(true);
    expect(await bucket.create('twice', bytes('other'))).toBe(false);
    expect(await bucket.create('twice', bytes('first and more'))).toBe(false);
    expect(await bucket.create('twice', bytes('fir'))).toBe(false);
    expect(await bucket.create('twice', bytes(''))).toBe(false);
    expect(text(await bucket.read('twice'))).toBe('first');
  });

  it('an empty body is a body', async () => {
    expect(await bucket.create('empty', bytes(''))).toBe(true);
    expect(await bucket.create('empty', bytes(''))).toBe(true);
    expect(await bucket.create('empty', bytes('x'))).toBe(false);
    expect((await bucket.read('empty'))?.length).toBe(0);
  });

  it('a file of 20 MB is stored as its bytes, and compared with bytes and files', async () => {
    const body = randomBytes(20 * 1024 * 1024 + 17);
    const file = join(folder, 'large');
    await writeFile(file, body);
    expect(await bucket.create('large', { file })).toBe(true);
    expect(Buffer.compare((await bucket.read('large'))!, body)).toBe(0);
    expect(await bucket.create('large', { file })).toBe(true);
    expect(await bucket.create('large', body)).toBe(true);
    body[body.length - 1]! ^= 1;
    expect(await bucket.create('large', body)).toBe(false);
  });

  it('an empty file is stored too', async () => {
    const file = join(folder, 'empty');
    await writeFile(file, '');
    expect(await bucket.create('empty-file', { file })).toBe(true);
    expect((await bucket.read('empty-file'))?.length).toBe(0);
  });

  it('keys are listed in byte order, with their sizes', async () => {
    const shuffled = ['order/b', 'order/a/2', 'order/a.json', 'order/a-b', 'order/a/10', 'order/B', 'order/a0'];
    for (const [i, key] of shuffled.entries()) await bucket.create(key, new Uint8Array(i));
    const listed: { key: string; bytes: number }[] = [];
    for await (const entry of bucket.list('order/')) listed.push(entry);
    const below = ['order/a/10', 'order/a/2'];
    const beside = ['order/a-b', 'order/a.json'];
    const expected = order === 'bytes' ? [...beside, ...below] : [...below, ...beside];
    expect(listed.map(({ key }) => key)).toEqual(['order/B', ...expected, 'order/a0', 'order/b']);
    for (const { key, bytes: size } of listed) expect(size).toBe(shuffled.indexOf(key));
  });

  it('a list begins strictly after a key, whether that key is there or not', async () => {
    for (const key of ['after/1', 'after/2/a', 'after/2/b', 'after/3']) await bucket.create(key, bytes(key));
    expect(await keys(bucket, 'after/', 'after/1')).toEqual(['after/2/a', 'after/2/b', 'after/3']);
    expect(await keys(bucket, 'after/', 'after/2/a')).toEqual(['after/2/b', 'after/3']);
    expect(await keys(bucket, 'after/', 'after/2/a0')).toEqual(['after/2/b', 'after/3']);
    expect(await keys(bucket, 'after/', 'after/2/z')).toEqual(['after/3']);
    expect(await keys(bucket, 'after/', 'after/3')).toEqual([]);
    expect(await keys(bucket, 'after/', 'aaa')).toHaveLength(4);
    expect(await keys(bucket, 'after/', 'zzz')).toEqual([]);
  });

  it('a prefix may end in the middle of a name, and matches nothing else', async () => {
    for (const key of ['prefix/10', 'prefix/11', 'prefix/2', 'prefixed']) await bucket.create(key, bytes(key));
    expect(await keys(bucket, 'prefix/1')).toEqual(['prefix/10', 'prefix/11']);
    expect(await keys(bucket, 'prefix/10')).toEqual(['prefix/10']);
    expect(await keys(bucket, 'prefix/')).toEqual(['prefix/10', 'prefix/11', 'prefix/2']);
    expect(await keys(bucket, 'prefix')).toEqual(['prefix/10', 'prefix/11', 'prefix/2', 'prefixed']);
    expect(await keys(bucket, 'prefix/none/')).toEqual([]);
  });

  it('a list is longer than one page', async () => {
    const many = Array.from({ length: 1100 }, (_, i) => `pages/${String(i).padStart(6, '0')}`);
    for (let at = 0; at < many.length; at += 20)
      await Promise.all(many.slice(at, at + 20).map((key) => bucket.create(key, bytes(key))));
    expect(await keys(bucket, 'pages/')).toEqual(many);
    expect(await keys(bucket, 'pages/', many[50])).toEqual(many.slice(51));
  });

  it('a removed key is gone, and removing what is not there is no error', async () => {
    await bucket.create('removed/one', bytes('1'));
    await bucket.remove('removed/one');
    await bucket.remove('removed/one');
    await bucket.remove('removed/never/there');
    expect(await bucket.read('removed/one')).toBeUndefined();
    expect(await keys(bucket, 'removed/')).toEqual([]);
    expect(await bucket.create('removed/one', bytes('2'))).toBe(true);
  });

  it.each(['', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a/./b', '.tmp/a', 'a\\b', 'a b', 'ä', 'a\0b', 'x'.repeat(900)])(
    'refuses %j as a key',
    async (key) => {
      await expect(bucket.create(key, bytes('x'))).rejects.toThrow(RangeError);
      await expect(bucket.read(key)).rejects.toThrow(RangeError);
      await expect(bucket.remove(key)).rejects.toThrow(RangeError);
    },
  );

  it.each(['/', '../', 'a/../', '.tmp/'])('refuses %j as a prefix', async (prefix) => {
    await expect(keys(bucket, prefix)).rejects.toThrow(RangeError);
  });

  it('of 20 clients that race for one key, one wins, and its bytes stay', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, open));
    for (let round = 0; round < 3; round++) {
      const key = `race/${round}`;
      const won = await Promise.all(clients.map((client, i) => client.create(key, bytes(`client ${i}`))));
      expect(won.filter(Boolean)).toHaveLength(1);
      expect(text(await bucket.read(key))).toBe(`client ${won.indexOf(true)}`);
    }
  });

  it('20 clients that race with the same bytes all win', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, open));
    const won = await Promise.all(clients.map((client) => client.create('race/same', bytes('the same'))));
    expect(won.every(Boolean)).toBe(true);
  });
}

import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Bucket } from '../../bucket/bucket.ts';
import { DirectoryBucket, LogHours, rowsKey } from '../../bucket/index.ts';
import type { HourManifest } from '../../schemas/index.ts';
import { CREDENTIALS, installS3Server, startS3Server } from '../servers/s3.ts';
import { S3Bucket } from '../../bucket/s3.ts';
import { answer, DAY_MS, HOUR_MS, segmentBytes, segmentKey, T0 } from '../sql/log-records.ts';

let folder: string;
let bucket: DirectoryBucket;
let scratch: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-log-'));
  bucket = await DirectoryBucket.open(join(folder, 'bucket'));
  scratch = await mkdtemp(join(folder, 'scratch-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const cache = () => join(folder, 'cache');
const hour = '2026-11-24T09:00:00.000Z';
const upload = async (atMs = T0, n = 0): Promise<string> => {
  const key = segmentKey(atMs, 'b1', n);
  await bucket.create(key, segmentBytes([answer(`r${n}`)]));
  return key;
};

/** A manifest and its rows; what the bytes mean does not matter here. */
async function close(k: number, segments: string[], text = `rows ${k}`): Promise<HourManifest> {
  const bytes = new TextEncoder().encode(text);
  const key = rowsKey('churn', hour, k);
  await bucket.create(key, bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const churn = { key, sha256, bytes: bytes.length, answers: 1, shadowScores: 0, labels: 0 };
  const manifest: HourManifest = {
    hour,
    k,
    segments,
    models: { churn },
    broken: k,
    because: k === 1 ? 'closed' : 'late segments',
    closedAt: '2026-11-24T10:16:00.000Z',
  };
  expect(await new LogHours(bucket, cache()).writeManifest(manifest)).toBe(true);
  return manifest;
}

/** A bucket that is no directory, as S3 is not, and that tells what it is asked before it answers. */
const watched = (ask: (operation: string, key: string) => Promise<void> | void): Bucket => ({
  create: (key, body) => bucket.create(key, body),
  async read(key, range) {
    await ask('read', key);
    return bucket.read(key, range);
  },
  async *list(prefix, after) {
    await ask('list', prefix);
    yield* bucket.list(prefix, after);
  },
  remove: (key) => bucket.remove(key),
});

describe('hours that hold anything', () => {
  it('are listed in order, with raw segments and manifests', async () => {
    const [b, a] = [await upload(T0 + 1, 1), await upload(T0)];
    const later = await upload(T0 + 3 * HOUR_MS);
    await bucket.create('log/raw/2026-11-24/09/notes.txt', new Uint8Array(1));
    await close(1, [a]);
    await close(2, [a]);
    const hours = new LogHours(bucket, cache());
    expect(await hours.list()).toEqual([
      { hour, raw: [a, b], manifests: [1, 2] },
      { hour: '2026-11-24T12:00:00.000Z', raw: [later], manifests: [] },
    ]);
    expect(await hours.look(hour)).toEqual({ hour, raw: [a, b], manifests: [1, 2] });
  });

  it('are those of uploads between two times, five minutes more on either side', async () => {
    for (const h of [0, 1, 2, 24]) await upload(T0 + h * HOUR_MS);
    const between = async (from?: string, to?: string) =>
      (
        await new LogHours(bucket, cache()).list({
          ...(from && { from: new Date(from) }),
          ...(to && { to: new Date(to) }),
        })
      ).map((one) => one.hour.slice(8, 13));
    expect(await between()).toEqual(['24T09', '24T10', '24T11', '25T09']);
    expect(await between('2026-11-24T10:05:00Z')).toEqual(['24T10', '24T11', '25T09']);
    expect(await between('2026-11-24T10:04:59Z')).toEqual(['24T09', '24T10', '24T11', '25T09']);
    expect(await between(undefined, '2026-11-24T10:54:59Z')).toEqual(['24T09', '24T10']);
    expect(await between(undefined, '2026-11-24T10:55:00Z')).toEqual(['24T09', '24T10', '24T11']);
    expect(await between('2026-11-24T23:00:00Z', '2026-11-25T12:00:00Z')).toEqual(['25T09']);
  });
});

describe('the files of a model', () => {
  it('are the Parquet of the newest manifest and the raw segments that it does not name', async () => {
    const [a, b, c] = [await upload(T0), await upload(T0 + 1, 1), await upload(T0 + DAY_MS, 2)];
    await close(1, [a]);
    await close(2, [a]);
    const files = await new LogHours(bucket, cache()).files('churn', {}, scratch);
    expect(await Promise.all(files.parquet.map((path) => readFile(path, 'utf8')))).toEqual(['rows 2']);
    expect(files.broken).toBe(2);
    const raw = await Promise.all(files.raw.map((path) => readFile(path)));
    expect(raw.map((bytes) => gunzipSync(bytes).toString())).toEqual(
      await Promise.all([b, c].map(async (key) => gunzipSync((await bucket.read(key))!).toString())),
    );
    // Of another model there is no Parquet, but there may be records in what is not compacted.
    expect(await new LogHours(bucket, cache()).files('fraud', {}, scratch)).toMatchObject({
      parquet: [],
      raw: files.raw,
    });
  });

  it('of a directory bucket are its own, under a name that outlives a removal', async () => {
    const { models } = await close(1, []);
    const { parquet } = await new LogHours(bucket, cache()).files('churn', {}, scratch);
    expect((await stat(parquet[0]!)).ino).toBe((await stat(bucket.path(models['churn']!.key))).ino);
    await bucket.remove(models['churn']!.key);
    expect(await readFile(parquet[0]!, 'utf8')).toBe('rows 1');
  });

  it('are fetched once a machine, and again if the copy was damaged', async () => {
    await close(1, []);
    let fetched = 0;
    const remote = watched((_, key) => void (key.endsWith('.parquet') && fetched++));
    const files = async () => (await new LogHours(remote, cache()).files('churn', {}, scratch)).parquet[0]!;
    const path = await files();
    expect(await readFile(await files(), 'utf8')).toBe('rows 1');
    expect(fetched).toBe(1);
    await writeFile(path, 'other bytes');
    expect(await readFile(await files(), 'utf8')).toBe('rows 1');
    expect(fetched).toBe(2);
  });

  it('are refused where their bytes are not those of the manifest, or are lost', async () => {
    const { models } = await close(1, []);
    const key = models['churn']!.key;
    await bucket.remove(key);
    for (const hours of [
      new LogHours(bucket, cache()),
      new LogHours(
        watched(() => {}),
        cache(),
      ),
    ])
      await expect(hours.files('churn', {}, scratch)).rejects.toMatchObject({
        type: 'NoSuchRows',
        message: expect.stringContaining(key) as string,
      });
    await bucket.create(key, new TextEncoder().encode('rows x'));
    for (const hours of [
      new LogHours(bucket, cache()),
      new LogHours(
        watched(() => {}),
        cache(),
      ),
    ])
      await expect(hours.files('churn', {}, scratch)).rejects.toMatchObject({
        type: 'CorruptRows',
        message: expect.stringContaining(key) as string,
      });
  });

  it('of a damaged segment are its whole lines, and one that is broken', async () => {
    const whole = segmentBytes(Array.from({ length: 2000 }, (_, i) => answer(`r${i}`)));
    for (const [n, bytes] of [whole.subarray(0, whole.length / 2), new TextEncoder().encode('no gzip')].entries()) {
      await bucket.create(segmentKey(T0 + n), bytes);
      const { raw } = await new LogHours(bucket, cache()).files('churn', {}, scratch);
      const lines = gunzipSync(await readFile(raw[n]!))
        .toString()
        .trimEnd()
        .split('\n');
      expect(lines.pop()).toMatch(/damaged/);
      for (const line of lines) expect(JSON.parse(line)).toMatchObject({ kind: 'answer' });
      expect(lines.length > 100).toBe(n === 0);
    }
  });
});

describe('while an hour is compacted', () => {
  const moments = ['list log/raw/', 'list log/hours/', 'read log/hours/', 'read log/rows/', 'read log/raw/'];

  it.each(moments)('its records are read once, whether that happens before or after: %s', async (moment) => {
    const segments = [await upload(T0), await upload(T0 + 1, 1)];
    await close(1, [segments[0]!]);
    await bucket.remove(segments[0]!);
    let done = false;
    const hours = new LogHours(
      watched(async (operation, key) => {
        if (done || !`${operation} ${key}`.startsWith(moment)) return;
        done = true;
        const { models } = await close(2, segments);
        expect(models['churn']!.key).toMatch(/0002.parquet$/);
        await bucket.remove(rowsKey('churn', hour, 1));
        for (const key of segments) await bucket.remove(key);
      }),
      cache(),
    );
    const files = await hours.files('churn', {}, scratch);
    expect(done).toBe(true);
    // Either the hour as it was (rows 1 and the segment), or as it is now.
    expect(await Promise.all(files.parquet.map((path) => readFile(path, 'utf8')))).toEqual([
      `rows ${files.raw.length === 0 ? 2 : 1}`,
    ]);
    expect(files.raw.length).toBeLessThan(2);
  });
});

const installed = await installS3Server();
it.skipIf(!installed.ok)(
  'on S3, hours between two times are those that a directory lists, and their files are the same',
  async () => {
    const server = await startS3Server(installed.ok ? installed.folder : '');
    const remote = await S3Bucket.open({
      endpoint: server.endpoint,
      credentials: CREDENTIALS,
      bucket: await server.newBucket(),
    });
    try {
      const segments = [];
      for (const h of [0, 1, 2, 24]) segments.push(await upload(T0 + h * HOUR_MS, h));
      await close(1, [segments[0]!]);
      for await (const { key } of bucket.list('log/')) await remote.create(key, (await bucket.read(key))!);
      const [local, far] = [new LogHours(bucket, cache()), new LogHours(remote, cache())];
      for (const range of [
        {},
        { from: new Date('2026-11-24T09:30:00Z') },
        { from: new Date('2026-11-24T10:30:00Z') },
        { from: new Date('2026-11-24T23:00:00Z') },
        { from: new Date('2026-11-23T12:00:00Z') },
        { from: new Date('2026-11-25T12:00:00Z') },
        { from: new Date('2026-11-24T09:30:00Z'), to: new Date('2026-11-24T11:00:00Z') },
      ])
        expect(await far.list(range)).toEqual(await local.list(range));
      const { parquet, raw } = await far.files('churn', {}, scratch);
      expect(await Promise.all(parquet.map((path) => readFile(path, 'utf8')))).toEqual(['rows 1']);
      expect(raw).toHaveLength(3);
    } finally {
      remote.close();
      await server.stop();
    }
  },
);

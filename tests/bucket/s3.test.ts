import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ServingLog, openBucket, openStores } from '../../bucket/index.ts';
import { S3Bucket } from '../../bucket/s3.ts';
import { CREDENTIALS, installS3Server, startS3Server, type S3Server } from '../servers/s3.ts';
import { keepsItsPromises } from './contract.ts';
import { startLossyProxy, type LossyProxy } from './lossy-proxy.ts';

const installed = await installS3Server();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (body: Uint8Array | undefined): string => new TextDecoder().decode(body);

describe.skipIf(!installed.ok)('S3Bucket on SeaweedFS', () => {
  let server: S3Server;
  const opened: S3Bucket[] = [];
  const open = async (bucket: string, o: { prefix?: string; endpoint?: string; idleMs?: number } = {}) => {
    const client = await S3Bucket.open({ endpoint: server.endpoint, credentials: CREDENTIALS, ...o, bucket });
    opened.push(client);
    return client;
  };

  beforeAll(async () => {
    server = await startS3Server(installed.ok ? installed.folder : '');
  });
  afterAll(async () => {
    for (const client of opened) client.close();
    await server?.stop();
  });

  describe('with a prefix', () => {
    let name: string;
    beforeAll(async () => {
      name = await server.newBucket();
      // A neighbour's key, which must never be seen.
      await (await open(name, { prefix: 'team/other' })).create('stranger', bytes('x'));
    });
    keepsItsPromises(() => open(name, { prefix: 'team/ours' }), 'folders');
  });

  describe('without a prefix', () => {
    it('keys are at the top', async () => {
      const name = await server.newBucket();
      const bucket = await open(name);
      await bucket.create('runs/a.json', bytes('{}'));
      const found: string[] = [];
      for await (const { key } of bucket.list('')) found.push(key);
      expect(found).toEqual(['runs/a.json']);
    });
  });

  describe('when the answer to a put is lost', () => {
    let proxy: LossyProxy;
    let bucket: S3Bucket;
    let beside: S3Bucket;
    const start = async (how: 'cut' | 'silent'): Promise<void> => {
      const name = await server.newBucket();
      proxy = await startLossyProxy(server.endpoint, how);
      bucket = await open(name, { endpoint: proxy.endpoint, idleMs: 500 });
      beside = await open(name);
    };
    afterEach(() => proxy.stop());

    it.each(['cut', 'silent'] as const)('(%s) create reads the key back and says true', async (how) => {
      await start(how);
      proxy.loseAnswers(1);
      expect(await bucket.create('settled', bytes('mine'))).toBe(true);
      expect(proxy.statuses()).toEqual([200, 412]);
      expect(text(await beside.read('settled'))).toBe('mine');
    });

    it.each(['cut', 'silent'] as const)(
      '(%s) the same holds for a file, which the SDK alone cannot send twice',
      async (how) => {
        await start(how);
        const folder = await mkdtemp(join(tmpdir(), 'gauntlet-s3-file-'));
        const file = join(folder, 'body');
        await writeFile(file, Buffer.alloc(1_000_000, 7));
        proxy.loseAnswers(1);
        expect(await bucket.create('settled-file', { file })).toBe(true);
        expect(proxy.statuses()).toEqual([200, 412]);
        await rm(folder, { recursive: true });
      },
    );

    it('create says false where another was first', async () => {
      await start('cut');
      await beside.create('taken', bytes('theirs'));
      proxy.loseAnswers(1);
      expect(await bucket.create('taken', bytes('mine'))).toBe(false);
      expect(proxy.statuses()).toEqual([412, 412]);
    });

    it('create gives up after a bounded number of tries, and a later one settles it', async () => {
      await start('cut');
      proxy.loseAnswers(Number.POSITIVE_INFINITY);
      await expect(bucket.create('given-up', bytes('mine'))).rejects.toThrow('socket hang up');
      expect(proxy.statuses().length).toBeLessThanOrEqual(12);
      proxy.loseAnswers(0);
      expect(await bucket.create('given-up', bytes('mine'))).toBe(true);
    });
  });

  it('five serving logs that append at once stay one gapless log', async () => {
    const name = await server.newBucket();
    const logs = await Promise.all(Array.from({ length: 5 }, async () => new ServingLog(await open(name))));
    const append = async (log: ServingLog, i: number): Promise<void> => {
      for (let k = 0; k < 3; k++) {
        const was = (await log.current(`model-${i}`))?.n ?? 0;
        const cause = { workflowId: `w${i}`, runId: 'r', step: `${k}` };
        const serving = { champion: k + 1, shadows: [] };
        const appended = await log.append({ model: `model-${i}`, was, serving, by: 'ana', because: 'a test', cause });
        expect(appended.ok).toBe(true);
      }
    };
    await Promise.all(logs.map(append));
    const { n, models } = await new ServingLog(await open(name)).table();
    expect(n).toBe(15);
    expect(Object.values(models).map(({ serving }) => serving.champion)).toEqual([3, 3, 3, 3, 3]);
  });

  describe('openBucket', () => {
    const before = { ...process.env };
    afterEach(() => {
      process.env = { ...before };
    });
    const useServer = (endpoint: string): void => {
      process.env.GAUNTLET_S3_ENDPOINT = endpoint;
      process.env.AWS_ACCESS_KEY_ID = CREDENTIALS.accessKeyId;
      process.env.AWS_SECRET_ACCESS_KEY = CREDENTIALS.secretAccessKey;
    };

    it('opens s3://bucket/prefix at GAUNTLET_S3_ENDPOINT', async () => {
      useServer(server.endpoint);
      const name = await server.newBucket();
      await (await openBucket(`s3://${name}/a/b/`)).create('key', bytes('x'));
      expect(text(await (await open(name)).read('a/b/key'))).toBe('x');
    });

    it('says that a bucket is not there', async () => {
      useServer(server.endpoint);
      await expect(openBucket('s3://not-there/prefix')).rejects.toMatchObject({
        type: 'NoSuchBucket',
        message: expect.stringContaining(`There is no bucket s3://not-there/prefix at ${server.endpoint}`),
      });
    });

    it('says that the store cannot be reached', async () => {
      useServer('http://127.0.0.1:1');
      await expect(openBucket('s3://some-bucket')).rejects.toMatchObject({ type: 'BucketUnreachable' });
    });

    it('objects are fetched once into the local cache, and a damaged copy is fetched again', async () => {
      useServer(server.endpoint);
      const home = await mkdtemp(join(tmpdir(), 'gauntlet-s3-home-'));
      const url = `s3://${await server.newBucket()}`;
      const stores = await openStores({ bucket: url, home });
      const { sha256 } = await stores.objects.put(Buffer.alloc(17 * 1024 * 1024, 3));
      const path = await stores.objects.file(sha256);
      expect(path).toBe(join(home, 'cache', 'objects', sha256));
      await writeFile(path, 'damaged');
      const again = await openStores({ bucket: url, home });
      expect((await again.objects.read(sha256)).length).toBe(17 * 1024 * 1024);
      await again.objects.file(sha256);
      await again.bucket.remove(`objects/${sha256}`);
      expect((await again.objects.read(sha256)).length).toBe(17 * 1024 * 1024);
      await rm(home, { recursive: true });
    });
  });
});

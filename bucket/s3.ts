import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { UserError } from '../schemas/index.ts';
import { bodyBytes, chunksOf, holds, type Body } from './body.ts';
import type { Bucket } from './bucket.ts';
import { checkKey, checkPrefix, checkRange } from './key.ts';

export interface S3Options {
  bucket: string;
  /** Put before every key, with a slash between. */
  prefix?: string;
  /** A store other than Amazon's: http://127.0.0.1:8333 */
  endpoint?: string;
  /** An idle connection is given up after this. */
  idleMs?: number;
  credentials?: S3ClientConfig['credentials'];
}

/** What S3 takes in one request. */
const LARGEST_BYTES = 5 * 1024 ** 3;
const ATTEMPTS = 4;

/**
 * A bucket in S3, or in a store that speaks it and honours `If-None-Match: *`.
 *
 * Every put is conditional, so repeating one is safe: when it is told that the key is there (412, or 409 while another
 * conditional put is under way), the bytes are read back and compared. A put whose answer was lost is settled that way.
 */
export class S3Bucket implements Bucket {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #name: string;

  private constructor(options: S3Options) {
    const { AWS_REGION, AWS_DEFAULT_REGION } = process.env;
    this.#bucket = options.bucket;
    this.#prefix = options.prefix ? `${options.prefix}/` : '';
    this.#name = `s3://${options.bucket}/${options.prefix ?? ''}${options.endpoint ? ` at ${options.endpoint}` : ''}`;
    this.#client = new S3Client({
      region: AWS_REGION ?? AWS_DEFAULT_REGION ?? 'us-east-1',
      followRegionRedirects: true,
      maxAttempts: 3,
      logger: QUIET,
      requestHandler: {
        connectionTimeout: 5_000,
        socketTimeout: options.idleMs ?? 60_000,
        httpAgent: { keepAlive: true, maxSockets: 64 },
        httpsAgent: { keepAlive: true, maxSockets: 64 },
      },
      ...(options.credentials && { credentials: options.credentials }),
      ...(options.endpoint && { endpoint: options.endpoint, forcePathStyle: true }),
    });
  }

  /** @throws {UserError} if the bucket is not there, not reachable or not ours to read */
  static async open(options: S3Options): Promise<S3Bucket> {
    const bucket = new S3Bucket(options);
    try {
      await bucket.#client.send(
        new ListObjectsV2Command({ Bucket: options.bucket, Prefix: bucket.#prefix, MaxKeys: 1 }),
      );
    } catch (error) {
      throw bucket.#explain(error) ?? bucket.#unreachable(error);
    }
    return bucket;
  }

  close(): void {
    this.#client.destroy();
  }

  async create(key: string, body: Body): Promise<boolean> {
    checkKey(key);
    const bytes = await bodyBytes(body);
    if (bytes > LARGEST_BYTES)
      throw new UserError('TooLarge', `${key} has ${bytes} bytes; S3 takes at most ${LARGEST_BYTES} in one object.`);
    return this.#persist(async () => {
      try {
        await this.#put(key, body, bytes);
        return true;
      } catch (error) {
        if (![409, 412].includes(statusOf(error) ?? 0)) throw error;
        const same = await holds(this, key, body);
        // Refused and yet not there: the other put is still under way or failed, or the key was removed since.
        if (same === undefined) throw new Contended(`${key} was refused as taken, but is not there`);
        return same;
      }
    });
  }

  async read(key: string, range?: { from: number; to?: number }): Promise<Uint8Array | undefined> {
    checkKey(key);
    if (range) checkRange(range);
    const Range = range && `bytes=${range.from}-${range.to === undefined ? '' : Math.max(range.to - 1, range.from)}`;
    return this.#persist(async () => {
      try {
        const { Body: stream } = await this.#client.send(
          new GetObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + key, ...(Range && { Range }) }),
        );
        const bytes = (await stream?.transformToByteArray()) ?? new Uint8Array();
        return range && range.to === range.from ? bytes.subarray(0, 0) : bytes;
      } catch (error) {
        if (nameOf(error) === 'NoSuchBucket') throw error;
        if (statusOf(error) === 404) return undefined;
        // From the end on there is nothing, which is no error.
        if (statusOf(error) === 416) return new Uint8Array();
        throw error;
      }
    });
  }

  async *list(prefix: string, after?: string): AsyncIterable<{ key: string; bytes: number }> {
    checkPrefix(prefix);
    let token: string | undefined;
    do {
      const page = await this.#persist(() =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            ...(token ? { ContinuationToken: token } : after && { StartAfter: this.#prefix + after }),
          }),
        ),
      );
      for (const { Key, Size } of page.Contents ?? [])
        if (Key && !Key.endsWith('/')) yield { key: Key.slice(this.#prefix.length), bytes: Size ?? 0 };
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token);
  }

  async remove(key: string): Promise<void> {
    checkKey(key);
    await this.#persist(() =>
      this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + key })),
    );
  }

  async #put(key: string, body: Body, bytes: number): Promise<void> {
    const inMemory = body instanceof Uint8Array;
    await this.#client.send(
      new PutObjectCommand({
        Bucket: this.#bucket,
        Key: this.#prefix + key,
        IfNoneMatch: '*',
        ContentLength: bytes,
        Body: inMemory ? body : createReadStream(body.file),
        // A stream's checksum would follow it as a trailer, which not every store reads; known before, it is a header.
        ...(!inMemory && { ChecksumSHA256: await sha256Base64(body) }),
      }),
    );
  }

  /** The SDK repeats a request; this repeats what it cannot: a stream that was read, an answer that broke off. */
  async #persist<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++)
      try {
        return await work();
      } catch (error) {
        if (attempt === ATTEMPTS || !isTransient(error)) throw this.#explain(error) ?? error;
        await sleep(50 * 4 ** (attempt - 1) * (0.5 + Math.random()));
      }
  }

  /** Words for what only the owner of the store can mend. */
  #explain(error: unknown): UserError | undefined {
    const name = nameOf(error);
    const status = statusOf(error);
    if (name === 'NoSuchBucket' || (status === 404 && name !== 'NoSuchKey'))
      return new UserError(
        'NoSuchBucket',
        `There is no bucket ${this.#name}. Create it, or set GAUNTLET_BUCKET to one that is there.`,
      );
    if (status === 401 || status === 403)
      return new UserError(
        'BucketAccessDenied',
        `${this.#name} refused us (${name}). It needs the rights to list, get, put and delete objects: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_PROFILE.`,
      );
    if (name === 'CredentialsProviderError')
      return new UserError(
        'NoCredentials',
        `No credentials were found for ${this.#name}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.`,
      );
    if (status === 507)
      return new UserError('DiskFull', `${this.#name} has no space left. Free some there, then run the same again.`);
    return undefined;
  }

  #unreachable(error: unknown): UserError {
    const reason = error instanceof Error ? error.message || nameOf(error) : String(error);
    return new UserError(
      'BucketUnreachable',
      `${this.#name} cannot be reached: ${reason}. Check GAUNTLET_BUCKET and GAUNTLET_S3_ENDPOINT, and that the store is running.`,
    );
  }
}

/** The SDK warns on the console that it cannot repeat a stream, which is what `#persist` is for. */
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

class Contended extends Error {}

const nameOf = (error: unknown): string => (error as Error).name;

const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;

function isTransient(error: unknown): boolean {
  const status = statusOf(error);
  if (status !== undefined) return status >= 500 ? status !== 507 : status === 429 || status === 408;
  return nameOf(error) !== 'CredentialsProviderError' && !(error instanceof RangeError || error instanceof UserError);
}

async function sha256Base64(body: Body): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunksOf(body)) hash.update(chunk);
  return hash.digest('base64');
}

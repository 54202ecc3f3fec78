import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Sha256, UserError } from '../schemas/index.ts';
import { bodyBytes, chunksOf, type Body } from './body.ts';
import type { Bucket } from './bucket.ts';
import { DirectoryBucket } from './directory.ts';

const DOWNLOAD_BYTES = 16 * 1024 * 1024;

/**
 * Bytes by their hash: Parquet, ONNX, plots. What is read is hashed again, so that a damaged object never becomes a model.
 *
 * `file` gives a local path: the bucket's own file where the bucket is a folder, else a copy in the cache folder.
 */
export class Objects {
  readonly #bucket: Bucket;
  readonly #cache: string;
  /** By hash: a path whose bytes this process has hashed, or is fetching. */
  readonly #files = new Map<string, Promise<string>>();

  constructor(bucket: Bucket, cache: string) {
    this.#bucket = bucket;
    this.#cache = cache;
  }

  /** Stores bytes once: those that are there already are not sent again. */
  async put(body: Body): Promise<{ sha256: string; bytes: number }> {
    const hash = createHash('sha256');
    for await (const chunk of chunksOf(body)) hash.update(chunk);
    const stored = { sha256: hash.digest('hex'), bytes: await bodyBytes(body) };
    const key = keyOf(stored.sha256);
    // Its last byte and no byte after it: there is an object of this name and length.
    const end = stored.bytes > 0 && (await this.#bucket.read(key, { from: stored.bytes - 1, to: stored.bytes + 1 }));
    if (end && end.length === 1) return stored;
    if (!(await this.#bucket.create(key, body))) throw corrupt(stored.sha256);
    return stored;
  }

  /** @throws {UserError} if it is absent or its bytes are not what its name says */
  async read(sha256: string): Promise<Uint8Array> {
    const cached = await readFile(this.#cached(sha256)).catch(() => undefined);
    if (cached && hexOf(cached) === sha256) return cached;
    const bytes = await this.#bucket.read(keyOf(sha256));
    if (bytes === undefined) throw absent(sha256);
    if (hexOf(bytes) !== sha256) throw corrupt(sha256);
    return bytes;
  }

  /**
   * Path of a local file with these bytes, to be read and never written.
   * @throws {UserError} if the object is absent or its bytes are not what its name says
   */
  file(sha256: string): Promise<string> {
    let path = this.#files.get(sha256);
    if (!path) {
      path = this.#localFile(sha256);
      this.#files.set(sha256, path);
      path.catch(() => this.#files.delete(sha256));
    }
    return path;
  }

  async #localFile(sha256: string): Promise<string> {
    if (this.#bucket instanceof DirectoryBucket) {
      const path = this.#bucket.path(keyOf(sha256));
      const found = await hashOfFile(path);
      if (found === undefined) throw absent(sha256);
      if (found !== sha256) throw corrupt(sha256);
      return path;
    }
    const path = this.#cached(sha256);
    if ((await hashOfFile(path)) !== sha256) await this.#download(sha256, path);
    return path;
  }

  async #download(sha256: string, path: string): Promise<void> {
    const temporary = `${path}.${process.pid}-${randomUUID()}`;
    await mkdir(dirname(path), { recursive: true });
    try {
      const hash = createHash('sha256');
      const file = await open(temporary, 'wx');
      try {
        for (let from = 0; ; from += DOWNLOAD_BYTES) {
          const chunk = await this.#bucket.read(keyOf(sha256), { from, to: from + DOWNLOAD_BYTES });
          if (chunk === undefined) throw absent(sha256);
          hash.update(chunk);
          await file.writeFile(chunk);
          if (chunk.length < DOWNLOAD_BYTES) break;
        }
      } finally {
        await file.close();
      }
      if (hash.digest('hex') !== sha256) throw corrupt(sha256);
      await rename(temporary, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      throw new UserError(
        'DiskFull',
        `The disk is full: object ${sha256} cannot be fetched into ${this.#cache} (ENOSPC). Free some space, or set GAUNTLET_HOME to a folder on a larger disk; that cache may be deleted.`,
      );
    } finally {
      await rm(temporary, { force: true });
    }
  }

  #cached(sha256: string): string {
    return join(this.#cache, Sha256.parse(sha256));
  }
}

const keyOf = (sha256: string): string => `objects/${Sha256.parse(sha256)}`;

const hexOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Undefined where there is no such file. */
async function hashOfFile(path: string): Promise<string | undefined> {
  if (!(await stat(path).catch(() => undefined))?.isFile()) return undefined;
  const hash = createHash('sha256');
  for await (const chunk of chunksOf({ file: path })) hash.update(chunk);
  return hash.digest('hex');
}

const absent = (sha256: string): UserError =>
  new UserError(
    'NoSuchObject',
    `Object ${sha256} is not in the bucket, although a record names it. Check that GAUNTLET_BUCKET is the bucket you mean; else restore objects/${sha256} from a backup.`,
  );

const corrupt = (sha256: string): UserError =>
  new UserError(
    'CorruptObject',
    `objects/${sha256} in the bucket is damaged: its bytes have another hash than its name. Remove that key and store the object again, or restore it from a backup.`,
  );

import { randomUUID } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { constants, copyFile, link, mkdir, open, readdir, readFile, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { UserError } from '../schemas/index.ts';
import { holds, type Body } from './body.ts';
import type { Bucket } from './bucket.ts';
import { checkKey, checkPrefix, checkRange } from './key.ts';

/** Inside the bucket, because a hard link cannot leave its file system. */
const TEMPORARY = '.tmp';
/** No write takes longer; what is older was left by a process that died. */
const ABANDONED_MS = 60 * 60 * 1000;

/**
 * A bucket in a local folder: a key is a path.
 *
 * A body is written to a temporary file and synced, then `link()` gives it its name. Linking is atomic and fails where
 * the name is taken, so a key is whole or absent whatever dies, and of racing processes one wins.
 */
export class DirectoryBucket implements Bucket {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Opens the folder, making it where it is not there, and clears away what dead writers left. */
  static async open(folder: string): Promise<DirectoryBucket> {
    const bucket = new DirectoryBucket(resolve(folder));
    const temporary = join(bucket.folder, TEMPORARY);
    try {
      await mkdir(temporary, { recursive: true });
      await removeAbandoned(temporary);
    } catch (error) {
      throw bucket.#explain(error, 'could not be opened');
    }
    return bucket;
  }

  /** Where a key's bytes are on this machine. */
  path(key: string): string {
    checkKey(key);
    return join(this.folder, key);
  }

  async create(key: string, body: Body): Promise<boolean> {
    const path = this.path(key);
    const temporary = join(this.folder, TEMPORARY, `${process.pid}-${randomUUID()}`);
    try {
      await writeDurably(temporary, body);
      const created = await linkNew(temporary, path);
      // Also by a loser: it may report the key as there, so the key must be there after a power cut.
      await syncFolder(dirname(path));
      return created || (await holds(this, key, body)) === true;
    } catch (error) {
      throw this.#explain(error, `could not take ${key}`);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async read(key: string, range?: { from: number; to?: number }): Promise<Uint8Array | undefined> {
    if (range) checkRange(range);
    const path = this.path(key);
    try {
      return range ? await readRange(path, range.from, range.to) : await readFile(path);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async *list(prefix: string, after = ''): AsyncIterable<{ key: string; bytes: number }> {
    checkPrefix(prefix);
    yield* this.#walk(prefix.slice(0, prefix.lastIndexOf('/') + 1), prefix, after);
  }

  async remove(key: string): Promise<void> {
    const path = this.path(key);
    try {
      await unlink(path);
      await syncFolder(dirname(path));
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
  }

  async *#walk(folder: string, prefix: string, after: string): AsyncIterable<{ key: string; bytes: number }> {
    let entries: Dirent[];
    try {
      entries = await readdir(join(this.folder, folder), { withFileTypes: true });
    } catch (error) {
      if (isAbsent(error)) return;
      throw error;
    }
    // With its slash, a folder sorts where its keys do: a-b, a.json, a/1.
    const names = entries
      .filter((entry) => !entry.name.startsWith('.'))
      .map((entry) => folder + entry.name + (entry.isDirectory() ? '/' : ''))
      .filter((name) => name.startsWith(prefix));
    for (const name of names.sort()) {
      if (name.endsWith('/')) {
        if (name > after || after.startsWith(name)) yield* this.#walk(name, prefix, after);
      } else if (name > after) {
        const bytes = await sizeOf(join(this.folder, name));
        if (bytes !== undefined) yield { key: name, bytes };
      }
    }
  }

  /** Turns what only the owner of the machine can mend into words; the rest flies as it is. */
  #explain(error: unknown, what: string): unknown {
    const code = codeOf(error);
    const reason = code && REASONS[code];
    if (!reason) return error;
    return new UserError(
      reason.type,
      `The bucket folder ${this.folder} ${what}: ${reason.happened} (${code}). Nothing was stored, and what was there is unchanged. ${reason.next}`,
    );
  }
}

const space = 'Free some space, or set GAUNTLET_BUCKET to a folder on a larger disk, then run the same command again.';
const rights =
  'Give this user the right to write there, or set GAUNTLET_BUCKET to another folder, then run the same command again.';
const REASONS: Record<string, { type: string; happened: string; next: string }> = {
  ENOSPC: { type: 'DiskFull', happened: 'the disk is full', next: space },
  EDQUOT: { type: 'DiskFull', happened: "this user's disk quota is used up", next: space },
  EFBIG: {
    type: 'DiskFull',
    happened: 'the file would be larger than this process may write',
    next: 'Raise the limit (ulimit -f), or set GAUNTLET_BUCKET to a file system without it, then run the same command again.',
  },
  EACCES: { type: 'BucketNotWritable', happened: 'this user may not write there', next: rights },
  EPERM: {
    type: 'BucketNotWritable',
    happened: 'the file system refused it; it must allow hard links',
    next: rights,
  },
  EEXIST: { type: 'BadBucket', happened: 'a file is in its place', next: 'Set GAUNTLET_BUCKET to a folder.' },
  ENOTDIR: {
    type: 'BadBucket',
    happened: 'a file is where a folder should be',
    next: 'Set GAUNTLET_BUCKET to a folder whose parents are folders.',
  },
  EROFS: { type: 'BucketNotWritable', happened: 'the file system is read-only', next: rights },
};

async function writeDurably(path: string, body: Body): Promise<void> {
  if (body instanceof Uint8Array) {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(body);
      await file.sync();
    } finally {
      await file.close();
    }
    return;
  }
  await copyFile(body.file, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** False where the name is taken. */
async function linkNew(from: string, to: string): Promise<boolean> {
  for (;;)
    try {
      await link(from, to);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      if (codeOf(error) !== 'ENOENT') throw error;
      await makeFolder(dirname(to));
    }
}

/** Makes a folder with its parents, each of them durable. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readRange(path: string, from: number, to?: number): Promise<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.max(0, Math.min(to ?? size, size) - from));
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, from + filled);
      if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
      filled += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

async function removeAbandoned(temporary: string): Promise<void> {
  for (const name of await readdir(temporary)) {
    const path = join(temporary, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (Date.now() - mtimeMs > ABANDONED_MS) await rm(path, { force: true });
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** A folder is no key, and below a file there is none. */
const isAbsent = (error: unknown): boolean => ['ENOENT', 'ENOTDIR', 'EISDIR'].includes(codeOf(error) ?? '');

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

import { createHash, randomUUID } from 'node:crypto';
import { copyFile, link, mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { constants, createGunzip, gunzip, gzipSync } from 'node:zlib';
import { HourManifest, UserError } from '../schemas/index.ts';
import { chunksOf } from './body.ts';
import type { Bucket } from './bucket.ts';
import { DirectoryBucket } from './directory.ts';
import { encodeRecord, keysUnder, readRecord } from './records.ts';

const HOUR_MS = 3_600_000;
/** Clocks differ, and uploads end late: a record may be filed this much before or after its time. */
const LENIENCE_MS = 5 * 60_000;
const CACHE_MS = 7 * 24 * HOUR_MS;
const DOWNLOAD_BYTES = 16 * 1024 * 1024;
const AT_ONCE = 8;

/** What lies in one hour of uploads, as it was listed. */
export interface LogHour {
  /** Its begin: 2026-11-24T10:00:00.000Z. */
  hour: string;
  /** Keys of raw segments, oldest first. */
  raw: string[];
  /** Numbers of its manifests, ascending; the last is the one that counts. */
  manifests: number[];
}

/** One model's part of the log, in local files that stay while the caller's scratch folder does. */
export interface LogFiles {
  /** Rows of this model. */
  parquet: string[];
  /** Gzipped JSON lines of all models, which are in no Parquet. */
  raw: string[];
  /** Lines that were broken when the hours were compacted; those of `raw` come on top. */
  broken: number;
}

/** One hour of the log in local files, by the keys that they were read from. */
export interface HourFiles {
  rows: { model: string; key: string; path: string }[];
  /** Raw segments that are in no Parquet. */
  segments: { key: string; path: string }[];
  /** Lines that were broken when the hour was compacted. */
  broken: number;
}

/** Uploads are stamped by the server's clock; `to` is left out where labels of the last hours matter. */
export interface Uploaded {
  from?: Date;
  to?: Date;
}

/**
 * The prediction log in the bucket, hour by hour of its upload.
 *
 * Raw segments are listed before manifests. So whatever is compacted meanwhile, each segment that was there is in the raw
 * list, or in a manifest that is read after it; one that is in both counts by the manifest; and one that has vanished from
 * under the raw list is in a newer manifest, so its hour is looked at again.
 */
export class LogHours {
  readonly #bucket: Bucket;
  readonly #cache: string;
  /** Files that this process has checked, as they were then. */
  readonly #checked = new Set<string>();
  #forgotAt = 0;

  constructor(bucket: Bucket, cache: string) {
    this.#bucket = bucket;
    this.#cache = cache;
  }

  /** Hours that hold anything, in order: those of uploads from 5 minutes before `from` to 5 minutes after `to`. */
  async list({ from, to }: Uploaded = {}): Promise<LogHour[]> {
    const first = from && folderOf(new Date(from.getTime() - LENIENCE_MS).toISOString());
    const last = to && folderOf(new Date(to.getTime() + LENIENCE_MS).toISOString());
    const hours = new Map<string, LogHour>();
    const add = (key: string): void => {
      const found = KEY.exec(key);
      if (!found) return;
      const [, tree, date, hh, name] = found;
      const hour = `${date}T${hh}:00:00.000Z`;
      const known = hours.get(hour) ?? { hour, raw: [], manifests: [] };
      if (tree === 'raw' && name!.endsWith('.ndjson.gz')) known.raw.push(key);
      else if (tree === 'hours' && /^\d+\.json$/.test(name!)) known.manifests.push(Number.parseInt(name!, 10));
      else return;
      hours.set(hour, known);
    };
    // A name within the folder, before all that are there: after a folder's own name SeaweedFS passes over the folder.
    for (const prefix of ['log/raw/', 'log/hours/'])
      for await (const { key } of this.#bucket.list(prefix, first && `${prefix}${first}/0`)) {
        if (last && key.slice(prefix.length, prefix.length + last.length) > last) break;
        add(key);
      }
    return [...hours.values()].sort((a, b) => (a.hour < b.hour ? -1 : 1));
  }

  /** One hour, looked at anew. */
  async look(hour: string): Promise<LogHour> {
    const raw = (await keysUnder(this.#bucket, `log/raw/${folderOf(hour)}/`)).filter((key) =>
      key.endsWith('.ndjson.gz'),
    );
    const prefix = `log/hours/${folderOf(hour)}/`;
    const numbers = (await keysUnder(this.#bucket, prefix)).map((key) => Number.parseInt(key.slice(prefix.length), 10));
    return { hour, raw, manifests: numbers.sort((a, b) => a - b) };
  }

  /** The manifest that counts, or undefined where the hour is open. */
  async newest(hour: LogHour): Promise<HourManifest | undefined> {
    const k = hour.manifests.at(-1);
    return k === undefined ? undefined : this.manifest(hour.hour, k);
  }

  manifest(hour: string, k: number): Promise<HourManifest | undefined> {
    return readRecord(this.#bucket, HourManifest, manifestKey(hour, k));
  }

  /**
   * Writes the successor of manifest k - 1. False where another has come first: then what it was made from is no longer
   * the hour, and the work begins anew.
   */
  writeManifest(manifest: HourManifest): Promise<boolean> {
    return this.#bucket.create(manifestKey(manifest.hour, manifest.k), encodeRecord(HourManifest, manifest));
  }

  /** Everything of one model, each record of it once but for duplicates that were written twice. */
  async files(model: string, uploaded: Uploaded, scratch: string): Promise<LogFiles> {
    const files: LogFiles = { parquet: [], raw: [], broken: 0 };
    for (const listed of await this.list(uploaded)) {
      const hour = await this.hour(listed, (name) => name === model, scratch);
      files.parquet.push(...hour.rows.map(({ path }) => path));
      files.raw.push(...hour.segments.map(({ path }) => path));
      files.broken += hour.broken;
    }
    return files;
  }

  /**
   * One hour: its raw segments, and the Parquet of models that are wanted.
   *
   * @throws {UserError} if a file of it is damaged or lost
   */
  async hour(
    listed: LogHour,
    wanted: (model: string, rows: HourManifest['models'][string]) => boolean,
    scratch: string,
  ): Promise<HourFiles> {
    let missing = '';
    retry: for (let tries = 0, hour = listed; tries < MOST_TRIES; tries++, hour = await this.look(hour.hour)) {
      const manifest = await this.newest(hour);
      const rows: HourFiles['rows'] = [];
      for (const [model, stored] of Object.entries(manifest?.models ?? {})) {
        if (!wanted(model, stored)) continue;
        const path = await this.rows(stored, scratch);
        if (path === undefined) {
          missing = stored.key;
          continue retry;
        }
        rows.push({ model, key: stored.key, path });
      }
      const keys = uncompacted(hour, manifest);
      const segments = await this.segments(keys, scratch);
      if (segments)
        return {
          rows,
          segments: segments.map((path, i) => ({ key: keys[i]!, path })),
          broken: manifest?.broken ?? 0,
        };
    }
    throw lost(missing, listed.hour);
  }

  /**
   * Local files of raw segments, or undefined where one has been compacted away since it was listed. One that is damaged
   * is cut where the damage begins, which leaves a broken line.
   */
  async segments(keys: readonly string[], scratch: string): Promise<string[] | undefined> {
    const paths: (string | undefined)[] = [];
    let next = 0;
    const fetcher = async (): Promise<void> => {
      while (next < keys.length) {
        const i = next++;
        const bytes = await this.#bucket.read(keys[i]!);
        if (!bytes) {
          next = keys.length;
          return;
        }
        paths[i] = join(scratch, keys[i]!.replaceAll('/', '-'));
        await writeFile(paths[i], await readable(bytes));
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, keys.length) }, fetcher));
    const there = paths.filter((path) => path !== undefined);
    return there.length === keys.length ? there : undefined;
  }

  /**
   * A local file of one model's rows, or undefined where there are none under that key (any more). In a directory bucket
   * it is the bucket's own file, under a second name so that it stays when it is removed there.
   *
   * @throws {UserError} if the bytes are not those that the manifest names
   */
  async rows(rows: { key: string; sha256: string }, scratch: string): Promise<string | undefined> {
    if (this.#bucket instanceof DirectoryBucket) {
      const path = join(scratch, rows.key.replaceAll('/', '-'));
      if (!(await linkOrCopy(this.#bucket.path(rows.key), path))) return undefined;
      if (!(await this.#holds(path, rows.sha256))) throw corrupt(rows.key);
      return path;
    }
    const cached = join(this.#cache, `${rows.sha256}.parquet`);
    if (!(await this.#holds(cached, rows.sha256))) {
      await this.#forgetUnused();
      if (!(await this.#download(rows, cached))) return undefined;
    }
    // Under a second name, so that it stays for this caller when it is forgotten.
    const path = join(scratch, rows.key.replaceAll('/', '-'));
    return (await linkOrCopy(cached, path)) ? path : undefined;
  }

  /**
   * Removes what nobody has asked for in a week: the cache does not grow for ever, and rows that were erased from the
   * bucket do not outlive it on a machine.
   */
  async #forgetUnused(): Promise<void> {
    if (Date.now() - this.#forgotAt < HOUR_MS) return;
    this.#forgotAt = Date.now();
    for (const name of await readdir(this.#cache).catch(() => [])) {
      const path = join(this.#cache, name);
      const file = await stat(path).catch(() => undefined);
      if (file && Date.now() - file.atimeMs > CACHE_MS && Date.now() - file.mtimeMs > CACHE_MS)
        await rm(path, { force: true });
    }
  }

  /** Whether the file's bytes have this hash; a file that is as it was is hashed once. */
  async #holds(path: string, sha256: string): Promise<boolean> {
    const file = await stat(path).catch(() => undefined);
    if (!file) return false;
    const state = `${sha256} ${file.ino} ${file.size} ${file.mtimeMs}`;
    if (this.#checked.has(state)) return true;
    if ((await hashOf(path)) !== sha256) return false;
    this.#checked.add(state);
    return true;
  }

  async #download({ key, sha256 }: { key: string; sha256: string }, to: string): Promise<boolean> {
    const temporary = `${to}.${process.pid}-${randomUUID()}`;
    await mkdir(dirname(to), { recursive: true });
    try {
      const hash = createHash('sha256');
      const file = await open(temporary, 'wx');
      try {
        for (let from = 0; ; from += DOWNLOAD_BYTES) {
          const chunk = await this.#bucket.read(key, { from, to: from + DOWNLOAD_BYTES });
          if (chunk === undefined) return false;
          hash.update(chunk);
          await file.writeFile(chunk);
          if (chunk.length < DOWNLOAD_BYTES) break;
        }
      } finally {
        await file.close();
      }
      if (hash.digest('hex') !== sha256) throw corrupt(key);
      await rename(temporary, to);
      return true;
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

/** Each removal follows a newer manifest, and an hour has few: after so many, something is lost. */
const MOST_TRIES = 10;

const KEY = /^log\/(raw|hours)\/(\d{4}-\d\d-\d\d)\/(\d\d)\/([^/]+)$/;

/** Segments that no Parquet holds yet. */
export function uncompacted(hour: LogHour, manifest: HourManifest | undefined): string[] {
  const named = new Set(manifest?.segments);
  return hour.raw.filter((key) => !named.has(key));
}

export const endOf = (hour: string): number => Date.parse(hour) + HOUR_MS;

export const rowsPrefix = (model: string, hour = ''): string =>
  `log/rows/${model}/${hour === '' ? '' : `${folderOf(hour)}/`}`;

export const rowsKey = (model: string, hour: string, k: number): string =>
  `${rowsPrefix(model, hour)}${String(k).padStart(4, '0')}.parquet`;

const manifestKey = (hour: string, k: number): string =>
  `log/hours/${folderOf(hour)}/${String(k).padStart(4, '0')}.json`;

/** Of the hour that a time is in: 2026-11-24/10. */
const folderOf = (time: string): string => `${time.slice(0, 10)}/${time.slice(11, 13)}`;

/** The segment as it is, or what can be read of a damaged one and a line that is none. */
async function readable(gzipped: Uint8Array): Promise<Uint8Array> {
  try {
    await promisify(gunzip)(gzipped);
    return gzipped;
  } catch {
    const pieces: Buffer[] = [];
    const stream = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
    stream.on('data', (piece: Buffer) => pieces.push(piece));
    await new Promise<void>((done) => {
      stream.once('error', () => done());
      stream.once('end', () => done());
      stream.end(gzipped);
    });
    const text = Buffer.concat(pieces).toString('utf8');
    return gzipSync(`${text.slice(0, text.lastIndexOf('\n') + 1)}a damaged segment was cut here\n`);
  }
}

/** False where there is nothing to link. */
async function linkOrCopy(from: string, to: string): Promise<boolean> {
  await rm(to, { force: true });
  try {
    await link(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    // Another file system, or one without hard links.
    try {
      await copyFile(from, to);
    } catch (second) {
      if ((second as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw second;
    }
  }
  return true;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunksOf({ file: path })) hash.update(chunk);
  return hash.digest('hex');
}

const lost = (key: string, hour: string): UserError =>
  new UserError(
    'NoSuchRows',
    `${key || 'A segment'} is not in the bucket, although it is part of the log of the hour ${hour}. Check that GAUNTLET_BUCKET is the bucket you mean; else restore that key from a backup.`,
  );

const corrupt = (key: string): UserError =>
  new UserError(
    'CorruptRows',
    `${key} in the bucket is damaged: its bytes have another hash than the manifest of its hour says. Restore it from a backup of the bucket.`,
  );

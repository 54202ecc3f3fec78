import { open, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from './spool.ts';

/** Whole lines, in the order in which they were appended. */
export interface Batch {
  lines: Buffer;
  rows: number;
  /** Place of the first record among all that were kept. */
  first: number;
  /** When that was appended. */
  sinceMs: number;
}

/**
 * A local file that only grows, by whole lines. Of a batch that the disk did not take nothing stays, and what was not
 * synced is still in memory: when a sync fails, nobody knows what of it is on the disk.
 */
export class WriteAheadFile {
  readonly path: string;
  readonly n: number;
  readonly sinceMs: number;
  /** Whole batches. */
  bytes = 0;
  /** Of them, what is synced, and the batches that are not. */
  readonly safe = { bytes: 0, rows: 0 };
  readonly unsafe: Batch[] = [];
  /** Of a sync. It is not tried again: the system may have forgotten what it could not write, and would say yes. */
  failure: unknown;
  /** Set once by whoever ends it. */
  ended: Promise<void> | undefined;
  readonly #handle: FileHandle;
  #syncing: Promise<void> | undefined;
  #again: Promise<void> | undefined;

  private constructor(path: string, n: number, sinceMs: number, handle: FileHandle) {
    this.path = path;
    this.n = n;
    this.#handle = handle;
    this.sinceMs = sinceMs;
  }

  static async create(path: string, n: number, sinceMs: number): Promise<WriteAheadFile> {
    return new WriteAheadFile(path, n, sinceMs, await open(path, 'wx'));
  }

  /** After a failure the file takes no more: half a line may stand at its end. */
  async append(batch: Batch): Promise<void> {
    const { lines } = batch;
    try {
      for (let at = 0; at < lines.length;)
        at += (await this.#handle.write(lines, at, lines.length - at, this.bytes + at)).bytesWritten;
    } catch (error) {
      // Where this fails too, what is there beyond `bytes` is passed over in this life, and cut by the next.
      await this.#handle.truncate(this.bytes).catch(() => undefined);
      throw error;
    }
    this.bytes += lines.length;
    this.unsafe.push(batch);
  }

  /** Everything that was appended before is on the disk. One runs at a time, and stands for all who asked before it began. */
  sync(): Promise<void> {
    if (!this.#syncing) return this.unsafe.length === 0 ? Promise.resolve() : this.#sync();
    return (this.#again ??= this.#syncing.then(() => {
      this.#again = undefined;
      return this.sync();
    }));
  }

  #sync(): Promise<void> {
    const covered = this.unsafe.length;
    const run = async (): Promise<void> => {
      try {
        await this.#handle.datasync();
        // Its name too; here, because the first write is not to wait for it.
        if (this.safe.bytes === 0) await syncFolder(dirname(this.path));
        for (const { lines, rows } of this.unsafe.splice(0, covered)) {
          this.safe.bytes += lines.length;
          this.safe.rows += rows;
        }
      } catch (error) {
        this.failure = error;
        throw error;
      }
      this.#syncing = undefined;
    };
    return (this.#syncing = run());
  }

  /** Leaves what is safe, and what is not in `unsafe`. A file in which nothing is safe is removed. */
  async end(): Promise<void> {
    await this.sync().catch(() => undefined);
    if (this.unsafe.length > 0) await this.#handle.truncate(this.safe.bytes).catch(() => undefined);
    await this.#handle.close().catch(() => undefined);
    if (this.safe.bytes === 0) await rm(this.path, { force: true }).catch(() => undefined);
  }
}

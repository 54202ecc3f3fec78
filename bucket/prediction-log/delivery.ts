import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { UserError } from '../../schemas/index.ts';
import type { Bucket } from '../bucket.ts';
import { removeSegmentFile, writeSegmentFile, type SegmentFile } from './segment-file.ts';
import { createSegment, fileOf, segmentKey } from './segment.ts';

/** Lines on their way to the bucket: in a file of the spool, or in memory where the disk refused them. */
export interface Segment extends Omit<SegmentFile, 'path'> {
  path?: string;
  /** Attempts so far that the bucket did not answer in time. */
  late?: number;
  memory?: {
    lines: Buffer;
    /** Place of its first record among all that were kept. */
    first: number;
  };
}

export interface DeliveryLimits {
  /** Longest time for which a segment keeps its name; readers look back as far. */
  keepNameMs: number;
  /** Between attempts: the first, doubled up to the longest. */
  retryMs: number;
  longestRetryMs: number;
  /**
   * An attempt without an answer is left alone after this, and repeated, which is the same key and the same bytes. The
   * next one has twice as long, up to sixteen times, so that a large segment gets over a thin line.
   */
  attemptMs: number;
}

/**
 * One at a time as a rule: a segment is small, and the process has four threads for files, of which the spool needs its
 * own within milliseconds. More only to work off what has piled up.
 */
const MANY = 8;
const AT_ONCE = 4;

/** Brings segments into the bucket, each until it is there. While the bucket fails, one at a time tries it. */
export class Delivery {
  /** Why the bucket takes nothing. */
  failing: string | undefined;
  /** Of what is not in the bucket. */
  readonly bytes = { disk: 0, memory: 0 };
  readonly #bucket: Bucket;
  readonly #limits: DeliveryLimits;
  readonly #now: () => number;
  readonly #log: Logger | undefined;
  readonly #changed: () => void;
  readonly #segments = new Set<Segment>();
  readonly #inMemory = new Set<Segment>();
  #running = false;
  #stopped = false;
  #wake: () => void = () => {};
  #waiting: (() => void)[] = [];

  /** @param o.changed  called when something was delivered, or was not */
  constructor(o: {
    bucket: Bucket;
    limits: DeliveryLimits;
    now: () => number;
    log: Logger | undefined;
    changed: () => void;
  }) {
    this.#bucket = o.bucket;
    this.#limits = o.limits;
    this.#now = o.now;
    this.#log = o.log;
    this.#changed = o.changed;
  }

  /** Those that are not in the bucket, and of them those that are on no disk either. */
  get segments(): ReadonlySet<Segment> {
    return this.#segments;
  }
  get inMemory(): ReadonlySet<Segment> {
    return this.#inMemory;
  }

  add(segment: Segment): void {
    this.#segments.add(segment);
    if (segment.memory) this.#inMemory.add(segment);
    this.bytes[placeOf(segment)] += segment.bytes;
    if (!this.#stopped && !this.#running) void this.#run();
  }

  /** Puts what is in memory into the spool. @throws what the disk says */
  async save(folder: string): Promise<void> {
    for (const segment of this.#inMemory) {
      const path = await writeSegmentFile(folder, segment.name, segment.memory!.lines);
      if (!this.#segments.has(segment)) {
        await rm(path, { force: true }); // delivered meanwhile
        continue;
      }
      this.#inMemory.delete(segment);
      this.bytes.memory -= segment.bytes;
      this.bytes.disk += segment.bytes;
      segment.path = path;
      delete segment.memory;
    }
  }

  /** All that are here now are in the bucket. @throws {UserError} if it is stopped before */
  async empty(): Promise<void> {
    this.#wake();
    for (let left = [...this.#segments]; left.length > 0; left = left.filter((one) => this.#segments.has(one))) {
      if (this.#stopped)
        throw new UserError(
          'LogClosed',
          `The prediction log was closed before everything was in the bucket (${this.failing ?? 'there was no time'}). What waits in the spool is delivered after the next start.`,
        );
      await new Promise<void>((done) => this.#waiting.push(done));
    }
  }

  /** Begins nothing more. An attempt that is under way may end later, which does no harm. */
  stop(): void {
    this.#stopped = true;
    this.#wake();
    this.#tell();
  }

  async #run(): Promise<void> {
    this.#running = true;
    let waitMs = this.#limits.retryMs;
    while (this.#segments.size > 0 && !this.#stopped) {
      const many = this.failing === undefined && this.#segments.size > MANY;
      const some = [...this.#segments].slice(0, many ? AT_ONCE : 1);
      const said = await Promise.all(some.map((segment) => this.#deliver(segment)));
      this.#heard(said.find((failure) => failure !== undefined));
      this.#tell();
      if (this.failing === undefined) waitMs = this.#limits.retryMs;
      else {
        await this.#sleep(waitMs);
        waitMs = Math.min(2 * waitMs, this.#limits.longestRetryMs);
      }
    }
    this.#running = false;
  }

  #heard(failure: string | undefined): void {
    if (this.failing === undefined && failure !== undefined)
      this.#log?.warn({ because: failure }, 'the prediction log does not reach the bucket; it goes on trying');
    if (this.failing !== undefined && failure === undefined)
      this.#log?.info('the prediction log reaches the bucket again');
    this.failing = failure;
  }

  /** What failed, in words. */
  async #deliver(segment: Segment): Promise<string | undefined> {
    try {
      if (Math.abs(this.#now() - segment.name.ms) > this.#limits.keepNameMs) await this.#rename(segment);
      const lines = segment.memory?.lines ?? { path: segment.path!, bytes: segment.bytes };
      if (!(await this.#withinTime(segment, createSegment(this.#bucket, segment.name, lines)))) {
        const key = segmentKey(segment.name);
        await this.#rename(segment);
        throw new Error(`${key} holds other records; these get another name`);
      }
    } catch (error) {
      return await this.#failed(segment, error);
    }
    this.#remove(segment);
    // A file that stays is delivered again after the next start, under the same name.
    if (segment.path !== undefined)
      await removeSegmentFile(segment.path).catch((error: unknown) =>
        this.#log?.warn({ err: error }, 'a segment that was delivered cannot be removed from the spool'),
      );
    return undefined;
  }

  async #failed(segment: Segment, error: unknown): Promise<string | undefined> {
    const gone = segment.path !== undefined && !(await isThere(segment.path));
    // Last in line, so that one which cannot be delivered does not stand before the others.
    this.#remove(segment);
    if (gone) this.#log?.error({ file: segment.path, rows: segment.rows }, 'a segment of the spool is gone');
    else this.add(segment);
    return gone ? undefined : error instanceof Error ? error.message : String(error);
  }

  #remove(segment: Segment): void {
    if (!this.#segments.delete(segment)) return;
    this.#inMemory.delete(segment);
    this.bytes[placeOf(segment)] -= segment.bytes;
  }

  async #rename(segment: Segment): Promise<void> {
    const name = { ...segment.name, ms: this.#now() };
    if (segment.path !== undefined) {
      const path = join(dirname(segment.path), fileOf(name));
      // A disk that refuses this keeps no segment from the bucket.
      if (
        await rename(segment.path, path).then(
          () => true,
          () => false,
        )
      )
        segment.path = path;
    }
    segment.name = name;
  }

  async #withinTime<T>(segment: Segment, work: Promise<T>): Promise<T> {
    const ms = this.#limits.attemptMs * 2 ** Math.min(4, segment.late ?? 0);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        segment.late = (segment.late ?? 0) + 1;
        reject(new Error(`the bucket did not answer within ${ms} ms`));
      }, ms);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.#wake = () => {
        clearTimeout(timer);
        done();
      };
      if (this.#stopped) this.#wake();
    });
  }

  #tell(): void {
    for (const wake of this.#waiting.splice(0)) wake();
    this.#changed();
  }
}

const placeOf = (segment: Segment): 'disk' | 'memory' => (segment.memory ? 'memory' : 'disk');

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

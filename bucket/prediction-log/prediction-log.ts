import { randomBytes } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import {
  UserError,
  type AnswerAlike,
  type NewAnswer,
  type NewLogRecord,
  type NewShadowScore,
  type ShadowAlike,
} from '../../schemas/index.ts';
import type { Bucket } from '../bucket.ts';
import { Delivery, type DeliveryLimits } from './delivery.ts';
import { LineBuffer } from './line-buffer.ts';
import { segmentFilesIn } from './segment-file.ts';
import { fileOf, lineOf, openFileOf } from './segment.ts';
import { Shedding, type Pressure } from './shedding.ts';
import { rmdirIfEmpty, Spool } from './spool.ts';
import { WriteAheadFile, type Batch } from './write-ahead-file.ts';

export { writeSegment } from './segment.ts';

/** The prediction log as a replica writes it: appended in memory, soon in a local file, every few seconds in the bucket. */
export interface PredictionLog {
  /** One life of one replica: `<ms of its start>-<8 hex>`. */
  readonly boot: string;
  /** Takes microseconds and never throws. `kept` may have been kept without its detail. */
  append(record: NewLogRecord): 'kept' | 'shed';
  /**
   * The same for what comes by the ten thousand a second: a record in two parts.
   *
   * @param alike  in an object that is the same for many records, which becomes JSON once
   */
  appendAnswer(own: Omit<NewAnswer, keyof AnswerAlike>, alike: AnswerAlike): 'kept' | 'shed';
  appendShadowScore(own: Omit<NewShadowScore, keyof ShadowAlike>, alike: ShadowAlike): 'kept' | 'shed';
  /**
   * Everything appended so far is in the write-ahead file and synced, or in the bucket.
   *
   * @throws {UserError} where it cannot be; it stays in memory, and is tried again
   */
  written(): Promise<void>;
  /** Everything is in the bucket. Waits for a bucket that fails. @throws {UserError} if it is closed before */
  flush(): Promise<void>;
  lag(): LogLag;
  /** Flushes, within a bounded time. What cannot be delivered stays in the spool for the next life. */
  close(): Promise<void>;
}

/** What is not in the bucket yet. */
export interface LogLag {
  rows: number;
  oldestMs: number;
  /** Since the start. */
  shed: { shadow: number; detail: number; answer: number };
  /** Of this life, and of the dead ones that it took over. */
  spoolBytes: number;
  /** Why the disk or the bucket takes nothing. */
  failing?: string;
}

export interface PredictionLogOptions {
  bucket: Bucket;
  home: string;
  /** Milliseconds since 1970; default the clock. */
  now?: () => number;
  log?: Logger;
  /** On the local disk; default GAUNTLET_SPOOL_MB, else 1024. */
  spoolMb?: number;
  limits?: Partial<Limits>;
}

export interface Limits extends DeliveryLimits {
  /** What is appended is in the file at the latest after this. */
  writeMs: number;
  /** A segment is closed after this, or when it is as large as this. */
  segmentMs: number;
  segmentBytes: number;
  /** What may wait in memory while the disk takes nothing. */
  memoryBytes: number;
  /** Between attempts to write while the disk refuses. */
  diskRetryMs: number;
  closeMs: number;
}

const MB = 1024 * 1024;
const LIMITS: Limits = {
  // Half of what is promised, because threads are late on a busy machine.
  writeMs: 10,
  segmentMs: 5_000,
  segmentBytes: 8 * MB,
  memoryBytes: 64 * MB,
  diskRetryMs: 1_000,
  closeMs: 10_000,
  keepNameMs: 5 * 60_000,
  retryMs: 250,
  // With the length of an attempt well within the 30 s in which everything is there once the bucket is back.
  longestRetryMs: 5_000,
  attemptMs: 10_000,
};

/** @throws {UserError} if the spool cannot be made for another reason than a full disk */
export async function openPredictionLog(o: PredictionLogOptions): Promise<PredictionLog> {
  const log = new SpooledLog(o);
  await log.open();
  return log;
}

class SpooledLog implements PredictionLog {
  readonly boot: string;
  /** The boot, as it stands in a line. */
  readonly #boot: string;
  readonly #rests = new WeakMap<AnswerAlike | ShadowAlike, string>();
  readonly #limits: Limits;
  readonly #spoolLimit: number;
  readonly #now: () => number;
  readonly #log: Logger | undefined;
  readonly #spool: Spool;
  readonly #delivery: Delivery;
  readonly #shedding: Shedding;

  #seq = 0;
  /** Records that were kept so far; the next has this place. */
  #kept = 0;
  /** The last of them are in memory only: batches for the disk, one that it is being given, and lines that are in none yet. */
  readonly #batches: Batch[] = [];
  #inHand: Batch | undefined;
  readonly #lines = new LineBuffer();
  #linesSinceMs = 0;

  #file: WriteAheadFile | undefined;
  /** Files that are being ended, until they are segments. */
  readonly #ending = new Set<WriteAheadFile>();
  #files = 0;
  /** Why the disk takes nothing. */
  #refused: string | undefined;

  /** Counted anew at each change, so that `append` has nothing to add up. */
  #diskBytes = 0;
  #memoryBytes = 0;

  #writeTimer: NodeJS.Timeout | undefined;
  #cutTimer: NodeJS.Timeout | undefined;
  #turn = Promise.resolve();
  #nextWrite: Promise<void> | undefined;
  #adopting = Promise.resolve();
  #closing: Promise<void> | undefined;
  #lostLabel = false;

  constructor(o: PredictionLogOptions) {
    this.#limits = { ...LIMITS, ...o.limits };
    this.#spoolLimit = (o.spoolMb ?? spoolMbOf(process.env['GAUNTLET_SPOOL_MB'])) * MB;
    this.#now = o.now ?? Date.now;
    this.#log = o.log;
    this.#shedding = new Shedding(o.log);
    this.boot = `${String(this.#now()).padStart(13, '0')}-${randomBytes(4).toString('hex')}`;
    this.#boot = `,"boot":"${this.boot}"`;
    this.#spool = new Spool(o.home, this.boot, () => this.#adopt());
    this.#delivery = new Delivery({
      bucket: o.bucket,
      limits: this.#limits,
      now: this.#now,
      log: o.log,
      changed: () => this.#recount(),
    });
  }

  async open(): Promise<void> {
    try {
      await this.#spool.make();
    } catch (error) {
      if (!DISK_FULL.has((error as NodeJS.ErrnoException).code ?? '')) {
        await this.#spool.release().catch(() => undefined);
        throw noSpool(this.#spool.folder, error);
      }
      this.#refuse(error);
    }
    this.#adopt();
  }

  append(record: NewLogRecord): 'kept' | 'shed' {
    return this.#append(record.kind, record, this.#boot);
  }

  appendAnswer(own: Omit<NewAnswer, keyof AnswerAlike>, alike: AnswerAlike): 'kept' | 'shed' {
    return this.#append('answer', own, this.#restOf(alike));
  }

  appendShadowScore(own: Omit<NewShadowScore, keyof ShadowAlike>, alike: ShadowAlike): 'kept' | 'shed' {
    return this.#append('shadow', own, this.#restOf(alike));
  }

  /** @param rest  JSON of the fields that are not in `own` */
  #append(kind: NewLogRecord['kind'], own: object, rest: string): 'kept' | 'shed' {
    const seq = this.#seq++;
    if (this.#closing) {
      this.#lostLabel ||= kind === 'label';
      return 'shed';
    }
    const kept = this.#shedding.pass(kind, own, this.#pressure());
    if (!kept) return 'shed';
    let line: string;
    try {
      line = lineOf(kept, rest, seq);
    } catch (error) {
      // A fault of ours, for which no request fails.
      this.#log?.error({ err: error }, 'a record of the prediction log is no JSON');
      return 'shed';
    }
    if (this.#lines.isAbove(this.#limits.segmentBytes, line)) this.#takeLines();
    if (this.#lines.rows === 0) this.#linesSinceMs = this.#now();
    this.#memoryBytes += this.#lines.add(line);
    this.#kept++;
    this.#arm();
    return 'kept';
  }

  #restOf(alike: AnswerAlike | ShadowAlike): string {
    let rest = this.#rests.get(alike);
    if (rest === undefined) this.#rests.set(alike, (rest = `,${JSON.stringify(alike).slice(1, -1)}${this.#boot}`));
    return rest;
  }

  async written(): Promise<void> {
    const upTo = this.#kept;
    // Twice, because what a failed sync gave back is written to another file.
    for (let attempt = 0; attempt < 2 && this.#firstUnsafe() < upTo; attempt++) {
      await this.#write();
      await Promise.all(this.#openFiles().map((file) => this.#sync(file)));
    }
    if (this.#lostLabel)
      throw new UserError('LogClosed', 'The prediction log is closed because this process ends. Send it again.');
    if (this.#firstUnsafe() < upTo) throw notWritten(this.#spool.folder, this.#refused);
  }

  async flush(): Promise<void> {
    const upTo = this.#kept;
    await this.#adopting;
    do await this.#cut();
    while (this.#firstHeld() < upTo);
    await this.#delivery.empty();
  }

  lag(): LogLag {
    const segments = [...this.#delivery.segments];
    const safe = this.#openFiles().flatMap(({ safe: { rows }, sinceMs }) => (rows > 0 ? [{ rows, sinceMs }] : []));
    const waiting = [...segments, ...safe, ...this.#held()];
    const oldest = waiting.reduce((ms, { sinceMs }) => Math.min(ms, sinceMs), Number.POSITIVE_INFINITY);
    const failing = this.#delivery.failing ?? this.#refused;
    return {
      rows: sum(waiting, ({ rows }) => rows),
      oldestMs: waiting.length === 0 ? 0 : Math.max(0, this.#now() - oldest),
      shed: { ...this.#shedding.counts },
      spoolBytes: this.#diskBytes,
      ...(failing !== undefined && { failing }),
    };
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await within(this.#limits.closeMs, this.flush());
    this.#delivery.stop();
    await within(this.#limits.closeMs, this.#keepRest());
    const lost = sum([...this.#held(), ...this.#delivery.inMemory], ({ rows }) => rows);
    const { rows } = this.lag();
    if (lost > 0) this.#log?.error({ rows: lost, because: this.#refused }, 'records of the prediction log are lost');
    if (rows > lost)
      this.#log?.warn(
        { rows: rows - lost, because: this.#delivery.failing },
        'the rest of the prediction log stays in the spool until the next start',
      );
    clearTimeout(this.#writeTimer);
    clearTimeout(this.#cutTimer);
    await this.#spool.release();
  }

  async #keepRest(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#writeAll();
      if (this.#file) void this.#end(this.#file);
    });
    await this.#ended();
  }

  /** Takes over what dead lives left. */
  #adopt(): void {
    this.#adopting = this.#adopting.then(async () => {
      if (this.#closing) return;
      try {
        for (const folder of await this.#spool.takeOver()) {
          const { segments, torn } = await segmentFilesIn(folder, this.#now);
          for (const segment of segments) this.#delivery.add(segment);
          const rows = sum(segments, (segment) => segment.rows);
          if (rows + torn > 0) this.#log?.info({ folder, rows, torn }, 'took over the log of a process that ended');
          if (segments.length === 0) await rmdirIfEmpty(folder);
        }
      } catch (error) {
        this.#log?.error({ err: error }, 'the log of a process that ended cannot be taken over');
      }
      this.#recount();
    });
  }

  #arm(): void {
    const { writeMs, diskRetryMs, segmentMs } = this.#limits;
    this.#writeTimer ??= setTimeout(
      () => {
        this.#writeTimer = undefined;
        void this.#write();
      },
      this.#refused === undefined ? writeMs : diskRetryMs,
    );
    this.#cutTimer ??= setTimeout(() => void this.#cut(), segmentMs);
  }

  /** Writes what is there when it begins. One runs at a time; those who ask meanwhile share the next. */
  #write(): Promise<void> {
    return (this.#nextWrite ??= this.#inTurn(() => {
      this.#nextWrite = undefined;
      return this.#writeAll();
    }));
  }

  /** Only one of them has its hands on the file. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    return (this.#turn = this.#turn.then(work));
  }

  async #writeAll(): Promise<void> {
    this.#takeLines();
    try {
      if (this.#delivery.inMemory.size > 0) {
        await this.#spool.make();
        await this.#delivery.save(this.#spool.folder);
      }
      for (let left = this.#batches.length; left > 0; left--) {
        this.#inHand = this.#batches.shift()!;
        await this.#writeBatch(this.#inHand);
        this.#inHand = undefined;
      }
      if (this.#refused !== undefined) await this.#proveDisk();
    } catch (error) {
      if (this.#inHand) this.#batches.push(this.#inHand);
      this.#inHand = undefined;
      this.#refuse(error);
    }
    this.#recount();
  }

  async #writeBatch(batch: Batch): Promise<void> {
    for (;;) {
      const file = (this.#file ??= await this.#create(batch.sinceMs));
      if (file.bytes > 0 && file.bytes + batch.lines.length > this.#limits.segmentBytes) {
        void this.#end(file);
        continue;
      }
      try {
        await file.append(batch);
      } catch (error) {
        void this.#end(file);
        // A fresh file may have room where this one has become as large as a file may be.
        if (file.bytes > 0) continue;
        throw error;
      }
      void (file.bytes >= this.#limits.segmentBytes ? this.#end(file) : this.#sync(file));
      return;
    }
  }

  async #create(sinceMs: number): Promise<WriteAheadFile> {
    const n = this.#files++;
    const create = () => WriteAheadFile.create(join(this.#spool.folder, openFileOf(this.boot, n)), n, sinceMs);
    try {
      return await create();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await this.#spool.make();
      return create();
    }
  }

  /** Never rejects: what the disk did not sync is in memory again. */
  async #sync(file: WriteAheadFile): Promise<void> {
    try {
      await file.sync();
    } catch (error) {
      this.#refuse(error);
      await this.#inTurn(() => this.#end(file));
    }
    this.#recount();
  }

  /** Closes the file, which becomes a segment. In turn, for nobody may be writing to it. */
  #end(file: WriteAheadFile): Promise<void> {
    const end = async (): Promise<void> => {
      await file.end();
      const name = { ms: this.#now(), boot: this.boot, n: file.n };
      const path = join(this.#spool.folder, fileOf(name));
      // Where this fails the next life finds it under its old name.
      const renamed = file.safe.rows > 0 && (await succeeds(rename(file.path, path)));
      // At once, so that no record is nowhere for a moment.
      this.#ending.delete(file);
      this.#batches.push(...file.unsafe);
      if (file.safe.rows > 0)
        this.#delivery.add({ name, ...file.safe, sinceMs: file.sinceMs, path: renamed ? path : file.path });
      if (file.failure !== undefined) this.#refuse(file.failure);
      this.#recount();
    };
    if (this.#file === file) this.#file = undefined;
    if (!file.ended) this.#ending.add(file);
    return (file.ended ??= end());
  }

  async #ended(): Promise<void> {
    for (const file of this.#ending) await file.ended;
  }

  /** Closes the segment that is being written. While the disk refuses, what is in memory goes straight to the bucket. */
  async #cut(): Promise<void> {
    clearTimeout(this.#cutTimer);
    this.#cutTimer = undefined;
    await this.#inTurn(async () => {
      await this.#writeAll();
      if (this.#file) void this.#end(this.#file);
      if (this.#refused !== undefined) this.#bypassDisk();
    });
    await this.#ended();
  }

  #bypassDisk(): void {
    this.#takeLines();
    while (this.#batches.length > 0) {
      const batches = [this.#batches.shift()!];
      let bytes = batches[0]!.lines.length;
      for (; this.#batches[0] && bytes + this.#batches[0].lines.length <= this.#limits.segmentBytes;)
        bytes += batches[batches.push(this.#batches.shift()!) - 1]!.lines.length;
      this.#delivery.add({
        name: { ms: this.#now(), boot: this.boot, n: this.#files++ },
        rows: sum(batches, ({ rows }) => rows),
        bytes,
        sinceMs: Math.min(...batches.map(({ sinceMs }) => sinceMs)),
        memory: {
          lines: Buffer.concat(batches.map(({ lines }) => lines)),
          first: Math.min(...batches.map(({ first }) => first)),
        },
      });
    }
    this.#recount();
  }

  #refuse(error: unknown): void {
    this.#refused = `the disk takes nothing (${messageOf(error)})`;
    if (!this.#closing) this.#arm();
  }

  /** The disk takes things again when it took what there was, and some more. */
  async #proveDisk(): Promise<void> {
    const file = this.#file;
    try {
      await file?.sync();
    } catch (error) {
      await this.#end(file!);
      throw error;
    }
    await this.#ended();
    if (this.#batches.length > 0) return;
    await this.#spool.probe();
    this.#refused = undefined;
    clearTimeout(this.#writeTimer);
    this.#writeTimer = undefined;
    if (this.#lines.rows > 0) this.#arm();
  }

  #takeLines(): void {
    const { rows } = this.#lines;
    if (rows === 0) return;
    this.#batches.push({
      lines: this.#lines.take(),
      rows,
      first: this.#kept - rows,
      sinceMs: this.#linesSinceMs,
    });
  }

  #openFiles(): WriteAheadFile[] {
    return [...this.#ending, ...(this.#file ? [this.#file] : [])];
  }

  /** What is only in memory, and is in no segment. */
  #held(): Pick<Batch, 'rows' | 'first' | 'sinceMs'>[] {
    const { rows } = this.#lines;
    return [
      ...this.#openFiles().flatMap(({ unsafe }) => unsafe),
      ...this.#batches,
      ...(this.#inHand ? [this.#inHand] : []),
      ...(rows > 0 ? [{ rows, first: this.#kept - rows, sinceMs: this.#linesSinceMs }] : []),
    ];
  }

  /** Place of the first record that is in no segment and may be lost; `#kept` where there is none. */
  #firstHeld(): number {
    return this.#held().reduce((least, { first }) => Math.min(least, first), this.#kept);
  }

  /** Place of the first record that is neither on the disk nor in the bucket. */
  #firstUnsafe(): number {
    const segments = [...this.#delivery.inMemory].map(({ memory }) => memory!.first);
    return Math.min(this.#firstHeld(), ...segments);
  }

  #recount(): void {
    const files = this.#openFiles();
    const unsafe = files.flatMap((file) => file.unsafe);
    const batches = [...unsafe, ...this.#batches, ...(this.#inHand ? [this.#inHand] : [])];
    this.#memoryBytes =
      this.#lines.byteLength + sum(batches, ({ lines }) => lines.length) + this.#delivery.bytes.memory;
    this.#diskBytes = sum(files, ({ bytes }) => bytes) + this.#delivery.bytes.disk;
    this.#shedding.look(this.#pressure());
  }

  #pressure(): Pressure {
    const fill = Math.max(this.#diskBytes / this.#spoolLimit, this.#memoryBytes / this.#limits.memoryBytes);
    return { fill, refused: this.#refused };
  }
}

const sum = <T>(of: readonly T[], what: (one: T) => number): number => of.reduce((total, one) => total + what(one), 0);

const succeeds = (work: Promise<void>): Promise<boolean> =>
  work.then(
    () => true,
    () => false,
  );

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Ends with the work, however that ends, or after so long. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((done) => (timer = setTimeout(done, ms)));
  await Promise.race([work.catch(() => undefined), late]);
  clearTimeout(timer);
}

function spoolMbOf(text: string | undefined): number {
  if (text === undefined || text === '') return 1024;
  const mb = Number(text);
  if (Number.isInteger(mb) && mb > 0) return mb;
  throw new UserError(
    'BadSetting',
    `GAUNTLET_SPOOL_MB is ${JSON.stringify(text)}. Expected a whole number of megabytes, 1 or more: how much of the prediction log may wait on this disk for the bucket. Without it, it is 1024.`,
  );
}

/** With these at the start, the log does without a spool until there is room. */
const DISK_FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EIO']);

const noSpool = (folder: string, error: unknown): UserError =>
  new UserError(
    'NoSpool',
    `The prediction log cannot be kept in ${folder}: ${messageOf(error)}. Answers wait there for the bucket. Give this user the right to write there, or set GAUNTLET_HOME to another folder.`,
  );

const notWritten = (folder: string, refused: string | undefined): UserError =>
  new UserError(
    'LogNotWritten',
    `The prediction log cannot be written to ${folder}: ${refused ?? 'the disk refused it'}. It is in memory, and comes into the bucket as soon as the disk or the bucket takes it, but is lost if this process ends before. Free some space, or set GAUNTLET_HOME to a folder on a larger disk, then send it again: what comes twice counts once.`,
  );

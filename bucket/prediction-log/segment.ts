import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip, gunzip, gzip } from 'node:zlib';
import { UserError, type NewLogRecord } from '../../schemas/index.ts';
import type { Bucket } from '../bucket.ts';

/** Raw segments go with their hour, so what counts is the time that packing takes. */
const GZIP_LEVEL = 1;
const PIECE_BYTES = 512 * 1024;

/** What a segment is called, in the spool as in the bucket. `ms` is when it was first to be uploaded. */
export interface SegmentName {
  ms: number;
  /** Of the life that wrote its records. */
  boot: string;
  /** Of the segment within that life. */
  n: number;
}

export const isBoot = (text: string): boolean => /^\d{13}-[0-9a-f]{8}$/.test(text);

const stemOf = ({ ms, boot, n }: SegmentName): string => `${String(ms).padStart(13, '0')}-${boot}-${n}`;

/** In the spool, of a segment, and of a file that is still written. */
export const fileOf = (name: SegmentName): string => `${stemOf(name)}.ndjson`;
export const openFileOf = (boot: string, n: number): string => `${boot}-${n}.open`;

/** Of a file in the spool; without `ms` it was still written. Undefined where it is none of ours. */
export function parseFile(file: string): (Omit<SegmentName, 'ms'> & { ms?: number }) | undefined {
  const [, ms, boot, n, end] = /^(?:(\d{13})-)?(\d{13}-[0-9a-f]{8})-(\d+)\.(ndjson|open)$/.exec(file) ?? [];
  if (n === undefined || (end === 'open') !== (ms === undefined)) return undefined;
  return { boot: boot!, n: Number(n), ...(ms !== undefined && { ms: Number(ms) }) };
}

/** log/raw/2026-11-24/10/1795514400000-….ndjson.gz, by the time in its name. */
export function segmentKey(name: SegmentName): string {
  const time = new Date(name.ms).toISOString();
  return `log/raw/${time.slice(0, 10)}/${time.slice(11, 13)}/${stemOf(name)}.ndjson.gz`;
}

/**
 * A record as a line, from two parts.
 *
 * @param own   fields of the record, at least one
 * @param rest  JSON of the others, each after a comma
 * @param seq   its place within the boot
 */
export const lineOf = (own: object, rest: string, seq: number): string =>
  `${JSON.stringify(own).slice(0, -1)}${rest},"seq":${seq}}\n`;

/** True iff the bucket now holds these lines under that name. */
export async function createSegment(bucket: Bucket, name: SegmentName, lines: Lines): Promise<boolean> {
  const key = segmentKey(name);
  if (await bucket.create(key, await packed(lines))) return true;
  // Another release of Node may have packed the same lines into other bytes.
  const there = await bucket.read(key);
  if (there === undefined) return false;
  const own = lines instanceof Uint8Array ? lines : (await readFile(lines.path)).subarray(0, lines.bytes);
  return Buffer.compare(await promisify(gunzip)(there), own) === 0;
}

/** Lines that are to be a segment: in memory, or the first bytes of a file. */
type Lines = Uint8Array | { path: string; bytes: number };

/**
 * A file goes through in pieces: read at once it is megabytes outside JavaScript's heap for which V8 collects the old
 * generation, twice a second at 20,000 requests a second.
 */
async function packed(lines: Lines): Promise<Buffer> {
  if (lines instanceof Uint8Array) return promisify(gzip)(lines, { level: GZIP_LEVEL });
  const file = createReadStream(lines.path, { end: lines.bytes - 1, highWaterMark: PIECE_BYTES });
  const zip = createGzip({ level: GZIP_LEVEL, chunkSize: PIECE_BYTES });
  const [whole] = await Promise.all([buffer(zip), pipeline(file, zip)]);
  return whole;
}

/**
 * One segment at once, without a spool. Safe to repeat: the same arguments are the same key with the same lines.
 *
 * @param o.boot  names who writes, as a part of a key; the same one writes each `seq` once
 * @param o.now   the segment is filed under this hour; a repetition has to give the same
 * @returns       the segment's key
 * @throws {UserError} if other records were written under the same boot, time and seq
 */
export async function writeSegment(
  bucket: Bucket,
  records: readonly NewLogRecord[],
  o: { boot: string; now: number; seqFrom?: number },
): Promise<string> {
  const { seqFrom = 0 } = o;
  const name = { ms: o.now, boot: o.boot, n: seqFrom };
  const lines = Buffer.from(records.map((record, i) => lineOf(record, `,"boot":"${o.boot}"`, seqFrom + i)).join(''));
  if (!(await createSegment(bucket, name, lines)))
    throw new UserError(
      'SegmentTaken',
      `${segmentKey(name)} holds other records than the ${records.length} that were to be written there. A boot names one writer, which numbers its records once: write these under another boot.`,
    );
  return segmentKey(name);
}

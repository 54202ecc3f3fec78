import type * as z from 'zod';
import { UserError } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';

/**
 * The bytes of a record. Keys of objects come in the order of their schema, so the same record is the same bytes however
 * it was put together; keys of maps keep their order, because the order of a model's inputs means something.
 *
 * @throws {z.ZodError} if the value is not what its schema says, NaN included: a fault of ours
 */
export function encodeRecord<S extends z.ZodType>(schema: S, value: z.input<S>): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(schema.parse(value), null, 1)}\n`);
}

/** @throws {UserError} if the bytes are not a record of this schema: names the key and every field that is wrong */
export function decodeRecord<S extends z.ZodType>(schema: S, key: string, bytes: Uint8Array): z.output<S> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw broken(key, `it is not JSON (${(error as Error).message})`);
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => ({
    at: issue.path.map(String).join('.'),
    found:
      JSON.stringify(issue.path.reduce<unknown>((value, name) => (value as never)?.[name], json))?.slice(0, 80) ??
      'nothing',
    expected: issue.message,
  }));
  const first = issues[0]!;
  throw broken(key, `${first.at || 'the record'} is ${first.found}: ${first.expected}`, issues);
}

/** The record under a key, or undefined where there is none. */
export async function readRecord<S extends z.ZodType>(
  bucket: Bucket,
  schema: S,
  key: string,
): Promise<z.output<S> | undefined> {
  const bytes = await bucket.read(key);
  return bytes && decodeRecord(schema, key, bytes);
}

/** Writes a record, or gives the one that was there first. */
export async function createRecord<S extends z.ZodType>(
  bucket: Bucket,
  schema: S,
  key: string,
  value: z.input<S>,
): Promise<{ created: boolean; record: z.output<S> }> {
  const bytes = encodeRecord(schema, value);
  if (await bucket.create(key, bytes)) return { created: true, record: decodeRecord(schema, key, bytes) };
  const record = await readRecord(bucket, schema, key);
  if (record === undefined) throw new Error(`${key} was taken and is not there now`);
  return { created: false, record };
}

/** Records under keys, sixteen reads at a time, in the order of the keys. */
export async function readRecords<S extends z.ZodType>(
  bucket: Bucket,
  schema: S,
  keys: readonly string[],
): Promise<z.output<S>[]> {
  const records: (z.output<S> | undefined)[] = Array.from({ length: keys.length });
  let next = 0;
  const reader = async (): Promise<void> => {
    while (next < keys.length) {
      const i = next++;
      records[i] = await readRecord(bucket, schema, keys[i]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(16, keys.length) }, reader));
  return records.filter((record) => record !== undefined);
}

export async function keysUnder(bucket: Bucket, prefix: string, after?: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of bucket.list(prefix, after)) keys.push(key);
  return keys;
}

/** The numbers n of the keys `<prefix><n>.json`, ascending; other keys are passed over. */
export async function numbersUnder(bucket: Bucket, prefix: string): Promise<number[]> {
  const numbers = (await keysUnder(bucket, prefix))
    .map((key) => /^([1-9]\d*)\.json$/.exec(key.slice(prefix.length))?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number);
  return numbers.sort((a, b) => a - b);
}

const broken = (key: string, why: string, issues: UserError['issues'] = []): UserError =>
  new UserError(
    'BrokenRecord',
    `${key} in the bucket cannot be read: ${why}. Records are written once and never changed, so it was altered or comes from another release. Restore it from a backup of the bucket, or use the release that wrote it.`,
    issues,
  );

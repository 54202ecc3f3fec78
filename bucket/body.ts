import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Bucket } from './bucket.ts';

/** What is written under a key: bytes in memory, or a local file. */
export type Body = Uint8Array | { file: string };

const CHUNK_BYTES = 8 * 1024 * 1024;

export async function bodyBytes(body: Body): Promise<number> {
  return body instanceof Uint8Array ? body.length : (await stat(body.file)).size;
}

/** The body in pieces of at most 8 MB. */
export async function* chunksOf(body: Body): AsyncIterable<Uint8Array> {
  if (!(body instanceof Uint8Array)) yield* createReadStream(body.file, { highWaterMark: CHUNK_BYTES });
  else for (let at = 0; at < body.length; at += CHUNK_BYTES) yield body.subarray(at, at + CHUNK_BYTES);
}

/** Does the key hold these very bytes? Undefined where there is no such key. Reads it 8 MB at a time, up to the first difference. */
export async function holds(bucket: Pick<Bucket, 'read'>, key: string, body: Body): Promise<boolean | undefined> {
  let at = 0;
  for await (const chunk of chunksOf(body)) {
    const there = await bucket.read(key, { from: at, to: at + chunk.length });
    if (there === undefined) return undefined;
    if (Buffer.compare(there, chunk) !== 0) return false;
    at += chunk.length;
  }
  const rest = await bucket.read(key, { from: at, to: at + 1 });
  return rest && rest.length === 0;
}

import { randomBytes } from 'node:crypto';
import type { Context } from 'hono';
import type { WithHeaders } from './received.ts';

/** What a client may call its own request. */
const CLIENT_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** The id of a request: the client's `x-request-id` where it is a valid one, else ours; the same each time it is asked. */
export function requestId(c: Context): string {
  const known: unknown = c.get('requestId');
  if (typeof known === 'string') return known;
  const id = idFor(c.req);
  c.set('requestId', id);
  return id;
}

/** The same, of a request that no Hono app has: another one each time it is asked, unless the client gave it. */
export function idFor(request: WithHeaders): string {
  const given = request.header('x-request-id');
  return given !== undefined && CLIENT_ID.test(given) ? given : uuidv7(Date.now());
}

const POOL_BYTES = 4096;
let pool = Buffer.alloc(0);
let spent = POOL_BYTES;

/**
 * A UUID of version 7: 48 bits of milliseconds since 1970, then 74 random bits, so ids sort by the time they were made.
 *
 * @see RFC 9562, section 5.7
 */
export function uuidv7(nowMs: number): string {
  if (spent === POOL_BYTES) {
    pool = randomBytes(POOL_BYTES);
    spent = 0;
  }
  const at = spent;
  spent += 16;
  pool.writeUIntBE(nowMs, at, 6);
  pool[at + 6] = (pool[at + 6]! & 0x0f) | 0x70;
  pool[at + 8] = (pool[at + 8]! & 0x3f) | 0x80;
  const hex = pool.toString('hex', at, spent);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

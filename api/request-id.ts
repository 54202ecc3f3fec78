import { randomBytes } from 'node:crypto';
import type { Context } from 'hono';
import { received, type WithHeaders } from './received.ts';

/** What a client may call its own request. */
const CLIENT_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** The id of a request: the client's `x-request-id` where it is a valid one, else ours; the same each time it is asked. */
export function requestId(c: Context): string {
  const known: unknown = c.get('requestId');
  if (typeof known === 'string') return known;
  const id = idFor(received(c));
  c.set('requestId', id);
  return id;
}

/** The same, of a request that no Hono app has: another one each time it is asked, unless the client gave it. */
export function idFor(request: WithHeaders): string {
  const given = request.header('x-request-id');
  return given !== undefined && CLIENT_ID.test(given) ? given : uuidv7(Date.now());
}

const POOL_BYTES = 8192;
/** Of each id: 74 bits, of which two choose the variant's digit. */
const ID_BYTES = 10;
let pool = Buffer.alloc(0);
let spent = POOL_BYTES;
let stampMs = NaN;
let stamp = '';

/**
 * A UUID of version 7: 48 bits of milliseconds since 1970, then 74 random bits, so ids sort by the time they were made.
 *
 * @see RFC 9562, section 5.7
 */
export function uuidv7(nowMs: number): string {
  if (spent + ID_BYTES > pool.length) {
    pool = randomBytes(POOL_BYTES);
    spent = 0;
  }
  if (nowMs !== stampMs) {
    const time = nowMs.toString(16).padStart(12, '0');
    stamp = `${time.slice(0, 8)}-${time.slice(8)}-7`;
    stampMs = nowMs;
  }
  const variant = '89ab'[pool[spent]! & 3];
  const hex = pool.toString('hex', spent + 1, (spent += ID_BYTES));
  return `${stamp}${hex.slice(0, 3)}-${variant}${hex.slice(3, 6)}-${hex.slice(6)}`;
}

/**
 * Keys are plain ASCII: then the byte order of S3 is the order of JavaScript's strings, every file system takes them,
 * and no key can point outside a bucket's folder. A segment does not begin with a dot: those names are the bucket's own.
 */
const SEGMENT = '[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,199}';
const KEY = new RegExp(`^${SEGMENT}(/${SEGMENT})*$`);
const PREFIX = new RegExp(`^(${SEGMENT}/)*(${SEGMENT})?$`);
/** S3 takes 1,024 bytes; the rest is for the bucket's own prefix. */
const LONGEST = 800;

/** Whether it can be a key, or a segment of one: what people name is asked, before a record is looked for. */
export const isKey = (text: string): boolean => KEY.test(text) && text.length <= LONGEST;

/** @throws {RangeError} if it is not a key: keys are made by our code, so this is never a person's mistake */
export function checkKey(key: string): void {
  if (!isKey(key)) throw new RangeError(`not a bucket key: ${JSON.stringify(key)}`);
}

/** @throws {RangeError} if no key could begin like this */
export function checkPrefix(prefix: string): void {
  if (!PREFIX.test(prefix) || prefix.length > LONGEST)
    throw new RangeError(`not a prefix of bucket keys: ${JSON.stringify(prefix)}`);
}

/** @throws {RangeError} if the range is not within 0 ≤ from ≤ to */
export function checkRange(range: { from: number; to?: number }): void {
  const { from, to = from } = range;
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from)
    throw new RangeError(`not a range of bytes: ${from} to ${range.to ?? 'the end'}`);
}

/** Twelve digits, so that byte order is the order of the numbers. */
export const padded = (n: number): string => String(n).padStart(12, '0');

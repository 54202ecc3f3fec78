import { isPiiInput, PII_HASH, type Input } from '../schemas/index.ts';
import { DAY_SECONDS, FIRST_DAY, LAST_DAY, parseDate, parseTimestamp } from './instants.ts';
import { noKey, type Personal } from './pii.ts';

/** A value as the graph takes it (missing: NaN or null), or what was wrong with it. */
export type Decoded = { value: number | string | null } | { found: string; expected: string };

/**
 * Decodes one raw value, the same way for training rows, requests and feedback.
 *
 * Texts of dates become days and of times seconds since 1970, booleans 0 and 1. null and the empty text are missing;
 * undefined is a field that is not there. A personal text is held against the input's limits, and becomes its keyed hash.
 *
 * @param value     what JSON can hold
 * @param personal  needed where an input is personal: the hasher for values as people give them, or 'hashed' for what
 *                  was decoded before (rows of the log, of a version, of sealed training rows)
 * @throws {UserError} if an input is personal and nothing says how its values come
 * @example decodeValue(Input.parse({ type: 'integer', min: 0 }), 12) // { value: 12 }
 */
export function decodeValue(input: Input, value: unknown, personal?: Personal): Decoded {
  if (value === undefined) return input.optional ? missing(input) : refusal(input, value, personal);
  if (value === null || (value === '' && input.type === 'string'))
    return input.nullable || (value === '' && input.optional) ? missing(input) : refusal(input, value, personal);
  const decoded = decodePresent(input, value, personal);
  return decoded === undefined ? refusal(input, value, personal) : { value: decoded };
}

/** What an input allows, in words: `a whole number from 0 to 800`. */
export function describeInput(input: Input): string {
  return `${describeType(input)}${input.nullable ? ', or null' : ''}`;
}

/** Whether a text has more characters, of which a pair of surrogates is one, as JSON Schema and DuckDB count. */
export const isLonger = (text: string, characters: number): boolean =>
  text.length > characters && (text.length > 2 * characters || Array.from(text).length > characters);

/** What came, shortened, with its type: `"soon" (a string)`; of a personal value the type alone. */
export function shown(value: unknown, isPersonal = false): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (isPersonal && typeof value === 'string') return `a string of ${value.length} characters (personal)`;
  if (isPersonal && typeof value !== 'object') return `a ${typeof value} (personal)`;
  if (typeof value === 'string') return `${quoted(value)} (a string)`;
  if (typeof value === 'number') return `${value} (a number)`;
  if (typeof value === 'boolean') return `${value} (a boolean)`;
  return Array.isArray(value) ? 'a list' : 'an object';
}

/** A value that is there as the graph takes it; undefined where {@link decodeValue} has to say what is wrong or missing. */
export function decodePresent(input: Input, value: unknown, personal?: Personal): number | string | undefined {
  switch (input.type) {
    case 'number':
    case 'integer':
      if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
      if (input.type === 'integer' && !Number.isInteger(value)) return undefined;
      if (value < (input.min ?? -Infinity) || value > (input.max ?? Infinity)) return undefined;
      return value;
    case 'boolean':
      return typeof value === 'boolean' ? Number(value) : undefined;
    case 'string':
      if (typeof value !== 'string') return undefined;
      if (input.pii && personal === 'hashed') return PII_HASH.pattern.test(value) ? value : undefined;
      if (isLonger(value, input.maxLength) || (input.values && !input.values.includes(value))) return undefined;
      return input.pii ? hashed(value, personal) : value;
    case 'date':
    case 'timestamp':
      return typeof value === 'string' ? decodeTime(input, value) : undefined;
  }
}

function hashed(value: string, personal?: Personal): string {
  if (typeof personal !== 'object') throw noKey('A personal value came, and there is no key to hash it with.');
  return personal.hash(value);
}

function decodeTime(input: Input & { type: 'date' | 'timestamp' }, text: string): number | undefined {
  const value = input.type === 'date' ? parseDate(text) : parseTimestamp(text);
  return value !== undefined && isWithinTimes(input, value) ? value : undefined;
}

/** Whether days (date) or seconds (timestamp) since 1970 lie within the input's limits, and within years 1 to 9999. */
export function isWithinTimes(input: Input & { type: 'date' | 'timestamp' }, value: number): boolean {
  const seconds = input.type === 'date' ? value * DAY_SECONDS : value;
  const from = input.min === undefined ? FIRST_DAY * DAY_SECONDS : parseTimestamp(input.min)!;
  const to = input.max === undefined ? (LAST_DAY + 1) * DAY_SECONDS - 1e-3 : parseTimestamp(input.max)!;
  return seconds >= from && seconds <= to;
}

function missing(input: Input): Decoded {
  return { value: input.type === 'string' ? null : NaN };
}

function refusal(input: Input, value: unknown, personal?: Personal): Decoded {
  const isPersonal = isPiiInput(input);
  const expected = isPersonal && personal === 'hashed' ? 'the keyed hash of a personal value' : describeInput(input);
  return { found: shown(value, isPersonal), expected };
}

function describeType(input: Input): string {
  switch (input.type) {
    case 'number':
      return `a number${limits(input.min, input.max)}`;
    case 'integer':
      return `a whole number${limits(input.min, input.max)}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      return input.values ? oneOf(input.values) : `a string of 1 to ${input.maxLength} characters`;
    case 'date':
      return `a date such as 2017-03-01${limits(input.min, input.max)}`;
    case 'timestamp':
      return `a time such as 2017-03-01T12:00:00Z${limits(input.min, input.max)}`;
  }
}

function limits(min?: number | string, max?: number | string): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? '' : ` of at most ${max}`;
}

function oneOf(values: string[]): string {
  const most = 20;
  const names = values.slice(0, most).map((value) => quoted(value));
  if (values.length > most) return `one of ${names.join(', ')} and ${values.length - most} more`;
  return names.length === 1 ? names[0]! : `one of ${names.join(', ')}`;
}

function quoted(text: string): string {
  const most = 40;
  return JSON.stringify(text.length > most ? `${text.slice(0, most)}…` : text);
}

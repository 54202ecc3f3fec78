import { isUtf8 } from 'node:buffer';
import { ProblemError } from '../problem.ts';
import { BodyTooLarge, type Received } from '../received.ts';
import { parseJson } from './json.ts';

/** What a route takes as a body. */
export interface BodyKind {
  /** Media types, lower case and without parameters. */
  type: RegExp;
  /** The same in words. */
  called: string;
  /** What to send instead of nothing, or of what is not JSON. */
  next: string;
}

const ROWS: BodyKind = {
  type: /^application\/(?:[\w.+-]+\+)?json$/,
  called: 'application/json',
  next: 'Send one row as a JSON object, or {"rows": [...]}.',
};

/**
 * The JSON value of a request's body.
 *
 * @throws {ProblemError} 415 for anything but JSON in UTF-8, 413 above `maxBytes`, 400 for what is not JSON (with its place)
 */
export function readJson(request: Received, maxBytes: number): Promise<unknown> {
  return readBody(request, ROWS, maxBytes, valueOf);
}

/**
 * The text of a request's body.
 *
 * @throws {ProblemError} 415 for another type or encoding, 413 above `maxBytes`, 400 where it is empty, cut off or not UTF-8
 */
export function readText(request: Received, kind: BodyKind, maxBytes: number): Promise<string> {
  return readBody(request, kind, maxBytes, (text) => text);
}

async function readBody<T>(request: Received, kind: BodyKind, maxBytes: number, use: (text: string) => T): Promise<T> {
  requireType(request, kind);
  let bytes: Uint8Array;
  try {
    bytes = await request.bytes(maxBytes);
  } catch (error) {
    throw error instanceof BodyTooLarge ? tooLarge(maxBytes) : malformed('The body did not arrive whole.', kind);
  }
  if (bytes.byteLength === 0) throw malformed('The body is empty.', kind);
  return use(decode(bytes, kind));
}

/** @throws {ProblemError} 400, with the place of the first mistake */
export function valueOf(text: string): unknown {
  const parsed = parseJson(text);
  if (parsed.ok) return parsed.value;
  const { line, column, found, expected } = parsed;
  throw new ProblemError({
    status: 400,
    type: 'malformed-json',
    title: 'The body is not JSON',
    detail: `Line ${line}, column ${column}: found ${found}, expected ${expected}.`,
    issues: [{ at: `line ${line}, column ${column}`, found, expected }],
  });
}

const malformed = (detail: string, { next }: BodyKind): ProblemError =>
  new ProblemError({
    status: 400,
    type: 'malformed-json',
    title: 'The body is not JSON',
    detail,
    next,
  });

function requireType(request: Received, { type: wanted, called }: BodyKind): void {
  const given = request.header('content-type') ?? '';
  if (given === called && request.header('content-encoding') === undefined) return;
  const [type = '', ...parameters] = given.toLowerCase().split(';');
  const charset = parameters
    .map((parameter) => /^\s*charset\s*=\s*"?([^"\s]*)"?\s*$/.exec(parameter)?.[1])
    .find((name) => name !== undefined);
  const encoding = (request.header('content-encoding') ?? 'identity').toLowerCase();
  if (
    wanted.test(type.trim()) &&
    (charset === undefined || charset === 'utf-8' || charset === 'utf8') &&
    encoding === 'identity'
  )
    return;
  throw new ProblemError({
    status: 415,
    type: 'wrong-content-type',
    title: 'Only JSON in UTF-8 is taken',
    detail: `The body came as ${given || 'no content type'}${encoding === 'identity' ? '' : `, encoded with ${encoding}`}; expected ${called}.`,
    next: "Send the header 'content-type: application/json' and the body as plain UTF-8.",
    headers: { accept: called.replace(' or ', ', ') },
  });
}

const tooLarge = (maxBytes: number): ProblemError =>
  new ProblemError({
    status: 413,
    type: 'too-large',
    title: 'The body is too large',
    detail: `A request may have up to ${maxBytes.toLocaleString('en')} bytes.`,
    next: 'Send fewer rows at a time.',
  });

const BYTE_ORDER_MARK = '\ufeff';

function decode(bytes: Uint8Array, kind: BodyKind): string {
  if (!isUtf8(bytes)) throw malformed('The body is not UTF-8.', kind);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  return text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
}

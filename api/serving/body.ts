import { ProblemError } from '../problem.ts';
import { parseJson } from './json.ts';

/**
 * The JSON value of a request's body.
 *
 * @throws {ProblemError} 415 for anything but JSON in UTF-8, 413 above `maxBytes`, 400 for what is not JSON (with its place)
 */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  requireJson(request.headers);
  const bytes = await readBytes(request, maxBytes);
  if (bytes.byteLength === 0) throw malformed('The body is empty.');
  const parsed = parseJson(decode(bytes));
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

const malformed = (detail: string): ProblemError =>
  new ProblemError({
    status: 400,
    type: 'malformed-json',
    title: 'The body is not JSON',
    detail,
    next: 'Send one row as a JSON object, or {"rows": [...]}.',
  });

function requireJson(headers: Headers): void {
  const given = headers.get('content-type') ?? '';
  const [type = '', ...parameters] = given.toLowerCase().split(';');
  const charset = parameters
    .map((parameter) => /^\s*charset\s*=\s*"?([^"\s]*)"?\s*$/.exec(parameter)?.[1])
    .find((name) => name !== undefined);
  const encoding = (headers.get('content-encoding') ?? 'identity').toLowerCase();
  const isJson = /^application\/(?:[\w.+-]+\+)?json$/.test(type.trim());
  if (isJson && (charset === undefined || charset === 'utf-8' || charset === 'utf8') && encoding === 'identity') return;
  throw new ProblemError({
    status: 415,
    type: 'wrong-content-type',
    title: 'Only JSON in UTF-8 is taken',
    detail: `The body came as ${given || 'no content type'}${encoding === 'identity' ? '' : `, encoded with ${encoding}`}; expected application/json.`,
    next: "Send the header 'content-type: application/json' and the body as plain UTF-8.",
    headers: { accept: 'application/json' },
  });
}

async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const length = request.headers.get('content-length');
  if (length !== null && Number(length) > maxBytes) throw tooLarge(maxBytes);
  try {
    // The HTTP server holds a body to its content-length, so a small one needs no counting.
    if (length !== null) return new Uint8Array(await request.arrayBuffer());
    return await countBytes(request.body, maxBytes);
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw malformed('The body did not arrive whole.');
  }
}

async function countBytes(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks);
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel().catch(() => undefined);
      throw tooLarge(maxBytes);
    }
    chunks.push(value);
  }
}

const tooLarge = (maxBytes: number): ProblemError =>
  new ProblemError({
    status: 413,
    type: 'too-large',
    title: 'The body is too large',
    detail: `A request may have up to ${maxBytes.toLocaleString('en')} bytes.`,
    next: 'Send fewer rows at a time.',
  });

const utf8 = new TextDecoder('utf-8', { fatal: true });

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw malformed('The body is not UTF-8.');
  }
}

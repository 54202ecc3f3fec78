/** Requests as nobody should send them, and nearly as everybody does. */
import fc from 'fast-check';
import { bookings } from './fixture.ts';

export interface OddRequest {
  method: string;
  path: string;
  /** Beside host, content-length and connection. */
  headers: [name: string, value: string][];
  body: Uint8Array;
  /** Sent in chunks, without a content-length. */
  chunked: boolean;
}

const MODEL = '/v1/models/bookings';
const row = bookings.warmUpRows[0]!;
const label = { requestId: 'r-1', value: true };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Values that are next to something. */
const odd = fc.constantFrom<unknown>(
  null,
  true,
  '',
  'NaN',
  '2017-03-04',
  '2017-02-30',
  '99999-01-01',
  'City Hotel',
  0,
  -0,
  -1,
  0.5,
  2 ** 31,
  2 ** 53,
  1e308,
  -1e308,
  5e-324,
  [],
  {},
  [[]],
  { $gt: 0 },
  '\u0000',
  '\ud800',
  'é\u0301\u202e👩‍👩‍👧',
  'x'.repeat(10_000),
);
const value = fc.oneof({ weight: 3, arbitrary: odd }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) });
const INHERITED = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', '', 'é', '$ref'];

/** A valid object of which some fields are replaced, dropped or added. */
function near(valid: object, names: readonly string[]): fc.Arbitrary<object> {
  const changes = fc.dictionary(fc.constantFrom(...names, ...INHERITED), fc.option(value, { nil: undefined }), {
    maxKeys: 3,
  });
  return changes.map((changed) => {
    const made: object = { ...valid };
    for (const [name, to] of Object.entries(changed))
      Object.defineProperty(made, name, { value: to, enumerable: true, configurable: true, writable: true });
    return made;
  });
}

const nearRow = near(row, [...Object.keys(bookings.graph.inputs), 'booking_id', 'rows']);
const LABEL_FIELDS = ['requestId', 'row', 'entity', 'booking_id', 'happenedAt', 'value', 'labelId', 'knownAt'];
const nearLabel = fc
  .constantFrom<object>(label, { booking_id: 'b-1', happenedAt: '2017-03-04', value: false })
  .chain((valid) => near(valid, [...LABEL_FIELDS, 'supersedes', 'withdrawn']));

/** Texts that no serializer writes. */
const broken = (text: string): fc.Arbitrary<string> =>
  fc.oneof(
    fc.nat(text.length).map((at) => text.slice(0, at)),
    fc
      .tuple(fc.nat(text.length), fc.string({ unit: 'binary', maxLength: 3 }))
      .map(([at, more]) => text.slice(0, at) + more + text.slice(at)),
    fc
      .constantFrom(
        'NaN',
        '-Infinity',
        '1e999',
        '0x10',
        '01',
        '.5',
        'undefined',
        "'x'",
        '"\\ud800"',
        '"\\u00"',
        '9'.repeat(400),
      )
      .map((to) => text.replace(/:[^,}]*/, `:${to}`)),
    fc.constantFrom('"lead_time"', '"value"', '"__proto__"').map((key) => text.replace('{', `{${key}: 1, ${key}: 2, `)),
    fc.integer({ min: 1, max: 50_000 }).map((depth) => `${'['.repeat(depth)}${text}${']'.repeat(depth)}`),
    fc.integer({ min: 1, max: 20_000 }).map((depth) => `${'{"a":'.repeat(depth)}${text}${'}'.repeat(depth)}`),
    fc.constantFrom(
      `\ufeff${text}`,
      `${text}${text}`,
      `// ${text}`,
      text.replaceAll('"', "'"),
      `${text},`,
      '',
      ' \n\t ',
    ),
  );

const json = (of: fc.Arbitrary<unknown>): fc.Arbitrary<string> => of.map((one) => JSON.stringify(one) ?? '');
const maybeBroken = (text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof({ weight: 3, arbitrary: text }, { weight: 2, arbitrary: text.chain(broken) });

const encoded = (text: fc.Arbitrary<string>): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    { weight: 20, arbitrary: text.map(bytes) },
    { weight: 1, arbitrary: text.map((one) => new Uint8Array(Buffer.from(one, 'utf16le'))) },
    { weight: 1, arbitrary: text.map((one) => new Uint8Array(Buffer.from(`${one}ÿ`, 'latin1'))) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    { weight: 1, arbitrary: fc.constantFrom(999_000, 1_000_001, 3_000_000).map((n) => new Uint8Array(n).fill(0x20)) },
  );

const predictBody = encoded(
  maybeBroken(fc.oneof(json(nearRow), json(fc.record({ rows: fc.array(nearRow, { maxLength: 5 }) })), fc.json())),
);
const feedbackBody = encoded(
  fc.oneof(
    maybeBroken(fc.oneof(json(nearLabel), fc.json())),
    fc.array(maybeBroken(json(nearLabel)), { maxLength: 8 }).map((lines) => lines.join('\n')),
  ),
);

/** What may stand in a header by HTTP's grammar. */
const headerValue = fc
  .string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)), maxLength: 300 })
  .map((text) => text.replaceAll('\x7f', '').trim());
const header = fc.oneof(
  fc.tuple(fc.constantFrom('x-request-id', 'x-gauntlet-event-time', 'x-gauntlet-force-version'), headerValue),
  fc.tuple(
    fc.constantFrom('x-gauntlet-force-version', 'x-gauntlet-event-time'),
    fc.constantFrom(
      '1',
      '2',
      '0',
      '-1',
      '1e3',
      '1, 1',
      '99999999999',
      '2017-03-04',
      '2017-03-04T12:00:00Z',
      '2017-13-01',
      'NaN',
      '',
    ),
  ),
  // A short one that is valid would be a 504, which is what was asked for.
  fc.tuple(
    fc.constant('x-gauntlet-deadline-ms'),
    fc.constantFrom('60000', '600001', '0', '-5', '1.5', 'soon', '', '1e9', '60000, 60000'),
  ),
  fc.tuple(
    fc.constantFrom('content-encoding', 'accept', 'expect', 'range', 'if-none-match', 'upgrade', 'te'),
    headerValue,
  ),
  fc.tuple(fc.constantFrom('content-type', 'Content-Type', 'CONTENT-TYPE'), headerValue),
  fc.tuple(
    fc.constantFrom('__proto__', 'constructor', 'x-y', 'cookie', 'authorization', 'forwarded', 'origin'),
    headerValue,
  ),
);
const contentType = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('application/json', 'application/json; charset=utf-8') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/json; charset=latin1',
      'application/vnd.api+json',
      '',
      ';',
      'a'.repeat(5_000),
    ),
  },
);
const headers = (types: fc.Arbitrary<string>): fc.Arbitrary<[string, string][]> =>
  fc
    .tuple(
      types,
      fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(header, { maxLength: 4 }) }),
    )
    .map(([type, more]) => [['content-type', type], ...more]);

const chunked = fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });

export const predictRequest: fc.Arbitrary<OddRequest> = fc.record({
  method: fc.constant('POST'),
  path: fc.constantFrom('/predict', `${MODEL}/predict`),
  headers: headers(contentType),
  body: predictBody,
  chunked,
});

export const feedbackRequest: fc.Arbitrary<OddRequest> = fc.record({
  method: fc.constant('POST'),
  path: fc.constant(`${MODEL}/feedback`),
  headers: headers(fc.oneof(contentType, fc.constantFrom('application/x-ndjson', 'application/jsonl'))),
  body: feedbackBody,
  chunked,
});

/** Any method on any path of serving, and on paths that are none. */
export const strayRequest: fc.Arbitrary<OddRequest> = fc.record({
  method: fc.constantFrom(
    'GET',
    'HEAD',
    'PUT',
    'DELETE',
    'PATCH',
    'OPTIONS',
    'TRACE',
    'PROPFIND',
    'QUERY',
    'POST',
    'CONNECT',
  ),
  path: fc.oneof(
    fc.constantFrom(
      '/predict',
      `${MODEL}/predict`,
      `${MODEL}/feedback`,
      '/health',
      '/metrics',
      '/openapi.json',
      '/docs',
      '/docs/start.js',
    ),
    fc.constantFrom(
      '/predict/',
      '//predict',
      '/predict?x=1&x=%',
      '/predict#x',
      '*',
      'http://h/predict',
      '/v1/models//predict',
      '/v1/models/../predict',
      '/%2e%2e/%2e%2e/etc/passwd',
      '/docs/../../package.json',
      '/\\predict',
      'predict',
    ),
    fc
      .oneof(fc.constantFrom(...INHERITED, '%00', '%ff', '%ED%A0%80', '%', '..%2f', 'a'.repeat(9_000)), fc.webSegment())
      .map((name) => `/v1/models/${encodeURI(name)}/predict`),
    fc.webPath().map((path) => path || '/nothing'),
  ),
  headers: headers(contentType),
  body: fc.oneof(fc.constant(new Uint8Array()), predictBody),
  chunked,
});

/** The request as bytes, on a connection of its own. */
export function bytesOf({ method, path, headers: given, body, chunked: inChunks }: OddRequest): Buffer {
  const own: [string, string][] = [
    ['host', 'localhost'],
    ['connection', 'close'],
    inChunks ? ['transfer-encoding', 'chunked'] : ['content-length', String(body.byteLength)],
  ];
  const lines = [...own, ...given].map(([name, text]) => `${name}: ${text}\r\n`).join('');
  const head = Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`, 'latin1');
  if (!inChunks) return Buffer.concat([head, body]);
  const half = body.byteLength >> 1;
  const pieces = [body.subarray(0, half), body.subarray(half)].filter((piece) => piece.byteLength > 0);
  const chunks = pieces.flatMap((piece) => [
    Buffer.from(`${piece.byteLength.toString(16)}\r\n`),
    piece,
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([head, ...chunks, Buffer.from('0\r\n\r\n')]);
}

/** Valid requests whose bytes are changed, dropped or added at some places of the head, or that end too early. */
export const mangledBytes: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.oneof(predictRequest, feedbackRequest).map((one) => bytesOf({ ...one, body: one.body.subarray(0, 500) })),
    fc.array(fc.tuple(fc.nat(400), fc.constantFrom('put', 'drop', 'add', 'end'), fc.nat(255)), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([valid, changes]) => {
    let mangled = valid;
    for (const [place, how, byte] of changes) {
      const at = place % (mangled.length + 1);
      const before = mangled.subarray(0, at);
      if (how === 'end') mangled = before;
      else if (how === 'drop') mangled = Buffer.concat([before, mangled.subarray(at + 1)]);
      else mangled = Buffer.concat([before, Buffer.of(byte), mangled.subarray(how === 'put' ? at + 1 : at)]);
    }
    return mangled;
  });

import { readFile } from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listen, type CONNECTION_LIMITS } from '../../../api/listen.ts';
import type { ServingOptions } from '../../../api/serving.ts';
import { openPredictionLog, type Bucket, type Stores } from '../../../bucket/index.ts';
import { piiHasher } from '../../../onnx/index.ts';
import { GraphSpec, Problem } from '../../../schemas/index.ts';
import { registerOdd, sometimesNaN, throws } from './challenger/odd-graphs.ts';
import { bookings, constant, register, serve, temporaryStores, until, type Made } from './fixture.ts';
import { recordsOf } from './log-records.ts';
import { RawConnection, requestText, serveOverHttp, type OverHttp } from './over-http.ts';
import { readPrometheus, type Samples } from './prometheus-text.ts';

const LATER = '2100-01-01T00:00:00.000Z';
const NDJSON = 'application/x-ndjson';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let http: OverHttp;

beforeEach(async () => {
  temporary = await temporaryStores();
  stores = temporary.stores;
});
afterEach(async () => {
  await http?.stop();
  await temporary.remove();
});

async function begin(options: Partial<ServingOptions> = {}, limits: Partial<typeof CONNECTION_LIMITS> = {}) {
  http = await serveOverHttp(stores, options, limits);
}

async function beginPrices(options: Partial<ServingOptions> = {}, limits: Partial<typeof CONNECTION_LIMITS> = {}) {
  await register(stores, 'prices', constant(1));
  await serve(stores, 'prices', { champion: 1 });
  await begin({ defaultModel: 'prices', ...options }, limits);
}

async function ask(path: string, body: unknown, headers: Record<string, string> = {}, method = 'POST') {
  const response = await fetch(http.url + path, {
    method,
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    headers: { 'content-type': 'application/json', ...headers },
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text };
}

const times = async (n: number, work: () => Promise<unknown>): Promise<void> => {
  for (let i = 0; i < n; i++) await work();
};

async function metrics(): Promise<Samples> {
  const { status, headers, text } = await ask('/metrics', undefined, {}, 'GET');
  expect([status, headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  return readPrometheus(text);
}

/** The bucket, of which writing can be made to fail. */
function failing(bucket: Bucket): Bucket & { down: boolean } {
  return {
    down: false,
    async create(key, body) {
      if (this.down) throw new Error('the bucket is down');
      return bucket.create(key, body);
    },
    read: (key, range) => bucket.read(key, range),
    list: (prefix, after) => bucket.list(prefix, after),
    remove: (key) => bucket.remove(key),
  };
}

describe('/metrics', () => {
  it('counts requests, errors, latencies, batches and labels by model, version and assignment', async () => {
    await registerOdd(stores, 'odd', { ...throws(), bytes: sometimesNaN(1e-15).bytes });
    await registerOdd(stores, 'odd', throws());
    await serve(stores, 'odd', { champion: 1, canary: { version: 2, weight: 1, salt: 's', until: LATER } });
    await beginPrices({ now: () => Date.parse('2017-01-02T00:00:00Z') });
    await until(() => http.serving.status().challengers.every(({ loaded }) => loaded), 30_000);

    await times(5, () => ask('/predict', { x: 1 }));
    await ask('/predict', { rows: Array.from({ length: 7 }, (_, x) => ({ x })) });
    await times(2, () => ask('/predict', { x: 'one' }));
    await ask('/predict', '{');
    await ask('/v1/models/nobody/predict', { x: 1 });
    await times(3, () => ask('/v1/models/odd/predict', { x: 1 }));
    await times(5, () => ask('/v1/models/odd/predict', { x: 1, throw: 1 }));
    await ask('/v1/models/odd/predict', { x: 1 }, { 'x-gauntlet-force-version': '2' });
    const label = { requestId: 'r', value: 12 };
    await ask('/v1/models/prices/feedback', label);
    await ask('/v1/models/prices/feedback', `${JSON.stringify(label)}\n`.repeat(3), { 'content-type': NDJSON });
    await ask('/v1/models/prices/feedback', { value: 12 });
    await ask('/v1/models/nobody/feedback', label);

    const found = await metrics();
    const by = (assigned: string, model: string, version: number | '', more = '') =>
      `{assigned="${assigned}",model="${model}"${more},version="${version}"}`;
    expect(
      Object.fromEntries([...found].filter(([key]) => /^gauntlet_(requests|feedback|labels|canary)/.test(key))),
    ).toEqual({
      [`gauntlet_requests_total${by('champion', 'prices', 1, ',status="200"')}`]: 6,
      [`gauntlet_requests_total${by('', 'prices', 1, ',status="422"')}`]: 2,
      [`gauntlet_requests_total${by('', '', '', ',status="400"')}`]: 1,
      [`gauntlet_requests_total${by('', '', '', ',status="404"')}`]: 1,
      [`gauntlet_requests_total${by('canary', 'odd', 2, ',status="200"')}`]: 3,
      [`gauntlet_requests_total${by('canary', 'odd', 1, ',status="200"')}`]: 5,
      [`gauntlet_requests_total${by('forced', 'odd', 2, ',status="200"')}`]: 1,
      'gauntlet_canary_failures_total{model="odd",version="2",why="threw"}': 5,
      'gauntlet_feedback_requests_total{model="prices",status="202"}': 2,
      'gauntlet_feedback_requests_total{model="prices",status="422"}': 1,
      'gauntlet_feedback_requests_total{model="",status="404"}': 1,
      'gauntlet_labels_total{model="prices"}': 4,
    });
    for (const what of ['request', 'graph'])
      for (const [labels, count] of [
        [by('champion', 'prices', 1), 6],
        [by('canary', 'odd', 2), 3],
        [by('canary', 'odd', 1), 5],
      ] as const)
        expect(found.get(`gauntlet_${what}_seconds_count${labels}`), `${what} ${labels}`).toBe(count);
    // The champions' runs: six of prices, five in the place of the canary.
    expect(found.get('gauntlet_batch_rows_count')).toBe(11);
    expect(found.get('gauntlet_batch_rows_sum')).toBe(5 + 7 + 5);
    expect(found.get('gauntlet_breaker_open{model="odd",version="2"}')).toBe(1);
    expect(found.get('gauntlet_model_age_seconds{model="prices",version="1"}')).toBe(86_400);
    expect(found.get('gauntlet_serving_revision')).toBe(2);
    expect(found.get('gauntlet_challenger_resident_bytes')).toBeGreaterThan(10_000_000);
    expect(found.get('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
  });

  it('has the metrics that docs/serving.md names, and no other of ours', async () => {
    await beginPrices();
    const { text } = await ask('/metrics', undefined, {}, 'GET');
    const told = await readFile(new URL('../../../docs/serving.md', import.meta.url), 'utf8');
    const names = (of: string, pattern: RegExp) =>
      [...new Set([...of.matchAll(pattern)].map(([, name]) => name!))].sort();
    expect(names(text, /^# TYPE (gauntlet_\w+)/gm)).toEqual(names(told, /`(gauntlet_\w+)/g));
  });

  it('says which version cannot be loaded', async () => {
    await beginPrices();
    await register(stores, 'prices', constant(2), { onnx: { sha256: 'f'.repeat(64), bytes: 10 } });
    await serve(stores, 'prices', { champion: 2 });
    await until(() => http.serving.status().models[0]!.failures.length > 0);
    const found = await metrics();
    expect(found.get('gauntlet_load_failed{model="prices",version="2"}')).toBe(1);
    expect(found.has('gauntlet_load_failed{model="prices",version="1"}')).toBe(false);
  });

  it('counts the rows that no shadow scored: with those in the log they are all that were sent', async () => {
    await registerOdd(stores, 'odd', sometimesNaN(1e-15));
    await registerOdd(stores, 'odd', sometimesNaN(1e-15));
    await serve(stores, 'odd', { champion: 1, shadows: [{ version: 2, until: LATER }] });
    await begin();
    await until(() => http.serving.status().challengers.every(({ loaded }) => loaded), 30_000);
    const rows = Array.from({ length: 1000 }, (_, x) => ({ x }));
    await Promise.all(Array.from({ length: 8 }, () => ask('/predict', { rows })));
    const waiting = () => metrics().then((found) => found.get('gauntlet_shadow_queue_rows'));
    await expect.poll(waiting, { timeout: 30_000 }).toBe(0);
    const scored = async (): Promise<number> => {
      await http.serving.predictionLog.flush();
      return (await recordsOf(stores.bucket)).filter(({ kind }) => kind === 'shadow').length;
    };
    const dropped = [...(await metrics())].filter(([key]) => key.startsWith('gauntlet_shadow_dropped_total'));
    const all = dropped.reduce((sum, [, count]) => sum + count, 0);
    expect(all).toBeGreaterThan(0);
    await expect.poll(async () => (await scored()) + all, { timeout: 30_000 }).toBe(8000);
  });

  it('says how far the log is behind the bucket, and what it let go', async () => {
    const bucket = failing(stores.bucket);
    const predictionLog = await openPredictionLog({
      bucket,
      home: join(temporary.folder, 'log'),
      spoolMb: 1,
      limits: { segmentMs: 50, retryMs: 20, longestRetryMs: 20 },
    });
    await beginPrices({ predictionLog });
    bucket.down = true;
    await times(3, () => ask('/predict', { x: 1 }));
    await predictionLog.written();
    const behind = await metrics();
    expect(behind.get('gauntlet_log_lag_rows')).toBe(3);
    expect(behind.get('gauntlet_log_lag_seconds')).toBeGreaterThan(0);
    expect(behind.get('gauntlet_log_spool_bytes')).toBeGreaterThan(300);
    expect(behind.get('gauntlet_log_shed_total{what="answer"}')).toBe(0);

    const rows = Array.from({ length: 200 }, (_, x) => ({ x }));
    const shed = async () => (await metrics()).get('gauntlet_log_shed_total{what="answer"}')!;
    for (let i = 0; i < 50 && (await shed()) === 0; i++) {
      expect((await ask('/predict', { rows })).status).toBe(200);
      // Pressure is what the last write left: each request by itself, or the first that is too many sheds everything.
      await predictionLog.written();
    }
    const full = await metrics();
    expect(full.get('gauntlet_log_shed_total{what="answer"}')).toBeGreaterThan(0);
    expect(full.get('gauntlet_log_shed_total{what="detail"}')).toBeGreaterThan(0);
    expect(full.get('gauntlet_log_spool_bytes')).toBeLessThan(1.5 * 2 ** 20);

    bucket.down = false;
    await predictionLog.flush();
    const after = await metrics();
    expect(after.get('gauntlet_log_lag_rows')).toBe(0);
    const kept = (await recordsOf(stores.bucket)).length;
    const asked = after.get('gauntlet_batch_rows_sum')!;
    expect(kept + after.get('gauntlet_log_shed_total{what="answer"}')!).toBe(asked);
  });
});

describe('the log', () => {
  const SECRET = 'Secret.Person@example.com';
  const people: Made = {
    ...constant(1),
    graph: GraphSpec.parse({
      task: 'regression',
      inputs: { x: { type: 'number' }, mail: { type: 'string', pii: true, maxLength: 40 } },
      derived: {},
      maturesAt: 'predicted_at',
    }),
  };

  it('has one line for each request that is refused, with its id, and nothing of what was in it', async () => {
    await beginPrices();
    const feedback = '/v1/models/prices/feedback';
    const cases: [status: number, path: string, body: unknown, headers?: Record<string, string>, method?: string][] = [
      [400, '/predict', `{"${SECRET}": }`],
      [422, '/predict', { x: SECRET }],
      [422, '/predict', { [SECRET]: 1 }],
      [422, '/predict', { x: 1 }, { 'x-gauntlet-deadline-ms': SECRET }],
      [422, '/predict', { x: 1 }, { 'x-gauntlet-event-time': SECRET }],
      [409, '/predict', { x: 1 }, { 'x-gauntlet-force-version': '9' }],
      [413, '/predict', SECRET.repeat(100_000)],
      [415, '/predict', SECRET, { 'content-type': `text/${SECRET}` }],
      [404, '/v1/models/nobody/predict', { x: 1 }],
      [405, '/predict', undefined, {}, 'GET'],
      [405, '/metrics', SECRET],
      [404, '/docs/nothing', undefined, {}, 'GET'],
      [422, feedback, { requestId: 'r', value: SECRET }],
      [400, feedback, SECRET],
      [400, feedback, `{"requestId": "r", "value": 1}\n${SECRET}`, { 'content-type': NDJSON }],
      [404, '/v1/models/nobody/feedback', { requestId: 'r', value: 1 }],
      [405, feedback, undefined, {}, 'DELETE'],
    ];
    for (const [i, [status, path, body, headers, method]] of cases.entries()) {
      const answered = await ask(path, body, { ...headers, 'x-request-id': `case-${i}` }, method);
      expect([answered.status, answered.headers.get('x-request-id')], answered.text).toEqual([status, `case-${i}`]);
      expect(Problem.parse(JSON.parse(answered.text)).status).toBe(status);
      const lines = http.serving.lines.filter(({ requestId }) => requestId === `case-${i}`);
      expect(lines).toMatchObject([{ level: 30, status, msg: 'request refused' }]);
    }
    expect(JSON.stringify(http.serving.lines).toLowerCase()).not.toContain('secret');
  });

  it('shows nothing personal, and neither does the refusal of a request', async () => {
    const pii = piiHasher('0123456789abcdef0123456789abcdef')!;
    const serving = { unit: 'user', unitPii: true, entityPii: true, allowEventTime: false, piiKey: pii.fingerprint };
    const mail = pii.hash('someone');
    await register(stores, 'people', { ...people, warmUpRows: [{ x: 1, mail }] }, { entity: 'person', serving });
    await serve(stores, 'people', { champion: 1 });
    await begin({ pii });
    const row = { x: 1, mail: SECRET, person: SECRET, user: SECRET };
    const long = SECRET.repeat(10);
    for (const changed of [
      { person: [SECRET] },
      { person: `${SECRET}\u0000` },
      { person: long },
      { user: `${SECRET}\n` },
      { user: { [SECRET]: 1 } },
      { user: true },
      { mail: long },
      { mail: 12.25 },
      { x: undefined },
    ]) {
      const { status, text } = await ask('/predict', { ...row, ...changed });
      expect([status, text.includes('Secret.Person'), text.includes('12.25')], text).toEqual([422, false, false]);
    }
    expect((await ask('/v1/models/people/feedback', { person: long, value: 1 })).text).not.toContain('Secret');
    expect((await ask('/predict', row)).status).toBe(200);
    await http.serving.predictionLog.flush();
    const written = JSON.stringify([http.serving.lines, http.lines, await recordsOf(stores.bucket)]);
    expect(written).toContain(pii.hash(SECRET));
    expect(written).not.toContain('Secret');
  });
});

describe('probes', () => {
  const get = (path: string, method = 'GET') => ask(path, undefined, {}, method);

  it('/health says alive and /ready says why not, while nothing is loaded; then both are 200', async () => {
    await begin();
    expect([(await get('/health')).status, (await get('/health', 'HEAD')).status]).toEqual([200, 200]);
    const notReady = await get('/ready');
    expect(notReady.status).toBe(503);
    expect(JSON.parse(notReady.text)).toMatchObject({
      ready: false,
      because: expect.stringContaining('nothing has been promoted yet'),
    });
    await register(stores, 'prices', constant(1));
    await serve(stores, 'prices', { champion: 1 });
    await until(() => http.serving.ready().ready);
    expect([(await get('/ready')).status, (await get('/health')).status]).toEqual([200, 200]);
  });

  it('are answered to HTTP/1.0 without a host, as plain load balancers ask', async () => {
    await beginPrices();
    for (const path of ['/health', '/ready']) {
      const connection = new RawConnection(http.port);
      connection.send(`GET ${path} HTTP/1.0\r\n\r\n`);
      await connection.closed;
      expect(connection.statuses).toEqual([200]);
    }
  });
});

describe('a connection', () => {
  const json = (received: string): unknown => JSON.parse(received.slice(received.indexOf('\r\n\r\n') + 4));

  it('on which something else than HTTP comes is answered with a problem, and with one line', async () => {
    await beginPrices();
    for (const [text, status] of [
      ['GET /predict HTTP/1.1\r\n\r\n', 400],
      ['\u0000\u0001\u0002\r\n\r\n', 400],
      ['POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: two\r\n\r\n', 400],
      [requestText('/predict', '{"x": 1}', { 'transfer-encoding': 'chunked' }), 400],
      [`GET /health HTTP/1.1\r\nhost: x\r\nx-long: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
      ['GET /health HTTP/1.1\r\nhost: a b\r\n\r\n', 400],
      ['CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n', 405],
    ] as const) {
      const connection = new RawConnection(http.port);
      const before = http.lines.length;
      connection.send(text);
      await until(() => connection.received.includes('}'));
      expect(Problem.parse(json(connection.received)), text).toMatchObject({ status, detail: expect.any(String) });
      expect(connection.statuses).toEqual([status]);
      await until(() => http.lines.length > before);
      expect(http.lines.slice(before)).toMatchObject([{ level: 30, status, requestId: expect.any(String) }]);
      connection.socket.destroy();
    }
  });

  it('whose headers or body dribble is cut with a 408 or none, while others are answered', async () => {
    await beginPrices({}, { headersMs: 300, requestMs: 600, sweepMs: 50 });
    const head = requestText('/predict', '').replace('content-length: 0', 'content-length: 8');
    const slow = {
      silent: new RawConnection(http.port),
      headers: new RawConnection(http.port),
      body: new RawConnection(http.port),
    };
    slow.headers.send('POST /predict HTTP/1.1\r\n');
    slow.body.send(head);
    let n = 0;
    const dribble = setInterval(() => {
      slow.headers.send(`x-${n++}: a\r\n`);
      if (n <= 7) slow.body.send('{"x": 1}'[n - 1]!);
    }, 100);
    const closed = Promise.all(Object.values(slow).map((connection) => connection.closed));
    let others = 0;
    let done = false;
    void closed.then(() => (done = true));
    while (!done) {
      expect((await ask('/predict', { x: 1 })).status).toBe(200);
      others++;
    }
    clearInterval(dribble);
    expect(others).toBeGreaterThan(0);
    for (const [name, { received, statuses }] of Object.entries(slow)) {
      expect(statuses, name).toEqual([408]);
      expect(json(received), name).toMatchObject({ type: 'urn:gauntlet:too-slow' });
    }
    // Each is one line: the app's own of a request that had begun, the connection's of what never became one.
    expect(http.serving.lines.filter(({ msg }) => msg === 'request refused')).toMatchObject([{ status: 400 }]);
    expect(http.lines).toMatchObject([{ status: 408 }, { status: 408 }]);
  });

  it('whose client reads nothing is cut, while others are answered', async () => {
    await beginPrices({}, { answerMs: 300, sweepMs: 50 });
    const socket = connect(http.port, '127.0.0.1');
    let cut = false;
    socket.on('close', () => (cut = true)).on('error', () => undefined);
    // A megabyte and a half each: more than the buffers between us hold.
    socket.pause().write('GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(20));
    for (const end = performance.now() + 30_000; !cut && performance.now() < end;) {
      expect((await ask('/predict', { x: 1 })).status).toBe(200);
      // Who does not read learns of the end only by what a write comes to.
      socket.write('\r\n');
    }
    expect(cut).toBe(true);
  });

  it('is not cut for an answer that waits for a slow one before it on its connection', async () => {
    const slow = async (request: Request): Promise<Response> => {
      const { pathname } = new URL(request.url);
      if (pathname === '/slow') await sleep(400);
      return new Response(`${pathname};`);
    };
    const listening = await listen(
      { fetch: slow },
      {
        host: '127.0.0.1',
        port: 0,
        log: pino({ level: 'silent' }),
        limits: { answerMs: 100, sweepMs: 20 },
      },
    );
    const connection = new RawConnection(listening.port);
    connection.send(['/slow', '/a', '/b'].map((path) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`).join(''));
    await until(() => connection.received.includes('/b;'));
    expect(connection.received.match(/\/(?:slow|a|b);/g)).toEqual(['/slow;', '/a;', '/b;']);
    connection.socket.destroy();
    await listening.close();
  });

  it('may have a body above the limit, told beforehand or not: a 413, and the next request is answered', async () => {
    await beginPrices();
    const big = JSON.stringify({ x: 'x'.repeat(3_000_000) });
    for (const duplex of [false, true]) {
      const response = await fetch(`${http.url}/predict`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: duplex ? new Blob([big]).stream() : big,
        ...(duplex && { duplex: 'half' }),
      });
      expect(Problem.parse(await response.json()).status).toBe(413);
      expect((await ask('/predict', { x: 1 })).status).toBe(200);
    }
  });

  it('whose client leaves in the middle of its body is one line, and no fault of ours', async () => {
    await beginPrices();
    const connection = new RawConnection(http.port);
    const whole = requestText('/predict', '{"x": 1}', { 'x-request-id': 'gone' });
    connection.send(whole.slice(0, -3));
    await new Promise((done) => connection.socket.once('connect', done));
    await expect.poll(() => ask('/health', undefined, {}, 'GET').then(({ status }) => status)).toBe(200);
    connection.socket.destroy();
    const lines = () => http.serving.lines.filter(({ requestId }) => requestId === 'gone');
    await until(() => lines().length > 0);
    expect(lines()).toMatchObject([{ level: 30, status: 400 }]);
    expect((await ask('/predict', { x: 1 })).status).toBe(200);
  });

  it('whose client leaves before its answer has asked all the same: the answer is in the log', async () => {
    await beginPrices();
    const connection = new RawConnection(http.port);
    connection.socket.once('connect', () => {
      connection.socket.write(requestText('/predict', '{"x": 1}', { 'x-request-id': 'left' }), () =>
        connection.socket.destroy(),
      );
    });
    const records = async () => {
      await http.serving.predictionLog.flush();
      return (await recordsOf(stores.bucket)).filter((one) => 'requestId' in one && one.requestId === 'left').length;
    };
    await expect.poll(records, { timeout: 10_000 }).toBe(1);
  });

  it('is kept open between requests, and takes several at once', async () => {
    await beginPrices();
    const connection = new RawConnection(http.port);
    connection.send(requestText('/predict', '{"x": 1}').repeat(5));
    await until(() => connection.statuses.length === 5);
    connection.send(requestText('/predict', '{"x": "no"}', { expect: '100-continue' }));
    await until(() => connection.statuses.length === 7);
    expect(connection.statuses).toEqual([200, 200, 200, 200, 200, 100, 422]);
    connection.socket.destroy();
  });
});

describe('a deadline', () => {
  it('that passes while the body is on its way is a 504 that says what to do; one that is no number a 422', async () => {
    await beginPrices();
    const connection = new RawConnection(http.port);
    const whole = requestText('/predict', '{"x": 1}', { 'x-gauntlet-deadline-ms': '1', 'x-request-id': 'late' });
    connection.send(whole.slice(0, -1));
    await new Promise((done) => connection.socket.once('connect', done));
    for (const sent = performance.now(); performance.now() < sent + 100;) await ask('/health', undefined, {}, 'GET');
    connection.send(whole.slice(-1));
    await until(() => connection.received.includes('}'));
    expect(connection.statuses).toEqual([504]);
    expect(connection.received).toContain('urn:gauntlet:deadline-passed');
    for (const header of ['0', '-5', 'soon', '1e3', '600001', 'NaN', ''])
      expect((await ask('/predict', { x: 1 }, { 'x-gauntlet-deadline-ms': header })).status).toBe(422);
    expect((await ask('/predict', { x: 1 }, { 'x-gauntlet-deadline-ms': '60000' })).status).toBe(200);
    connection.socket.destroy();
  });
});

describe('a stop under load', () => {
  it('answers what was accepted, refuses what is new, closes idle connections, and loses nothing of the log', async () => {
    await register(stores, 'bookings', bookings);
    await serve(stores, 'bookings', { champion: 1 });
    await begin();
    const row = JSON.stringify(bookings.warmUpRows[0]);
    let answered = 0;
    const failures: unknown[] = [];
    const client = async (): Promise<void> => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (let refused = false; !refused;)
        await post(agent, row).then(
          (status) => (status === 200 ? answered++ : failures.push(status)),
          (error: NodeJS.ErrnoException) => {
            refused = true;
            if (error.code !== 'ECONNREFUSED') failures.push(error);
          },
        );
      agent.destroy();
    };
    const idle = new RawConnection(http.port);
    idle.send(requestText('/predict', row));
    const mute = new RawConnection(http.port);
    const clients = Promise.all(Array.from({ length: 16 }, client));
    await until(() => idle.statuses.length === 1 && answered > 200, 60_000);
    // A request that has begun, and is whole only after the stop.
    const halfway = new RawConnection(http.port);
    const whole = requestText('/predict', row, { 'x-request-id': 'halfway' });
    halfway.send(whole.slice(0, -10));
    await until(() => halfway.socket.bytesWritten === whole.length - 10);
    const before = answered;
    await until(() => answered > before + 50, 60_000);

    const closing = http.listening.close();
    await expect(new Promise((_, reject) => connect(http.port, '127.0.0.1').on('error', reject))).rejects.toMatchObject(
      {
        code: 'ECONNREFUSED',
      },
    );
    halfway.send(whole.slice(-10));
    await closing;
    await Promise.all([clients, idle.closed, mute.closed, halfway.closed]);
    expect(failures).toEqual([]);
    expect(halfway.statuses).toEqual([200]);
    expect(halfway.received.toLowerCase()).toContain('connection: close');

    await http.serving.stop();
    const ids = (await recordsOf(stores.bucket)).map((record) => 'requestId' in record && record.requestId);
    expect([ids.length, new Set(ids).size]).toEqual([answered + 2, answered + 2]);
    expect(http.serving.predictionLog.lag()).toMatchObject({ rows: 0, shed: { answer: 0, detail: 0, shadow: 0 } });
  });

  const post = (agent: Agent, body: string) =>
    new Promise<number>((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const sent = httpRequest({
        host: '127.0.0.1',
        port: http.port,
        path: '/predict',
        method: 'POST',
        agent,
        headers,
      });
      sent.on('error', reject).on('response', (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode!)).on('error', reject);
      });
      sent.end(body);
    });

  it('cuts a request that never becomes whole, and ends', async () => {
    await beginPrices({}, { finishMs: 300, lingerMs: 10 });
    const never = new RawConnection(http.port);
    never.send(requestText('/predict', '{"x": 1}').slice(0, -3));
    await until(() => never.socket.bytesWritten > 0);
    await ask('/predict', { x: 1 });
    await http.listening.close();
    await never.closed;
    expect(never.statuses).toEqual([]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stores } from '../../../bucket/index.ts';
import { Problem } from '../../../schemas/index.ts';
import {
  bookings,
  constant,
  flowers,
  overflowing,
  post,
  register,
  serve,
  startServing,
  temporaryStores,
} from './fixture.ts';

const NOW = Date.parse('2017-03-01T00:00:00Z');
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let serving: Awaited<ReturnType<typeof startServing>>;

beforeAll(async () => {
  temporary = await temporaryStores();
  stores = temporary.stores;
  for (const [model, made] of Object.entries({
    bookings: { ...bookings, threshold: 0.9 },
    flowers,
    prices: constant(12.5),
    overflows: overflowing,
  })) {
    await register(stores, model, made);
    await serve(stores, model, { champion: 1 });
  }
  serving = await startServing(stores, { defaultModel: 'bookings', now: () => NOW });
});
afterAll(async () => {
  await serving.stop();
  await temporary.remove();
});

const valid = bookings.warmUpRows[0]!;

async function refused(path: string, body: unknown, headers?: Record<string, string>): Promise<Problem> {
  const response = await post(serving.app, path, body, headers);
  expect(response.status).toBeGreaterThanOrEqual(400);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(response.headers.get('x-request-id')).toBeTruthy();
  const problem = Problem.parse(await response.json());
  expect(problem.status).toBe(response.status);
  return problem;
}

describe('an answer', () => {
  it('to one row has prediction, probability, when it matures, model, version, revision and request id, and echoes the entity', async () => {
    const response = await post(serving.app, '/v1/models/bookings/predict', { ...valid, booking_id: 'B-17' });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-gauntlet-assigned')).toBe('champion');
    expect(response.headers.get('x-gauntlet-version')).toBe('1');
    const answer = (await response.json()) as Record<string, unknown>;
    expect(answer).toEqual({
      booking_id: 'B-17',
      prediction: false, // .88 is below this version's own threshold of .9
      probability: expect.closeTo(sigmoid(-0.5 + 2.5), 6),
      maturesAt: '2017-03-18T00:00:00.000Z',
      model: 'bookings',
      version: 1,
      revision: 1,
      requestId: response.headers.get('x-request-id'),
    });
  });

  it('to many rows has a prediction for each, in their order', async () => {
    const rows = [{ ...valid, booking_id: 1 }, bookings.warmUpRows[1]!, { ...valid, hotel: 'Resort Hotel' }];
    const response = await post(serving.app, '/v1/models/bookings/predict', { rows });
    const answer = (await response.json()) as { predictions: Record<string, unknown>[] };
    expect(answer).toEqual({
      predictions: [
        expect.objectContaining({ booking_id: 1, probability: expect.closeTo(sigmoid(2), 6) }),
        expect.objectContaining({ probability: expect.closeTo(sigmoid(-2), 6), maturesAt: '2017-02-14T00:00:00.000Z' }),
        expect.objectContaining({ probability: expect.closeTo(sigmoid(-0.25), 6) }),
      ],
      model: 'bookings',
      version: 1,
      revision: 1,
      requestId: expect.any(String),
    });
    expect(answer.predictions[1]).not.toHaveProperty('booking_id');
  });

  it('of the default model comes from /predict', async () => {
    const response = await post(serving.app, '/predict', valid);
    expect(await response.json()).toMatchObject({ model: 'bookings' });
  });

  it('of a multiclass model has the probability of each class', async () => {
    const response = await post(serving.app, '/v1/models/flowers/predict', { petal: 3 });
    const { prediction, probabilities } = (await response.json()) as {
      prediction: string;
      probabilities: Record<string, number>;
    };
    expect(prediction).toBe('virginica');
    expect(Object.keys(probabilities)).toEqual(flowers.classes);
    expect(Object.values(probabilities).reduce((a, b) => a + b)).toBeCloseTo(1, 6);
  });

  it('of a regression has the value, and matures by the time of the request', async () => {
    const response = await post(serving.app, '/v1/models/prices/predict', { x: 1 });
    const answer = (await response.json()) as Record<string, unknown>;
    expect(answer).toMatchObject({ prediction: 12.5, maturesAt: '2017-03-01T01:00:00.000Z' });
    expect(answer).not.toHaveProperty('probability');
  });

  it("carries the client's own request id", async () => {
    const response = await post(serving.app, '/predict', valid, { 'x-request-id': 'mine-1' });
    expect(response.headers.get('x-request-id')).toBe('mine-1');
    expect(await response.json()).toMatchObject({ requestId: 'mine-1' });
  });

  it('that is not finite fails alone in a batch, and as a 500 that says what to do when it is the only one', async () => {
    const batch = await post(serving.app, '/v1/models/overflows/predict', { rows: [{ x: 1 }, { x: 9 }, { x: 0 }] });
    expect(batch.status).toBe(200);
    const { predictions } = (await batch.json()) as { predictions: Record<string, unknown>[] };
    expect(predictions).toMatchObject([
      { prediction: expect.any(Number) },
      { error: expect.any(String) },
      { prediction: 0 },
    ]);
    const single = await refused('/v1/models/overflows/predict', { x: 9 });
    expect(single).toMatchObject({ status: 500, type: 'urn:gauntlet:no-finite-answer' });
    expect(single.next).toContain('rollback');
  });

  it('that is not finite because of a number beyond all reason is a 422 that names the number', async () => {
    for (const x of [1e17, -1e300])
      expect(await refused('/v1/models/overflows/predict', { x })).toMatchObject({
        status: 422,
        issues: [{ at: 'x', found: `${x} (a number)`, expected: 'a number nearer to 0' }],
      });
  });
});

describe('a bad request', () => {
  it('of {} names every input that is absent, and no optional one', async () => {
    const { status, issues } = await refused('/predict', {});
    expect(status).toBe(422);
    expect(issues?.map(({ at }) => at)).toEqual(['lead_time', 'adr', 'hotel', 'is_repeated_guest', 'arrival_date']);
  });

  it.each([
    ['an unknown field', { ...valid, lead_tiem: 3 }, 'lead_tiem'],
    ['text for a number', { ...valid, lead_time: '120' }, 'lead_time'],
    ['a fraction for an integer', { ...valid, lead_time: 1.5 }, 'lead_time'],
    ['a number above its limit', { ...valid, lead_time: 801 }, 'lead_time'],
    ['a value that is not allowed', { ...valid, hotel: 'Grand Hotel' }, 'hotel'],
    ['a text that is too long', { ...valid, agent: 'x'.repeat(21) }, 'agent'],
    ['null where null is not allowed', { ...valid, is_repeated_guest: null }, 'is_repeated_guest'],
    ['a date that is none', { ...valid, arrival_date: '2017-02-30' }, 'arrival_date'],
    ['a date before the first', { ...valid, arrival_date: '1999-01-01' }, 'arrival_date'],
    ['an object for a number', { ...valid, lead_time: { $gt: 0 } }, 'lead_time'],
    ['an entity key that is an array', { ...valid, booking_id: [1] }, 'booking_id'],
    ['an entity key that JSON cannot carry', { ...valid, booking_id: 2 ** 60 }, 'booking_id'],
  ])('with %s names the field, what came and what is allowed', async (_, body, at) => {
    const { status, issues } = await refused('/predict', body);
    expect(status).toBe(422);
    expect(issues).toEqual([{ at, found: expect.stringMatching(/./), expected: expect.stringMatching(/./) }]);
  });

  it('of many rows names the row too, also where there is one', async () => {
    const two = await refused('/predict', { rows: [valid, { ...valid, adr: -1 }] });
    expect(two.issues?.map(({ at }) => at)).toEqual(['rows[1].adr']);
    const one = await refused('/predict', { rows: [{ ...valid, adr: -1 }] });
    expect(one.issues?.map(({ at }) => at)).toEqual(['rows[0].adr']);
    const odd = await refused('/predict', { rows: [valid, null, [], 'x'] });
    expect(odd.issues?.map(({ at }) => at)).toEqual(['rows[1]', 'rows[2]', 'rows[3]']);
    const alone = await refused('/predict', { rows: [null] });
    expect(alone.issues?.map(({ at }) => at)).toEqual(['rows[0]']);
  });

  it.each([
    ['[]', 422, 'a list'],
    ['null', 422, 'null'],
    ['7', 422, '7'],
    ['"x"', 422, 'x'],
    ['{"rows": []}', 422, '0 rows'],
    ['{"rows": {}}', 422, 'an object'],
    ['{"rows": null}', 422, 'null'],
    [JSON.stringify({ rows: Array(1001).fill(valid) }), 422, '1001 rows'],
    [JSON.stringify({ rows: [valid], threshold: 0.5 }), 422, 'a field beside rows'],
    ['{', 400, 'the end of the text'],
    ['', 400, 'empty'],
    ['{"lead_time": 1, "lead_time": 2}', 400, '"lead_time" again'],
    [`{"a": ${'['.repeat(5000)}${']'.repeat(5000)}}`, 400, 'one more level'],
    [JSON.stringify(valid).replace('120', '1e999'), 422, ''],
    [JSON.stringify(valid).replace('{', '{"__proto__": {"lead_time": 1}, '), 422, '__proto__'],
    [JSON.stringify(valid).replace('{', '{"constructor": 1, '), 422, 'constructor'],
  ])('%.40s is a %#: explained', async (body, status, words) => {
    const problem = await refused('/predict', body);
    expect(problem.status).toBe(status);
    expect(JSON.stringify(problem).replaceAll('\\"', '"')).toContain(words);
  });

  it('says line and column of malformed JSON', async () => {
    const problem = await refused('/predict', '{\n  "lead_time": 12,\n}');
    expect(problem).toMatchObject({
      status: 400,
      detail: 'Line 3, column 1: found }, expected a field name in double quotes.',
    });
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/json; charset=latin1',
    'application/jsonish',
  ])('of type %s is a 415 that says which is taken', async (type) => {
    const problem = await refused('/predict', valid, { 'content-type': type });
    expect(problem).toMatchObject({ status: 415, next: expect.stringContaining('application/json') });
  });

  it.each(['application/json; charset=UTF-8', 'application/json;charset="utf-8"', 'application/vnd.api+json'])(
    'is not what a body of type %s is',
    async (type) => {
      expect((await post(serving.app, '/predict', valid, { 'content-type': type })).status).toBe(200);
    },
  );

  it('that is compressed or not UTF-8 says so', async () => {
    expect(await refused('/predict', valid, { 'content-encoding': 'gzip' })).toMatchObject({ status: 415 });
    const response = await serving.app.request('/predict', {
      method: 'POST',
      body: new Uint8Array([0x7b, 0xff, 0x7d]),
      headers: { 'content-type': 'application/json' },
    });
    expect(response.status).toBe(400);
    expect(((await response.json()) as Problem).detail).toContain('UTF-8');
  });

  it('above the limit is a 413, with and without a content-length', async () => {
    const big = JSON.stringify({ rows: ['x'.repeat(1_000_001)] });
    expect(await refused('/predict', big)).toMatchObject({ status: 413 });
    expect(await refused('/predict', big, { 'content-length': String(big.length) })).toMatchObject({ status: 413 });
  });

  it('for a model that is not served names the nearest', async () => {
    const problem = await refused('/v1/models/booking/predict', valid);
    expect(problem.status).toBe(404);
    expect(problem.detail).toContain('Did you mean bookings?');
  });

  it('by the wrong method is a 405 that says which is right', async () => {
    for (const path of ['/predict', '/v1/models/bookings/predict']) {
      const response = await serving.app.request(path);
      expect(response.status).toBe(405);
      expect(response.headers.get('allow')).toBe('POST');
    }
    expect((await post(serving.app, '/health', {})).status).toBe(405);
    expect((await post(serving.app, '/docs', {})).status).toBe(405);
  });

  it('to a path that is none is a 404 problem', async () => {
    expect((await refused('/predictions', valid)).status).toBe(404);
  });

  it('is logged at info with request id, model, version, status and time; an answer at debug', async () => {
    await post(serving.app, '/predict', {}, { 'x-request-id': 'logged-bad' });
    await post(serving.app, '/predict', valid, { 'x-request-id': 'logged-good' });
    const line = (id: string) => serving.lines.filter(({ requestId }) => requestId === id);
    expect(line('logged-bad')).toMatchObject([
      { level: 30, model: 'bookings', version: 1, status: 422, ms: expect.any(Number) },
    ]);
    expect(line('logged-good')).toMatchObject([{ level: 20, model: 'bookings', version: 1, status: 200 }]);
    expect(JSON.stringify(line('logged-good'))).not.toContain('City Hotel');
  });
});

describe('/predict without a default', () => {
  it('names the models that there are', async () => {
    const other = await startServing(stores);
    const problem = Problem.parse(await (await post(other.app, '/predict', valid)).json());
    expect(problem).toMatchObject({
      status: 409,
      detail: expect.stringContaining('bookings, flowers, overflows, prices'),
    });
    await other.stop();
  });

  it('with a default that is not served is a 404 that names it', async () => {
    const other = await startServing(stores, { defaultModel: 'bokings' });
    const problem = Problem.parse(await (await post(other.app, '/predict', valid)).json());
    expect(problem).toMatchObject({ status: 404, detail: expect.stringContaining('Did you mean bookings?') });
    await other.stop();
  });
});

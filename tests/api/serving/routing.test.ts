import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Stores } from '../../../bucket/index.ts';
import { piiHasher } from '../../../onnx/index.ts';
import { bucketOf } from '../../../policies/index.ts';
import type { Answer, LogRecord, Serving, ShadowScore } from '../../../schemas/index.ts';
import { registerOdd, slow, sometimesNaN, throws, type OddGraph } from './challenger/odd-graphs.ts';
import { bookings, constant, post, register, serve, startServing, temporaryStores, until } from './fixture.ts';
import { recordsOf } from './log-records.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let serving: Awaited<ReturnType<typeof startServing>>;
let slowGraph: OddGraph;

beforeAll(async () => {
  slowGraph = await slow();
});
beforeEach(async () => {
  temporary = await temporaryStores();
  stores = temporary.stores;
});
afterEach(async () => {
  await serving?.stop();
  await temporary.remove();
});

const DEADLINE_MS = 1_500;
const LATER = '2100-01-01T00:00:00.000Z';
const canary = (weight: number, version = 2) => ({ version, weight, salt: 's', until: LATER });

/** Version 1 answers x; version 2 is the graph given, in the place that the serving says. */
async function begin(challenger: OddGraph, more: Partial<Serving>, options: Parameters<typeof startServing>[1] = {}) {
  // Generous, because other tests take the processor at times.
  const terms = { unitPii: false, entityPii: false, allowEventTime: false, deadlineMs: DEADLINE_MS };
  await registerOdd(stores, 'odd', echoing(challenger), { serving: terms });
  await registerOdd(stores, 'odd', challenger);
  await serve(stores, 'odd', { champion: 1, ...more });
  serving = await startServing(stores, options);
  await until(() => serving.status().challengers.every(({ loaded }) => loaded), 30_000);
}

/** The champion has the challenger's inputs, and never fails. */
function echoing(like: OddGraph): OddGraph {
  const { bytes } = sometimesNaN(1e-15);
  return { ...like, bytes };
}

const ask = async (body: object, headers?: Record<string, string>) => {
  const response = await post(serving.app, '/predict', body, headers);
  return {
    status: response.status,
    assigned: response.headers.get('x-gauntlet-assigned'),
    version: response.headers.get('x-gauntlet-version'),
    body: (await response.json()) as Record<string, unknown>,
  };
};

async function answers(): Promise<Answer[]> {
  await serving.predictionLog.flush();
  return (await recordsOf(stores.bucket)).filter((record): record is Answer => record.kind === 'answer');
}

describe('a canary', () => {
  it('answers the units that the split gives it, and each answer says who was assigned and who answered', async () => {
    await begin(sometimesNaN(1e-15), { canary: canary(0.3) });
    for (let i = 0; i < 100; i++) {
      const id = `r-${i}`;
      const expected = bucketOf('s', id) < 0.3 ? 'canary' : 'champion';
      const answer = await ask({ x: i + 0.5 }, { 'x-request-id': id });
      expect(answer).toMatchObject({ status: 200, assigned: expected, version: expected === 'canary' ? '2' : '1' });
      expect(answer.body).toMatchObject({ prediction: i + 0.5, version: Number(answer.version) });
    }
    for (const record of await answers()) {
      const isCanary = record.assigned === 'canary';
      expect(record).toMatchObject({
        unit: record.requestId,
        assignedVersion: isCanary ? 2 : 1,
        version: isCanary ? 2 : 1,
        reason: record.assigned,
        propensity: isCanary ? 0.3 : 0.7,
      });
    }
  });

  it.each([
    ['throws', () => throws(), { x: 1, throw: 1 }, 'threw'],
    ['is late', () => slowGraph, { x: 1, ms: 5_000 }, 'late'],
    ['gives NaN', () => sometimesNaN(0.01), { x: 100 }, 'not-finite'],
  ] as const)(
    'that %s is answered by the champion in the same request, and charged with it',
    async (_, graph, row, why) => {
      await begin(graph(), { canary: canary(1) });
      expect(await ask({ x: row.x + 0.5 })).toMatchObject({ status: 200, assigned: 'canary', version: '2' });
      const answer = await ask(row);
      expect(answer).toMatchObject({
        status: 200,
        assigned: 'canary',
        version: '1',
        body: { prediction: row.x, version: 1 },
      });
      const charged = (await answers()).filter(({ failed }) => failed);
      expect(charged).toEqual([
        expect.objectContaining({
          assigned: 'canary',
          assignedVersion: 2,
          version: 1,
          reason: 'canary-failed',
          failed: { version: 2, why, detail: expect.any(String) },
        }),
      ]);
    },
  );

  it('that keeps failing is not asked any more, until it answers again', async () => {
    let now = Date.now();
    await begin(throws(), { canary: canary(1) }, { now: () => now });
    for (let i = 0; i < 5; i++) expect(await ask({ x: i + 1, throw: 1 })).toMatchObject({ status: 200, version: '1' });
    await ask({ x: 5 });
    expect(serving.status().challengers).toMatchObject([{ breaker: 'open' }]);
    expect(await (await serving.app.request('/metrics')).text()).toContain(
      'gauntlet_breaker_open{model="odd",version="2"} 1',
    );
    now += 10_000;
    expect(await ask({ x: 6 })).toMatchObject({ version: '2' });
    expect(serving.status().challengers).toMatchObject([{ breaker: 'closed' }]);
    expect((await answers()).map(({ reason }) => reason)).toEqual([
      ...Array.from({ length: 5 }, () => 'canary-failed'),
      'breaker-open',
      'canary',
    ]);
  });

  it('that cannot be loaded takes nothing from anybody, and is told by /ready, /metrics and its records', async () => {
    await registerOdd(stores, 'odd', sometimesNaN(0.01));
    const bad = await registerOdd(stores, 'odd', throws());
    await serve(stores, 'odd', { champion: 1, canary: canary(1) });
    await stores.bucket.remove(`objects/${bad.onnx.sha256}`);
    serving = await startServing(stores);
    await until(() => serving.status().challengers.some(({ because }) => because !== undefined));
    expect(await ask({ x: 1.5 })).toMatchObject({ status: 200, assigned: 'canary', version: '1' });
    expect(serving.ready()).toMatchObject({
      ready: true,
      because: expect.stringContaining('odd version 2 (canary) could not be loaded'),
    });
    expect(await (await serving.app.request('/metrics')).text()).toContain(
      'gauntlet_load_failed{model="odd",version="2"} 1',
    );
    expect((await answers())[0]).toMatchObject({ reason: 'canary-failed', failed: { why: 'threw' } });
  });

  it('past its until gets nothing', async () => {
    let now = Date.parse(LATER) - 1_000;
    await begin(sometimesNaN(0.01), { canary: canary(1) }, { now: () => now });
    expect(await ask({ x: 1.5 })).toMatchObject({ version: '2' });
    now += 1_000;
    expect(await ask({ x: 1.5 })).toMatchObject({ assigned: 'champion', version: '1' });
    await until(() => serving.status().challengers.length === 0);
  });

  it('that is taken away while it scores costs nobody an answer', async () => {
    await begin(slowGraph, { canary: canary(1) });
    const asked = ask({ x: 1, ms: 500 });
    await serve(stores, 'odd', { champion: 1 });
    await until(() => serving.status().challengers.length === 0);
    expect(await asked).toMatchObject({ status: 200, assigned: 'canary', body: { prediction: 1 } });
  });

  it('takes its rows of a batch, row by row where a unit is named, and the answer says which', async () => {
    const terms = { unit: 'user', unitPii: false, entityPii: false, allowEventTime: false };
    await register(stores, 'odd', constant(1), { serving: terms });
    await register(stores, 'odd', constant(2), { serving: terms });
    await serve(stores, 'odd', { champion: 1, canary: canary(0.5) });
    serving = await startServing(stores);
    await until(() => serving.status().challengers.every(({ loaded }) => loaded), 30_000);
    const rows = Array.from({ length: 40 }, (_, i) => ({ x: 1, user: `u${i}` }));
    const { status, assigned, body } = await ask({ rows });
    expect({ status, assigned }).toEqual({ status: 200, assigned: 'mixed' });
    const { predictions, version } = body as {
      predictions: { prediction: number; version?: number }[];
      version: number;
    };
    predictions.forEach((one, i) => {
      const expected = bucketOf('s', `u${i}`) < 0.5 ? 2 : 1;
      expect(one).toMatchObject({ prediction: expected });
      expect(one.version ?? version).toBe(expected);
    });
    expect(new Set((await answers()).map(({ unit }) => unit)).size).toBe(40);
    expect(await ask({ x: 1 })).toMatchObject({ status: 422, body: { issues: [{ at: 'user' }] } });
  });

  it('never gives a request more than its deadline', async () => {
    await begin(slowGraph, { canary: canary(1) });
    const from = performance.now();
    expect(await ask({ x: 1, ms: 3_000 }, { 'x-gauntlet-deadline-ms': '600' })).toMatchObject({
      status: 200,
      version: '1',
    });
    expect(performance.now() - from).toBeLessThan(DEADLINE_MS);
    expect(await ask({ x: 1 }, { 'x-gauntlet-deadline-ms': 'soon' })).toMatchObject({ status: 422 });
  });
});

describe('a canary under way', () => {
  it('costs nobody an answer when a rollback retires the champion meanwhile', async () => {
    await begin(slowGraph, { champion: 1, canary: canary(1) });
    await registerOdd(stores, 'odd', echoing(slowGraph));
    const asked = ask({ x: 1.5, ms: 60_000 });
    const n = await serve(stores, 'odd', { champion: 3 });
    await until(() => serving.status().models[0]?.serving?.revision === n);
    expect(serving.status().models[0]!.warm).toEqual([3]);
    expect(await asked).toMatchObject({ status: 200, assigned: 'canary', version: '1', body: { prediction: 1.5 } });
  });

  it('whose values were hashed under another key, or that is too large, is not loaded, and says so', async () => {
    const terms = { unitPii: true, unit: 'user', entityPii: false, allowEventTime: false };
    const pii = piiHasher('a key of more than sixteen bytes')!;
    await register(stores, 'odd', constant(1), { serving: { ...terms, piiKey: pii.fingerprint } });
    await register(stores, 'odd', constant(2), { serving: { ...terms, piiKey: '0'.repeat(16) } });
    const { onnx } = await register(stores, 'odd', bookings, { serving: { ...terms, piiKey: pii.fingerprint } });
    await serve(stores, 'odd', { champion: 1, canary: canary(1), shadows: [{ version: 3, until: LATER }] });
    serving = await startServing(stores, { pii, maxModelBytes: onnx.bytes - 1 });
    await until(() => serving.status().challengers.filter(({ because }) => because !== undefined).length === 2);
    const because = serving.status().challengers.map((one) => one.because);
    expect(because).toEqual([expect.stringContaining('another key'), expect.stringContaining('GAUNTLET_MAX_MODEL_MB')]);
    expect(await ask({ x: 1, user: 'ana' })).toMatchObject({ status: 200, version: '1' });
  });

  it('to which an input is personal that the champion keeps as it is, is refused in words', async () => {
    const pii = piiHasher('a key of more than sixteen bytes')!;
    const terms = { unitPii: false, entityPii: false, allowEventTime: false, deadlineMs: DEADLINE_MS };
    const personal = { ...bookings.graph.inputs, agent: { ...bookings.graph.inputs['agent']!, pii: true } };
    await register(stores, 'odd', bookings, { serving: terms });
    await register(stores, 'odd', bookings, {
      inputs: personal,
      serving: { ...terms, piiKey: pii.fingerprint },
      warmUpRows: [{ ...bookings.warmUpRows[0]!, agent: pii.hash('9') }],
    });
    await serve(stores, 'odd', { champion: 1, canary: canary(1) });
    serving = await startServing(stores, { pii });
    await until(() => serving.status().challengers.every(({ loaded }) => loaded), 30_000);
    expect(await ask(bookings.warmUpRows[0]!)).toMatchObject({ status: 200, version: '1' });
    expect((await answers())[0]!.failed!.detail).toContain('agent is personal to only one of version 2 and version 1');
  });
});

describe('a version asked for by name', () => {
  it('is given rows by its own inputs, whoever else is asked at the same time', async () => {
    await register(stores, 'odd', constant(1));
    await register(stores, 'odd', bookings);
    await serve(stores, 'odd', { champion: 1 });
    await serve(stores, 'odd', { champion: 2, previous: 1 });
    serving = await startServing(stores);
    await until(() => serving.status().models[0]!.warm.length === 2);
    const row = bookings.warmUpRows[0]!;
    const asked = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ask(row, i % 2 === 0 ? { 'x-gauntlet-force-version': '1' } : {})),
    );
    const even = asked.filter((_, i) => i % 2 === 0);
    expect(asked.filter((one) => !even.includes(one)).map(({ status }) => status)).toEqual(even.map(() => 200));
    for (const { status, body } of even) {
      expect({ status, type: body['type'] }).toEqual({ status: 500, type: 'urn:gauntlet:forced-version-failed' });
      expect(body['detail']).toContain('x is nothing');
    }
  });

  it('answers, outside all statistics; one that is not loaded is refused', async () => {
    await begin(sometimesNaN(0.01), { canary: canary(0.0001) });
    const force = (version: string) => ask({ x: 1.5 }, { 'x-gauntlet-force-version': version });
    expect(await force('2')).toMatchObject({ status: 200, assigned: 'forced', version: '2' });
    expect(await force('1')).toMatchObject({ status: 200, assigned: 'forced', version: '1' });
    expect(await force('9')).toMatchObject({ status: 409, body: { detail: expect.stringContaining('1, 2') } });
    expect(await force('new')).toMatchObject({ status: 422 });
    expect((await answers()).map(({ assigned, propensity }) => [assigned, propensity])).toEqual([
      ['forced', 0],
      ['forced', 0],
    ]);
  });

  it('falls back on nobody', async () => {
    await begin(throws(), { canary: canary(0.0001) });
    const answer = await ask({ x: 1, throw: 1 }, { 'x-gauntlet-force-version': '2' });
    expect(answer).toMatchObject({ status: 500, body: { type: 'urn:gauntlet:forced-version-failed' } });
  });
});

describe('a shadow', () => {
  it('scores the same rows after the answer; its scores and failures are in the log', async () => {
    await begin(sometimesNaN(0.01), { shadows: [{ version: 2, until: LATER }] });
    await ask({ x: 1.5, id: 'e-1' });
    await ask({ rows: [{ x: 100 }, { x: 2.5 }] });
    let scores: ShadowScore[] = [];
    for (const end = performance.now() + 20_000; scores.length < 3 && performance.now() < end;) {
      await serving.predictionLog.flush();
      scores = (await recordsOf(stores.bucket)).filter((record): record is ShadowScore => record.kind === 'shadow');
    }
    const byRequest = (record: LogRecord) => ('requestId' in record ? record.requestId : undefined);
    expect(scores).toHaveLength(3);
    expect(scores[0]).toMatchObject({ version: 2, row: 0, entity: 'e-1', output: { scores: [1.5] } });
    expect(scores[1]).toMatchObject({ row: 0, failed: { version: 2, why: 'not-finite' } });
    expect(scores[2]).toMatchObject({ row: 1, output: { scores: [2.5], prediction: 2.5 } });
    const asked = (await recordsOf(stores.bucket)).filter(({ kind }) => kind === 'answer').map(byRequest);
    expect(new Set(scores.map(byRequest))).toEqual(new Set(asked));
  });
});

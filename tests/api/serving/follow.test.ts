import { rm, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Hono } from 'hono';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dispatch } from '../../../api/dispatch.ts';
import { listen } from '../../../api/listen.ts';
import { replicaChecks } from '../../../api/replica-checks.ts';
import type { Stores } from '../../../bucket/index.ts';
import { Problem, type Revision } from '../../../schemas/index.ts';
import {
  bookings,
  constant,
  post,
  register,
  replicaOf,
  serve,
  startServing,
  temporaryStores,
  until,
} from './fixture.ts';

interface Answer {
  prediction: number;
  version: number;
  revision: number;
}

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let started: { stop(): Promise<void> }[];

beforeEach(async () => {
  temporary = await temporaryStores();
  stores = temporary.stores;
  started = [];
});
afterEach(async () => {
  for (const serving of started) await serving.stop();
  await temporary.remove();
});

const start = async (...options: Parameters<typeof startServing>) => {
  const serving = await startServing(...options);
  started.push(serving);
  return serving;
};
type Serving = Awaited<ReturnType<typeof start>>;

const ask = async ({ app }: Serving): Promise<Answer> =>
  (await (await post(app, '/predict', { x: 1 })).json()) as Answer;
const readyOf = async ({ app }: Serving) => {
  const response = await app.request('/ready');
  return { status: response.status, body: (await response.json()) as { ready: boolean; because: string } };
};
/** Versions 1 to n of `prices`; version k answers k. */
const registerPrices = async (n: number) => {
  for (let k = 1; k <= n; k++) await register(stores, 'prices', constant(k));
};
const damage = async (model: string, n: number) => {
  const { onnx } = (await stores.versions.read(model, n))!;
  const path = join(temporary.folder, 'bucket', 'objects', onnx.sha256);
  const whole = await readFile(path);
  await rm(path);
  await writeFile(path, whole.subarray(0, whole.length - 1));
  return async () => {
    await rm(path);
    await writeFile(path, whole);
  };
};

describe('before anything is promoted', () => {
  it('/health says alive, /ready says in words what is missing, and a prediction is a 503', async () => {
    const serving = await start(stores);
    expect((await serving.app.request('/health')).status).toBe(200);
    expect(await readyOf(serving)).toMatchObject({
      status: 503,
      body: { ready: false, because: expect.stringContaining('nothing has been promoted yet') },
    });
    const response = await post(serving.app, '/predict', { x: 1 });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(Problem.parse(await response.json()).detail).toContain('nothing has been promoted yet');
  });

  it('the first revision makes it ready', async () => {
    const serving = await start(stores);
    await registerPrices(1);
    await serve(stores, 'prices', { champion: 1 });
    await until(() => serving.ready().ready);
    expect(await readyOf(serving)).toMatchObject({ status: 200 });
    expect(await ask(serving)).toMatchObject({ prediction: 1, version: 1, revision: 1 });
  });
});

describe('a revision', () => {
  it(
    'is followed by two replicas within 1.5 s, p95 over 20 of them, asking once a second',
    { timeout: 90_000 },
    async () => {
      await registerPrices(3);
      await serve(stores, 'prices', { champion: 1 });
      const replicas = [
        await start(stores, { pollMs: 1000 }),
        await start(await replicaOf(temporary.folder, 'home-2'), { pollMs: 1000 }),
      ];
      const delaysMs: number[] = [];
      for (let k = 0; k < 50; k++) {
        // Spread over the poll's period, as people's commands are.
        await new Promise((resolve) => setTimeout(resolve, (k * 379) % 1000));
        const champion = 1 + ((k + 1) % 3);
        const n = await serve(stores, 'prices', { champion, previous: 1 + (k % 3) });
        const committed = performance.now();
        await Promise.all(
          replicas.map(async (replica) => {
            await until(() => replica.status().models[0]?.serving?.revision === n);
            delaysMs.push(performance.now() - committed);
            expect(await ask(replica)).toMatchObject({ prediction: champion, version: champion, revision: n });
          }),
        );
      }
      delaysMs.sort((a, b) => a - b);
      const p95 = delaysMs[Math.ceil(delaysMs.length * 0.95) - 1]!;
      console.log(
        `revision followed: p50 ${delaysMs[delaysMs.length / 2]!.toFixed(0)} ms, p95 ${p95.toFixed(0)} ms, worst ${delaysMs.at(-1)!.toFixed(0)} ms (20 revisions, 2 replicas)`,
      );
      expect(p95).toBeLessThanOrEqual(1500);
    },
  );

  it('that changes only the holder changes the revision of the answers and loads nothing', async () => {
    await registerPrices(1);
    await serve(stores, 'prices', { champion: 1 });
    const serving = await start(stores);
    const n = await serve(stores, 'prices', { champion: 1, holder: 'rollout-prices/r1' });
    await until(() => serving.status().revision === n && serving.status().models[0]?.serving?.revision === n);
    expect(await ask(serving)).toMatchObject({ version: 1, revision: n });
    expect(serving.lines.filter(({ msg }) => msg === 'version loaded and warm')).toHaveLength(1);
  });

  it('keeps the version before warm, and lets older ones leave', async () => {
    await registerPrices(3);
    await serve(stores, 'prices', { champion: 1 });
    const serving = await start(stores);
    await serve(stores, 'prices', { champion: 2, previous: 1 });
    const n = await serve(stores, 'prices', { champion: 3, previous: 2 });
    await until(
      () => serving.status().models[0]?.serving?.revision === n && serving.status().models[0]?.warm.length === 2,
    );
    expect(serving.status().models[0]?.warm).toEqual([2, 3]);
  });

  it('without a champion takes the model away', async () => {
    await registerPrices(1);
    await serve(stores, 'prices', { champion: 1 });
    const serving = await start(stores);
    await serve(stores, 'prices', {});
    await until(() => serving.status().models.length === 0);
    expect((await post(serving.app, '/v1/models/prices/predict', { x: 1 })).status).toBe(404);
  });

  it('while eight clients ask without a pause never mixes the label of one version with the output of another', async () => {
    await registerPrices(4);
    await serve(stores, 'prices', { champion: 1 });
    const serving = await start(stores, { pollMs: 1 });
    const seen = new Set<number>();
    let asking = true;
    const failures: unknown[] = [];
    const o = { host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) };
    const listening = await listen(dispatch(serving, new Hono()), o);
    const rows = { rows: [{ x: 1 }, { x: 2 }] };
    // Half of them over connections, straight from node's server; half by the app.
    const overHttp = () =>
      fetch(`http://127.0.0.1:${listening.port}/predict`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(rows),
      });
    const client = async (_: unknown, i: number) => {
      while (asking) {
        const response = await (i % 2 === 0 ? overHttp() : post(serving.app, '/predict', rows));
        const answer = (await response.json()) as Answer & { predictions: { prediction: number }[] };
        const outputs = answer.predictions?.map(({ prediction }) => prediction);
        const label = response.headers.get('x-gauntlet-version');
        if (
          response.status !== 200 ||
          String(answer.version) !== label ||
          outputs.some((output) => output !== answer.version)
        )
          failures.push(answer);
        // A refusal waits for nothing, so going on after one would leave the follower no turn.
        if (failures.length > 0) return;
        seen.add(answer.version);
      }
    };
    const clients = Array.from({ length: 8 }, client);
    try {
      for (let k = 0; k < 50; k++) {
        const champion = 1 + ((k + 1) % 4);
        const n = await serve(stores, 'prices', { champion, previous: 1 + (k % 4) });
        await until(() => serving.status().models[0]?.serving?.revision === n);
      }
    } finally {
      asking = false;
      await Promise.all(clients);
      await listening.close();
    }
    expect(failures).toEqual([]);
    expect(seen).toEqual(new Set([1, 2, 3, 4]));
  });
});

describe('a cold replica', () => {
  it('starts from the last table and the entries after it, ready when start ends', async () => {
    await registerPrices(2);
    await register(stores, 'bookings', bookings);
    await serve(stores, 'bookings', { champion: 1 });
    for (let n = 2; n <= 260; n++) await serve(stores, 'prices', { champion: 1 + (n % 2), previous: 2 - (n % 2) });
    const cold = await replicaOf(temporary.folder, 'home-cold');
    const read: string[] = [];
    const bucket = cold.serving.bucket;
    const whole = bucket.read.bind(bucket);
    bucket.read = (key, range) => {
      read.push(key);
      return whole(key, range);
    };
    const serving = await start(cold, { pollMs: 1000 });
    expect(serving.ready().ready).toBe(true);
    expect(serving.status()).toMatchObject({
      revision: 260,
      models: [{ model: 'bookings' }, { model: 'prices', revision: 260 }],
    });
    const entries = read.filter((key) => key.startsWith('serving/'));
    expect(read.some((key) => key.startsWith('serving-tables/'))).toBe(true);
    expect(entries.length).toBeLessThan(10);
  });

  it('is ready when every served model was tried: one that cannot be loaded does not take the others away', async () => {
    await registerPrices(1);
    await register(stores, 'bookings', bookings);
    await serve(stores, 'bookings', { champion: 1 });
    await serve(stores, 'prices', { champion: 1 });
    const repair = await damage('prices', 1);
    const serving = await start(stores);
    const { status, body } = await readyOf(serving);
    expect(status).toBe(200);
    expect(body.because).toMatch(/prices version 1 could not be loaded: .*damaged/);
    const refused = await post(serving.app, '/v1/models/prices/predict', { x: 1 });
    expect(refused.status).toBe(503);
    expect(Problem.parse(await refused.json()).detail).toContain('prices version 1 could not be loaded');
    expect((await post(serving.app, '/v1/models/bookings/predict', bookings.warmUpRows[0])).status).toBe(200);
    await repair();
    await until(() => serving.status().models.every(({ serving: loaded }) => loaded));
    expect((await readyOf(serving)).body.because).toBe('every served model is loaded and warm');
  });

  it('does not load a version that is too large: the old one goes on, and /ready, /metrics and the replica say so', async () => {
    await registerPrices(1);
    const { onnx } = await register(stores, 'prices', bookings);
    await serve(stores, 'prices', { champion: 1 });
    const serving = await start(stores, { maxModelBytes: onnx.bytes - 1 });
    await serve(stores, 'prices', { champion: 2, previous: 1 });
    await until(() => serving.status().models[0]!.failures.length > 0);
    const { status, body } = await readyOf(serving);
    expect(status).toBe(200);
    expect(body.because).toMatch(
      /prices version 2 could not be loaded \(version 1 goes on serving\): .*GAUNTLET_MAX_MODEL_MB/,
    );
    expect((await post(serving.app, '/predict', { x: 1 })).headers.get('x-gauntlet-version')).toBe('1');
    expect(await (await serving.app.request('/metrics')).text()).toContain(
      'gauntlet_load_failed{model="prices",version="2"} 1',
    );
    expect(replicaChecks(serving.status(), serving.predictionLog.lag())).toMatchObject([
      { check: 'replica prices', says: 'fail', found: expect.stringContaining('version 1 goes on serving') },
    ]);
  });

  it('is not ready when the only model cannot be loaded', async () => {
    await registerPrices(1);
    await serve(stores, 'prices', { champion: 1 });
    const repair = await damage('prices', 1);
    const serving = await start(stores);
    expect(await readyOf(serving)).toMatchObject({ status: 503 });
    await repair();
    await until(() => serving.ready().ready);
  });

  it('of a bucket that cannot be read starts, says so once, and comes up when it can', async () => {
    await registerPrices(1);
    await serve(stores, 'prices', { champion: 1 });
    const cold = await replicaOf(temporary.folder, 'home-cold');
    const bucket = cold.serving.bucket;
    const whole = bucket.read.bind(bucket);
    bucket.read = () => Promise.reject(new Error('connection refused'));
    const serving = await start(cold, { pollMs: 2 });
    expect((await serving.app.request('/health')).status).toBe(200);
    expect(await readyOf(serving)).toMatchObject({
      status: 503,
      body: { because: expect.stringContaining('connection refused') },
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(serving.lines.filter(({ msg }) => String(msg).startsWith('the serving log cannot be read'))).toHaveLength(1);
    bucket.read = whole;
    await until(() => serving.ready().ready);
    expect(serving.lines.filter(({ msg }) => msg === 'the serving log can be read again')).toHaveLength(1);
    expect(await ask(serving)).toMatchObject({ prediction: 1 });
  });
});

describe('a version that cannot be loaded', () => {
  it('leaves the old one serving, is told by /ready and logged once, and serves when it is whole again', async () => {
    await registerPrices(2);
    const first = await serve(stores, 'prices', { champion: 1 });
    const serving = await start(stores);
    const repair = await damage('prices', 2);
    const second = await serve(stores, 'prices', { champion: 2, previous: 1 });
    await until(() => (serving.status().models[0]?.failures[0]?.attempts ?? 0) >= 3);
    expect(await ask(serving)).toMatchObject({ prediction: 1, version: 1, revision: first });
    const { status, body } = await readyOf(serving);
    expect(status).toBe(200);
    expect(body.because).toMatch(/prices version 2 could not be loaded \(version 1 goes on serving\): .*damaged/);
    expect(serving.lines.filter(({ msg }) => String(msg).startsWith('version could not be loaded'))).toHaveLength(1);
    await repair();
    await until(() => serving.status().models[0]?.serving?.revision === second);
    expect(await ask(serving)).toMatchObject({ prediction: 2, version: 2, revision: second });
    expect(serving.status().models[0]?.failures).toEqual([]);
  });

  it.each<[string, (stores: Stores) => Promise<unknown>, RegExp]>([
    ['has no record', async () => undefined, /no version 2/],
    [
      'has warm-up rows that do not fit',
      (stores) => register(stores, 'prices', { ...constant(2), warmUpRows: [{ y: 1 }] }),
      /warm-up rows .* do not fit/,
    ],
    [
      'fails on all its warm-up rows',
      (stores) =>
        register(stores, 'prices', {
          ...constant(2),
          model: { kind: 'linear', task: 'regression', outputs: 1, intercepts: [0], coefficients: [3e38] },
          warmUpRows: [{ x: 9 }],
        }),
      /fails on every one/,
    ],
    [
      'gives another number of scores than it has classes',
      (stores) => register(stores, 'prices', constant(2), { task: 'multiclass', classes: ['a', 'b'] }),
      /1 scores a row/,
    ],
  ])('because it %s is explained', async (_, make, because) => {
    await registerPrices(1);
    await serve(stores, 'prices', { champion: 1 });
    const serving = await start(stores);
    await make(stores);
    await serve(stores, 'prices', { champion: 2, previous: 1 });
    await until(() => serving.status().models[0]?.failures.length === 1);
    expect(serving.status().models[0]?.failures[0]?.because).toMatch(because);
    expect(await ask(serving)).toMatchObject({ prediction: 1, version: 1 });
  });
});

describe('stop', () => {
  it('ends after the requests under way, and follows nothing afterwards', async () => {
    await registerPrices(2);
    await serve(stores, 'prices', { champion: 1 });
    const serving = await startServing(stores);
    const underWay = Array.from({ length: 20 }, () => ask(serving));
    await serving.stop();
    for (const answer of await Promise.all(underWay)) expect([1, undefined]).toContain(answer.prediction);
    const asked: number[] = [];
    const next = stores.serving.next.bind(stores.serving);
    stores.serving.next = (n: number): Promise<Revision | undefined> => {
      asked.push(n);
      return next(n);
    };
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(asked).toEqual([]);
  });
});

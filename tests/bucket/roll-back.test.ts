import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { openStores, rollBack, ServingLog, type Stores } from '../../bucket/index.ts';
import type { Cause, Serving } from '../../schemas/index.ts';
import { version } from './examples.ts';

let root: string;
let stores: Stores;
let folders = 0;
let steps = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gauntlet-roll-back-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(async () => {
  stores = await openStores({ bucket: `file:${root}/${folders++}`, home: root });
  for (const run of ['a', 'b', 'c']) await stores.versions.create(version(run));
});

const cause = (runId = `run ${++steps}`): Cause => ({ workflowId: 'rollback-churn', runId, step: 'rollBack' });
const serve = async (serving: Serving): Promise<number> => {
  const was = (await stores.serving.current('churn'))?.n ?? 0;
  const by = { workflowId: 'rollout-churn', runId: 'r1', step: `step ${++steps}` };
  const appended = await stores.serving.append({
    model: 'churn',
    was,
    serving,
    by: 'ana',
    because: 'a test',
    cause: by,
  });
  if (!appended.ok) throw new Error(appended.why);
  return appended.n;
};
const back = (to?: number, by: Cause = cause()) => rollBack(stores.serving, 'churn', to, 'ana', 'more complaints', by);
const now = async () => (await stores.serving.current('churn'))!;

it('serves the version that served before, and does not remember the one that it left', async () => {
  await serve({ champion: 1, shadows: [] });
  await serve({ champion: 2, previous: 1, shadows: [] });
  expect(await back()).toEqual({ revision: 3, model: 'churn', from: 2, to: 1 });
  expect(await now()).toMatchObject({ was: 2, by: 'ana', because: 'more complaints' });
  expect((await now()).serving).toEqual({ champion: 1, shadows: [] });
});

it('again goes further back, and then is refused: never to a version that was rolled back', async () => {
  await serve({ champion: 1, shadows: [] });
  await serve({ champion: 2, previous: 1, shadows: [] });
  await serve({ champion: 3, previous: 2, shadows: [] });
  expect(await back()).toMatchObject({ from: 3, to: 2 });
  expect((await now()).serving).toEqual({ champion: 2, previous: 1, shadows: [] });
  expect(await back()).toMatchObject({ from: 2, to: 1 });
  expect((await now()).serving).toEqual({ champion: 1, shadows: [] });
  await expect(back()).rejects.toMatchObject({
    type: 'NothingToRollBackTo',
    message: expect.stringContaining('gauntlet rollback churn --to 3 --reason'),
  });
  expect(await back(3)).toMatchObject({ from: 1, to: 3 });
  expect((await now()).serving).toEqual({ champion: 3, shadows: [] });
});

it('after a rollback and a new version goes back to what the new one replaced', async () => {
  await serve({ champion: 1, shadows: [] });
  await serve({ champion: 2, previous: 1, shadows: [] });
  await back();
  await serve({ champion: 3, previous: 1, shadows: [] });
  expect(await back()).toMatchObject({ from: 3, to: 1 });
  expect((await now()).serving).toEqual({ champion: 1, shadows: [] });
});

it('to a version that never served keeps what would have been restored', async () => {
  await serve({ champion: 1, shadows: [] });
  await serve({ champion: 2, previous: 1, shadows: [] });
  await back(3);
  expect((await now()).serving).toEqual({ champion: 3, previous: 1, shadows: [] });
});

it('a version that was rolled back and promoted again can be restored', async () => {
  await serve({ champion: 1, shadows: [] });
  await serve({ champion: 2, previous: 1, shadows: [] });
  await back();
  await serve({ champion: 2, previous: 1, shadows: [] });
  await serve({ champion: 3, previous: 2, shadows: [] });
  expect(await back()).toMatchObject({ from: 3, to: 2 });
  expect((await now()).serving).toEqual({ champion: 2, previous: 1, shadows: [] });
});

const until = '2026-12-01T00:00:00.000Z';
const canary = { version: 3, weight: 0.05, salt: 's', until };
const holder = 'rollout-churn/r1';

it.each([
  ['a canary', { canary, shadows: [], holder }],
  ['a shadow', { shadows: [{ version: 3, until }], holder }],
  ['a question to people', { shadows: [], holder }],
  ['what a rollout that is gone left routed', { canary, shadows: [] }],
])(
  'takes back %s first: the champion serves everybody, and a second one goes to the version before',
  async (_, beside) => {
    await serve({ champion: 1, shadows: [] });
    await serve({ champion: 2, previous: 1, shadows: [] });
    await serve({ champion: 2, previous: 1, ...beside });
    expect(await back()).toEqual({ revision: 4, model: 'churn', from: 2, to: 2 });
    expect((await now()).serving).toEqual({ champion: 2, previous: 1, shadows: [] });
    expect(await back()).toMatchObject({ from: 2, to: 1 });
    expect((await now()).serving).toEqual({ champion: 1, shadows: [] });
  },
);

it('takes back a canary of a model that has no version before, and then suggests anything but that one', async () => {
  await serve({ champion: 1, shadows: [] });
  await serve({ champion: 1, canary, shadows: [], holder });
  expect(await back()).toMatchObject({ from: 1, to: 1 });
  await expect(back()).rejects.toMatchObject({
    type: 'NothingToRollBackTo',
    message: expect.stringMatching(/\(it also has 2\): gauntlet rollback churn --to 2 --reason/) as string,
  });
  await serve({ champion: 1, shadows: [{ version: 2, until }] });
  await back();
  await expect(back()).rejects.toMatchObject({
    message: expect.stringMatching(/Its other versions \(2, 3\) were only tried out beside it: .*--to <n>/) as string,
  });
});

it.each([
  ['that went through a canary', [{ champion: 2, previous: 1, canary, shadows: [], holder }]],
  ['that began with it', []],
])('in a bake %s serves the version before: the champion is what the rollout brought', async (_, before) => {
  await serve({ champion: 1, shadows: [] });
  await serve({ champion: 2, previous: 1, shadows: [] });
  for (const serving of before) await serve(serving);
  await serve({ champion: 3, previous: 2, shadows: [], holder });
  await serve({ champion: 3, previous: 2, shadows: [], holder });
  expect(await back()).toMatchObject({ from: 3, to: 2 });
  expect((await now()).serving).toEqual({ champion: 2, previous: 1, shadows: [] });
});

it('to a version by name clears canary, shadows and holder, and asks no holder', async () => {
  await serve({ champion: 2, previous: 1, canary, shadows: [{ version: 3, until }], holder });
  await back(1);
  expect((await now()).serving).toEqual({ champion: 1, shadows: [] });
});

it('reads a few entries, however many the rollout that it takes back has written', async () => {
  const lasts = (i: number) => new Date(Date.parse(until) + i).toISOString();
  for (let i = 0; i < 40; i++)
    await serve({ champion: 2, previous: 1, shadows: [{ version: 3, until: lasts(i) }], holder });
  const { bucket } = stores;
  let reads = 0;
  const log = new ServingLog({
    create: (key, body) => bucket.create(key, body),
    list: (prefix, after) => bucket.list(prefix, after),
    remove: (key) => bucket.remove(key),
    read: (key, range) => {
      if (key.startsWith('serving/')) reads++;
      return bucket.read(key, range);
    },
  });
  await log.table();
  reads = 0;
  expect(await rollBack(log, 'churn', undefined, 'ana', 'x', cause())).toMatchObject({ from: 2, to: 2 });
  expect(reads).toBeLessThanOrEqual(15);
});

it('to the champion itself ends a canary and keeps the version before', async () => {
  await serve({ champion: 2, previous: 1, canary, shadows: [], holder });
  expect(await back(2)).toEqual({ revision: 2, model: 'churn', from: 2, to: 2 });
  expect((await now()).serving).toEqual({ champion: 2, previous: 1, shadows: [] });
});

it('to what is served alone already writes nothing', async () => {
  const n = await serve({ champion: 2, previous: 1, shadows: [] });
  expect(await back(2)).toEqual({ revision: n, model: 'churn', from: 2, to: 2 });
  expect((await now()).n).toBe(n);
});

it('repeated by the same cause is the same revision, also after others', async () => {
  await serve({ champion: 2, previous: 1, shadows: [] });
  const same = cause();
  const first = await back(undefined, same);
  expect(await back(undefined, same)).toEqual(first);
  await serve({ champion: 3, previous: 1, shadows: [] });
  expect(await back(undefined, same)).toEqual(first);
  expect((await now()).serving.champion).toBe(3);
});

it('eight at once by the same cause are one revision', async () => {
  await serve({ champion: 2, previous: 1, shadows: [] });
  const same = cause();
  const results = await Promise.all(Array.from({ length: 8 }, () => back(1, same)));
  expect(new Set(results.map(({ revision }) => revision))).toEqual(new Set([2]));
  expect((await now()).n).toBe(2);
});

it('wins against a rollout that goes on writing', async () => {
  await serve({ champion: 1, shadows: [] });
  const rollout = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await serve({ champion: 2, previous: 1, shadows: [] }).catch(() => undefined);
  };
  const [result] = await Promise.all([back(3), rollout()]);
  expect(result.to).toBe(3);
  expect((await stores.serving.at(result.revision))?.serving.champion).toBe(3);
});

it('of a model that never served names the models that serve', async () => {
  await serve({ champion: 1, shadows: [] });
  await expect(rollBack(stores.serving, 'chrun', undefined, 'ana', 'why', cause())).rejects.toMatchObject({
    type: 'NeverServed',
    message: 'chrun has never served, so it cannot be rolled back. Did you mean churn? Models that serve: churn.',
  });
});

it('without a version that served before says how to name one', async () => {
  await serve({ champion: 1, shadows: [] });
  await expect(back()).rejects.toMatchObject({
    type: 'NothingToRollBackTo',
    message: expect.stringContaining('gauntlet rollback churn --to 3 --reason'),
  });
});

it('to a version that is not there names those that are, and changes nothing', async () => {
  const n = await serve({ champion: 1, shadows: [] });
  await expect(back(7)).rejects.toMatchObject({
    type: 'NoSuchVersion',
    message: 'churn has no version 7. It has 1, 2, 3.',
  });
  expect((await now()).n).toBe(n);
});

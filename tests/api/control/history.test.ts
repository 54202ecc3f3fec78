import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createClient, type ApiProblem } from '../../../api/client.ts';
import { createControl } from '../../../api/control.ts';
import { openStores, revisionKey, type Stores } from '../../../bucket/index.ts';
import type { Serving } from '../../../schemas/index.ts';
import { MODEL, noTemporal, project, silent, version } from './records.ts';

let folder: string;
let stores: Stores;
let client: ReturnType<typeof createClient>;
let now: number;

const at = (time: string): string => `2026-11-${time}.000Z`;
const go = (time: string) => (now = Date.parse(at(time)));

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gauntlet-history-'));
  stores = await openStores({ bucket: `file:${join(folder, 'bucket')}`, home: folder, now: () => now });
  const app = createControl({ stores, temporal: noTemporal, log: silent, now: () => new Date(now) });
  client = createClient('http://gauntlet.test', { fetch: async (input, init) => app.request(input, init) });
  go('01T00:00:00');
  await stores.projects.create(project());
  for (let n = 1; n <= 3; n++)
    await stores.versions.create({ ...version(), cause: { workflowId: 'train', runId: `r${n}`, step: 'register' } });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

let steps = 0;
async function serve(serving: Partial<Serving>, because: string, model = MODEL): Promise<number> {
  const was = (await stores.serving.current(model))?.n ?? 0;
  const cause = { workflowId: `rollout-${model}`, runId: 'run', step: String(steps++) };
  const appended = await stores.serving.append({
    model,
    was,
    serving: { shadows: [], ...serving },
    by: 'ana',
    because,
    cause,
  });
  if (!appended.ok) throw new Error(appended.why);
  return appended.n;
}

/** Served, tried as a canary beside another model's life, promoted, and rolled back. */
async function life(): Promise<void> {
  go('01T10:00:00');
  await serve({ champion: 1 }, 'it is the first');
  await serve({ champion: 1 }, 'another model', 'other');
  go('02T10:00:00');
  await serve(
    {
      champion: 1,
      canary: { version: 2, weight: 0.05, salt: 's', until: at('02T22:00:00') },
      shadows: [{ version: 3, until: at('04T00:00:00') }],
    },
    'stage 1 of 2',
  );
  go('03T10:00:00');
  await serve({ champion: 2, previous: 1 }, 'it passed');
  go('04T10:00:00');
  await client.rollback(MODEL, { reason: 'it refuses groups', by: 'ben' });
  go('05T10:00:00');
}

it('is each entry of the model, newest first, with who, why and until when', async () => {
  await life();
  const { entries, more, at: asOf } = await client.history(MODEL);
  expect({ more, asOf }).toEqual({ more: false, asOf: at('05T10:00:00') });
  expect(
    entries.map(({ revision, champion, previous, by, because }) => [revision, champion, previous, by, because]),
  ).toEqual([
    [5, 1, undefined, 'ben', 'it refuses groups'],
    [4, 2, 1, 'ana', 'it passed'],
    [3, 1, undefined, 'ana', 'stage 1 of 2'],
    [1, 1, undefined, 'ana', 'it is the first'],
  ]);
  expect(entries[0]!.cause).toMatchObject({ workflowId: 'rollback' });
  expect(entries[0]!.replacedAt).toBeUndefined();
  expect(entries[2]).toMatchObject({
    committedAt: at('02T10:00:00'),
    replacedAt: at('03T10:00:00'),
    canary: { version: 2, weight: 0.05, until: at('02T22:00:00') },
    shadows: [{ version: 3, until: at('04T00:00:00') }],
  });
});

it.each([
  [
    '01T10:00:00',
    1,
    `version 1 of ${MODEL} served everybody (revision 1 of ${at('01T10:00:00')}, by ana: it is the first).`,
  ],
  ['02T09:59:59', 1, `version 1 of ${MODEL} served everybody (revision 1 `],
  [
    '02T10:00:00',
    3,
    `version 1 of ${MODEL} served; version 2 was a canary with 5 % of the units, until ${at('02T22:00:00')}; version 3 was a shadow, until ${at('04T00:00:00')} (revision 3 `,
  ],
  [
    '02T22:00:00',
    3,
    `version 1 of ${MODEL} served everybody; the time of version 2 as a canary had ended at ${at('02T22:00:00')}, so it got nothing; version 3 was a shadow`,
  ],
  ['03T12:00:00', 4, `version 2 of ${MODEL} served everybody (revision 4 `],
  [
    '04T10:00:01',
    5,
    `version 1 of ${MODEL} served everybody (revision 5 of ${at('04T10:00:00')}, by ben: it refuses groups).`,
  ],
])('at %s is revision %i, in words', async (time, revision, says) => {
  await life();
  const history = await client.history(MODEL, { at: at(time) });
  expect(history.entries[0]!.revision).toBe(revision);
  expect(history.says.startsWith(`At ${at(time)} ${says}`), history.says).toBe(true);
});

it('at a date is what served at its first moment, UTC', async () => {
  await life();
  expect(await client.history(MODEL, { at: '2026-11-03' })).toMatchObject({
    at: at('03T00:00:00'),
    entries: [{ revision: 3 }, { revision: 1 }],
  });
});

it('before the first is nothing, and says when the first was', async () => {
  await life();
  expect(await client.history(MODEL, { at: at('01T09:59:59') })).toMatchObject({
    says: `At ${at('01T09:59:59')} ${MODEL} served nothing yet: its first revision, 1, is of ${at('01T10:00:00')}.`,
    entries: [],
  });
});

it('of a model that never served says so', async () => {
  expect((await client.history(MODEL)).says).toContain('it has never served');
});

it('at a time that is yet to come is what serves now', async () => {
  await life();
  const { says, at: asOf } = await client.history(MODEL, { at: '2030-01-01' });
  expect(asOf).toBe(at('05T10:00:00'));
  expect(says).toMatch(/^2030-01-01T00:00:00.000Z is yet to come. At .* version 1 of .* served everybody/);
});

it('is as long as asked for, and says that there is more', async () => {
  await life();
  const { entries, more } = await client.history(MODEL, { limit: 2, at: at('04T00:00:00') });
  expect([entries.map(({ revision }) => revision), more]).toEqual([[4, 3], true]);
  expect((await client.history(MODEL, { limit: 3, at: at('04T00:00:00') })).more).toBe(false);
});

it('ends where an entry is lost or damaged, and says which', async () => {
  await life();
  await stores.bucket.remove(revisionKey(3));
  const lost = await client.history(MODEL);
  expect(lost.entries.map(({ revision }) => revision)).toEqual([5, 4]);
  expect(lost.gap).toContain(`${revisionKey(4)} follows ${revisionKey(3)}, which is not in the bucket`);
  expect((await client.history(MODEL, { at: at('02T12:00:00') })).says).toContain('cannot be told: ');

  writeFileSync(join(folder, 'bucket', revisionKey(3)), '{"n": 3');
  expect((await client.history(MODEL)).gap).toContain(`${revisionKey(3)} in the bucket cannot be read`);
});

it('names the field of a time that is none, and the nearest model', async () => {
  const refused = (asked: Promise<unknown>) =>
    asked.then(
      () => {
        throw new Error('it was answered');
      },
      (error: ApiProblem) => error.problem,
    );
  expect(await refused(client.history(MODEL, { at: 'yesterday' }))).toMatchObject({
    status: 422,
    issues: expect.arrayContaining([expect.objectContaining({ at: 'at' })]),
  });
  expect(await refused(client.history('hotel', {}))).toMatchObject({
    status: 404,
    detail: expect.stringContaining(`Did you mean ${MODEL}?`),
  });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient, type ApiProblem } from '../../../api/client.ts';
import { createControl } from '../../../api/control.ts';
import type { Stores } from '../../../bucket/index.ts';
import { ShadowStage, type Plan, type Problem } from '../../../schemas/index.ts';
import { fillLooks, write } from './looks.ts';
import { fill, MODEL, noTemporal, silent, temporaryStores } from './records.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let looks: Awaited<ReturnType<typeof fillLooks>>;
let client: ReturnType<typeof createClient>;

beforeEach(async () => {
  temporary = await temporaryStores();
  ({ stores } = temporary);
  await fill(stores);
  looks = await fillLooks(stores);
  const app = createControl({ stores, temporal: noTemporal, log: silent });
  client = createClient('http://gauntlet.test', { fetch: async (input, init) => app.request(input, init) });
});
afterEach(() => temporary.remove());

const refused = (asked: Promise<unknown>): Promise<Problem> =>
  asked.then(
    () => {
      throw new Error('it was answered');
    },
    (error: ApiProblem) => error.problem,
  );

describe('the list of looks', () => {
  it('is newest first, with kind, verdict, key and hash', async () => {
    const { looks: listed, next } = await client.looks(MODEL);
    expect(listed.map(({ kind }) => kind)).toEqual(['plan', 'canary', 'approval', 'shadow', 'plan', 'gate']);
    expect(next).toBeUndefined();
    expect(listed[3]).toMatchObject({
      key: looks.shadow.key,
      sha256: looks.shadow.sha256,
      verdict: looks.shadow.look.verdict,
      versions: [1, 2],
      rollout: { stage: 0 },
    });
  });

  it('is paged without a gap or a look twice, of one kind or of all', async () => {
    for (const kind of [undefined, 'plan'] as const) {
      const all = (await client.looks(MODEL, { kind })).looks.map(({ key }) => key);
      const paged: string[] = [];
      for (let before: string | undefined, more = true; more;) {
        const page = await client.looks(MODEL, { kind, before, limit: 1 });
        paged.push(...page.looks.map(({ key }) => key));
        before = page.next;
        more = before !== undefined;
      }
      expect(paged).toEqual(all);
    }
    expect((await client.looks(MODEL, { kind: 'bake' })).looks).toEqual([]);
  });
});

describe('one look', () => {
  it('is found by its key, by the last part of it, and by the beginning of its hash', async () => {
    const { key, sha256, look } = looks.shadow;
    for (const named of [key, '20261112T000000.000Z-shadow', sha256, sha256.slice(0, 8).toUpperCase()])
      expect(await client.look(MODEL, named)).toEqual({ key, sha256, look });
  });

  it('that is none is a 404 which says how looks are named', async () => {
    expect(await refused(client.look(MODEL, 'yesterday'))).toMatchObject({ status: 404 });
    expect(await refused(client.look(MODEL, '0123456789'))).toMatchObject({
      status: 404,
      detail: expect.stringContaining('gauntlet looks'),
    });
    expect(await refused(client.look('hotel', looks.gate.key))).toMatchObject({ status: 404 });
  });
});

describe('judging again', () => {
  it('by the pinned plan says the same, and writes nothing', async () => {
    const before = await keysOf(stores);
    for (const { key, look } of [looks.gate, looks.plan, looks.shadow, looks.approval, looks.canary])
      expect(await client.judge(MODEL, key)).toMatchObject({ same: true, was: { verdict: look.verdict } });
    expect(await keysOf(stores)).toEqual(before);
  });

  it('by another plan says what would have been said', async () => {
    expect(looks.shadow.look.verdict.says).toBe('pass');
    const plan = ShadowStage.parse({ kind: 'shadow', minimumEffect: 0.2 });
    const judged = await client.judge(MODEL, looks.shadow.sha256, { plan });
    expect(judged).toMatchObject({ same: false, was: { verdict: { says: 'pass' } }, plan: { minimumEffect: 0.2 } });
    expect(judged.now.verdict.says).not.toBe('pass');
    expect(judged.now.verdict.because).toContain('0.2');
  });

  it('what a plan does not name stays as it was pinned, and a schema’s default does not take its place', async () => {
    if (looks.shadow.look.plan.kind !== 'shadow') throw new Error(looks.shadow.look.plan.kind);
    const { stage } = looks.shadow.look.plan;
    const pinned: Plan = { ...looks.shadow.look.plan, stage: { ...stage, maxUnseen: 0.3, lookEvery: '2 days' } };
    const trial = await write(stores, 20, pinned, looks.shadow.look.evidence);
    const judged = await client.judge(MODEL, trial.key, { plan: { kind: 'shadow', alpha: 0.01 } });
    expect(judged.plan).toMatchObject({
      stage: { alpha: 0.01, maxUnseen: 0.3, worthFinding: 0.05, minimumEffect: 0.002, lookEvery: '2 days' },
    });
    const canary = await client.judge(MODEL, looks.canary.key, { plan: { kind: 'canary', minRequests: 7 } });
    expect(canary.plan).toMatchObject({ stage: { weight: 0.05, minRequests: 7 } });
    for (const [key, because] of [
      [looks.gate.key, 'a gate is judged by evaluation.gates'],
      [looks.shadow.key, 'shadow'],
    ] as const)
      expect(await refused(client.judge(MODEL, key, { plan: { kind: 'canary' } }))).toMatchObject({
        status: 422,
        detail: expect.stringContaining(because),
      });
  });

  it('by a plan under which other rows would count is refused in words', async () => {
    const plan = ShadowStage.parse({ kind: 'shadow', block: 'day' });
    expect(await refused(client.judge(MODEL, looks.shadow.key, { plan }))).toMatchObject({
      status: 422,
      detail: expect.stringContaining('counted with block week'),
    });
    expect(await refused(client.judge(MODEL, looks.shadow.key, { plan: { kind: 'dusk' } as never }))).toMatchObject({
      status: 422,
      type: 'urn:gauntlet:invalid',
    });
  });
});

it('history says kind and verdict of the look that a revision rests on', async () => {
  const was = (await stores.serving.current(MODEL))!.n;
  const cause = { workflowId: 'w', runId: 'r', step: 's' };
  const serving = { champion: 2, shadows: [] };
  const { key } = looks.approval;
  await stores.serving.append({ model: MODEL, was, serving, by: 'ana', because: 'approved', look: key, cause });
  const { entries } = await client.history(MODEL);
  expect(entries[0]).toMatchObject({ look: key, verdict: { kind: 'approval', says: 'pass' } });
  expect(entries[1]!.verdict).toBeUndefined();
});

async function keysOf({ bucket }: Stores): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of bucket.list('')) keys.push(key);
  return keys;
}

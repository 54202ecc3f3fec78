import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Context } from '../../../activities/context.ts';
import { createFinishRollout } from '../../../activities/rollout/finish.ts';
import { createPlanRollout, createServe } from '../../../activities/rollout/rollout.ts';
import { createRouteStage } from '../../../activities/rollout/route.ts';
import { openStores, rollBack, type Bucket, type Stores } from '../../../bucket/index.ts';
import { Stages, type OpenRollout } from '../../../schemas/index.ts';
import { writeModel } from '../../workflows/rollout-lab.ts';

const NOW = '2026-03-01T00:00:00.000Z';

let folder: string;
let stores: Stores;
let context: Context;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-route-'));
  stores = await openStores({ bucket: `file:${folder}/bucket`, home: folder });
  context = { stores, home: folder, build: { commit: '', dirty: false, node: '', packages: {} } };
  await writeModel(stores, 'churn');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = (runId: string, stages: object[] = [{ kind: 'canary', weight: 0.05 }, { kind: 'bake' }]): OpenRollout => ({
  model: 'churn',
  version: 2,
  champion: 1,
  stages: Stages.parse(stages),
  project: { n: 1, hash: '3'.repeat(64) },
  workflowId: 'rollout-churn',
  runId,
  by: 'ana',
  allowUnverified: false,
  was: 1,
});
const cause = (runId: string, step: string) => ({ workflowId: 'rollout-churn', runId, step });
const route = (rollout: OpenRollout, stage: number, with_: Context = context) =>
  createRouteStage(with_).routeStage(
    rollout,
    stage,
    { now: NOW, because: 'a test' },
    cause(rollout.runId, `stage-${stage}`),
  );
const finish = (rollout: OpenRollout, how: 'promoted' | 'undone', with_: Context = context) =>
  createFinishRollout(with_).finishRollout(rollout, { how, because: 'a test' }, cause(rollout.runId, how));
const serving = async () => (await stores.serving.current('churn'))!.serving;

describe('routing for a rollout', () => {
  it('is one entry however often it is repeated, and says when it was committed', async () => {
    const rollout = open('r1');
    const first = await route(rollout, 0);
    expect(await route(rollout, 0)).toEqual(first);
    expect(first).toMatchObject({ ok: true, revision: 2 });
    expect(await serving()).toEqual({
      champion: 1,
      canary: { version: 2, weight: 0.05, salt: 'r1', until: '2026-03-01T02:10:00.000Z' },
      shadows: [],
      holder: 'rollout-churn/r1',
    });
    const baked = await route(rollout, 1);
    expect(await route(rollout, 1)).toEqual(baked);
    expect(await finish(rollout, 'undone')).toMatchObject({ ok: true, revision: 4 });
    expect(await finish(rollout, 'undone')).toMatchObject({ ok: true, revision: 4 });
    expect(await serving()).toEqual({ champion: 1, shadows: [] });
  });

  it('of two that race for a model is one’s; the other is told that it was first', async () => {
    for (let round = 0; round < 20; round++) {
      const was = (await stores.serving.current('churn'))!.n;
      const both = ['a', 'b'].map((name) => ({ ...open(`${name}${round}`), was }));
      const answers = await Promise.all(both.map((rollout) => route(rollout, 0)));
      expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
      const winner = both[answers.findIndex(({ ok }) => ok)]!;
      expect(await serving()).toMatchObject({
        holder: `rollout-churn/${winner.runId}`,
        canary: { salt: winner.runId },
      });
      await finish(winner, 'undone');
    }
  });

  it('and a rollback that race leave what the rollback said, whoever was first', async () => {
    for (let round = 0; round < 20; round++) {
      const rollout = { ...open(`r${round}`), was: (await stores.serving.current('churn'))!.n };
      await route(rollout, 0);
      await route(rollout, 1);
      expect((await serving()).champion).toBe(2);
      const rolled = { workflowId: 'rollback', runId: `x${round}`, step: 'rollback' };
      const [finished] = await Promise.all([
        finish(rollout, 'promoted'),
        rollBack(stores.serving, 'churn', 1, 'cy', 'by hand', rolled),
      ]);
      expect(await serving()).toMatchObject({ champion: 1, shadows: [] });
      expect((await serving()).holder).toBeUndefined();
      expect(finished.ok ? 'by cy came first' : finished.because).toContain('by cy came first');
      expect(await route(rollout, 1)).toMatchObject({ ok: true }); // the entry that it made before
      expect((await serving()).champion).toBe(1);
    }
  });

  it('takes over from a holder that has ended, clearing its canary, and from no other', async () => {
    const first = open('r1');
    await route(first, 0);
    const second = { ...open('r2', [{ kind: 'approval' }, { kind: 'canary', weight: 0.1 }]), was: 2 };
    for (const executionState of [undefined, async () => 'open' as const])
      expect(await route(second, 0, { ...context, ...(executionState && { executionState }) })).toMatchObject({
        ok: false,
        why: 'held',
        because: expect.stringContaining('rollout-churn (run r1) holds churn since revision 2') as string,
      });
    const asked: string[] = [];
    const executionState = async (...holder: string[]) => (asked.push(holder.join(' ')), 'unknown' as const);
    const claimed = await createRouteStage({ ...context, executionState }).routeStage(
      second,
      0,
      { now: NOW, because: 'a test', claim: true },
      cause('r2', 'claim'),
    );
    expect(claimed).toMatchObject({ ok: true, revision: 3 });
    expect(asked).toEqual(['rollout-churn r1']);
    expect(await serving()).toEqual({ champion: 1, shadows: [], holder: 'rollout-churn/r2' });
    expect(await finish(first, 'promoted')).toMatchObject({
      ok: false,
      because: expect.stringContaining('rollout-churn/r2 holds') as string,
    });
  });

  it('does not follow a model that moved on after the plan', async () => {
    const plan = await createPlanRollout(context).planRollout({
      model: 'churn',
      version: 2,
      force: true,
      reason: 'now',
    });
    await createServe(context).serve(
      { model: 'churn', version: 2, by: 'x', because: 'now', was: plan.was, champion: 1 },
      cause('other', 'serve'),
    );
    expect(await route(open('r1'), 0)).toMatchObject({
      ok: false,
      why: 'overtaken',
      because: expect.stringContaining('came first') as string,
    });
  });
});

describe('the last revision of a rollout', () => {
  it('is there or not, old or new, when the bucket fails before or after it is written', async () => {
    for (const how of ['promoted', 'undone'] as const)
      for (const fails of ['before', 'after'] as const) {
        const rollout = {
          ...open(`${how}-${fails}`),
          was: (await stores.serving.current('churn'))!.n,
          champion: (await serving()).champion!,
        };
        await route(rollout, 0);
        const was = (await serving()).champion;
        const flaky = {
          ...context,
          stores: { ...(await openStores({ bucket: `file:${folder}/bucket`, home: folder })) },
        };
        // One that was written is found by the next attempt.
        const times = fails === 'before' ? 2 : 1;
        failing(flaky.stores.serving.bucket, times, fails);
        for (let attempt = 0; attempt < times; attempt++) {
          await expect(finish(rollout, how, flaky)).rejects.toThrow('the bucket is away');
          const now = await serving();
          // Whole before, or whole after: never a model without a champion, or a canary without a holder.
          const whole =
            now.holder === undefined
              ? { champion: how === 'promoted' ? 2 : was, shadows: [] }
              : { champion: was, canary: { version: 2 } };
          expect(now).toMatchObject(whole);
        }
        expect(await finish(rollout, how, flaky)).toMatchObject({ ok: true });
        expect(await serving()).toMatchObject({ champion: how === 'promoted' ? 2 : was, shadows: [] });
        const entries = [];
        for await (const entry of stores.serving.history((await stores.serving.current('churn'))!)) entries.push(entry);
        expect(entries.filter(({ cause: { runId, step } }) => runId === rollout.runId && step === how)).toHaveLength(1);
        await rollBack(stores.serving, 'churn', 1, 'cy', 'again', cause(`${how}-${fails}`, 'back'));
      }
  });
});

/** The next creates of serving entries throw: before anything is written, or after it was. */
function failing(bucket: Bucket, times: number, when: 'before' | 'after'): void {
  const create = bucket.create.bind(bucket);
  let left = times;
  bucket.create = async (key, body) => {
    if (!key.startsWith('serving/') || left === 0) return create(key, body);
    left -= 1;
    if (when === 'after') await create(key, body);
    throw new Error('the bucket is away');
  };
}

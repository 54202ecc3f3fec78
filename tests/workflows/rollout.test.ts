import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RollbackResult, RolloutResult } from '../../schemas/index.ts';
import { failureOf, startInProcess, type InProcess } from '../e2e/in-process.ts';
import { writeSmallProject } from '../e2e/small-project.ts';

describe('promotion and rollback', () => {
  let gauntlet: InProcess;
  beforeAll(async () => {
    gauntlet = await startInProcess();
    await gauntlet.apply(
      await writeSmallProject(join(gauntlet.folder, 'small'), {
        rows: 400,
        spec: { training: { algorithm: 'linear' } },
      }),
    );
    await gauntlet.train({ model: 'small' }, 'train-1');
    await gauntlet.train({ model: 'small', overrides: { 'training.l2': 5 } }, 'train-2');
  });
  afterAll(() => gauntlet?.stop());

  const promote = async (input: unknown, id = 'rollout-small') =>
    (await (await gauntlet.start('promotion', id, input)).result()) as RolloutResult;
  const rollBack = async (input: unknown, id = 'rollback-small') =>
    (await (await gauntlet.start('rollback', id, input)).result()) as RollbackResult;
  const serving = async () => (await gauntlet.stores.serving.current('small'))?.serving;

  it('is refused under another workflow id, saying which it must be', async () => {
    const failure = await failureOf(promote({ model: 'small', version: 1 }, 'my-rollout'));
    expect(failure).toMatchObject({
      type: 'WrongWorkflowId',
      message: expect.stringContaining('rollout-small') as string,
    });
  });

  it('refuses a rollback of a model that never served', async () => {
    const failure = await failureOf(rollBack({ model: 'small', by: 'ana', reason: 'test' }));
    expect(failure.message).toMatch(/small/);
    expect(await serving()).toBeUndefined();
  });

  it('serves the first version without stages', async () => {
    expect(await promote({ model: 'small', version: 1 })).toMatchObject({
      outcome: 'promoted',
      version: 1,
      revision: 1,
    });
    expect(await serving()).toEqual({ champion: 1, shadows: [] });
  });

  it('refuses the second without stages, and serves it by force with a reason', async () => {
    expect(await failureOf(promote({ model: 'small', version: 2, stages: [] }))).toMatchObject({ type: 'NeedsStages' });
    expect(await failureOf(promote({ model: 'small', version: 2, force: true }))).toMatchObject({
      type: 'NeedsReason',
    });
    expect(await promote({ model: 'small', version: 2, force: true, reason: 'incident 7' })).toMatchObject({
      outcome: 'promoted',
      revision: 2,
    });
    expect(await serving()).toEqual({ champion: 2, previous: 1, shadows: [] });
    expect((await gauntlet.stores.serving.current('small'))!.because).toBe('forced: incident 7');
  });

  it('says so where the version serves already, and writes nothing', async () => {
    expect(await promote({ model: 'small', version: 2 })).toMatchObject({
      outcome: 'promoted',
      because: expect.stringContaining('already') as string,
    });
    expect((await gauntlet.stores.serving.table()).n).toBe(2);
  });

  it('refuses a version that does not exist, naming those that do', async () => {
    expect(await failureOf(promote({ model: 'small', version: 9 }))).toMatchObject({
      type: 'UnknownVersion',
      message: expect.stringContaining('It has') as string,
    });
  });

  it('rolls back to the version that served before', async () => {
    const result = await rollBack({ model: 'small', by: 'ana', reason: 'complaints' });
    expect(result).toEqual({ revision: 3, model: 'small', from: 2, to: 1 });
    expect(await gauntlet.stores.serving.current('small')).toMatchObject({
      by: 'ana',
      because: 'complaints',
      serving: { champion: 1, shadows: [] },
    });
  });

  it('ends as overtaken where the model moved on while it waited', async () => {
    // The plan is made, then a rollback comes first: the append names a revision that is no longer the last.
    const { createPlanRollout, createServe } = await import('../../activities/rollout/rollout.ts');
    const context = {
      stores: gauntlet.stores,
      home: gauntlet.folder,
      build: { commit: 'x', dirty: false, node: 'x', packages: {} },
    };
    const plan = await createPlanRollout(context).planRollout({
      model: 'small',
      version: 2,
      force: true,
      reason: 'again',
    });
    await rollBack({ model: 'small', to: 2, by: 'bo', reason: 'other way round' });
    const cause = { workflowId: 'rollout-small', runId: 'r', step: 'serve' };
    const to = { model: 'small', version: 2, by: 'x', because: plan.because, was: plan.was, champion: plan.champion };
    expect(await createServe(context).serve(to, cause)).toMatchObject({
      ok: false,
      because: expect.stringContaining('revision 4 by bo came first') as string,
    });
    expect((await gauntlet.stores.serving.table()).n).toBe(4);
  });
});

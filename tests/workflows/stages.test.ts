import type { WorkflowHandle } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rollBack } from '../../bucket/index.ts';
import type { Look } from '../../schemas/index.ts';
import { failureOf } from '../e2e/in-process.ts';
import { APPROVAL, BAKE, CANARY, SHADOW, stages, startLab, until, writeTraffic, type Lab } from './rollout-lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.stop());

const detailsOf = async (handle: WorkflowHandle) =>
  (await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')).currentDetails;

/** What was routed, oldest first, without what differs from run to run. */
async function routed(model: string, { stores } = lab): Promise<object[]> {
  const entries = [];
  const head = (await stores.serving.current(model))!;
  for await (const { cause, serving } of stores.serving.history(head)) {
    const { champion, canary, shadows, holder } = serving;
    entries.unshift({
      step: cause.step.replace(/-20\d\d.*/, ''),
      champion,
      ...(canary && { canary: canary.weight }),
      ...(shadows.length > 0 && { shadows: shadows.map((shadow) => shadow.version) }),
      held: holder !== undefined,
    });
  }
  return entries.slice(1);
}

async function approvals(model: string, { stores } = lab): Promise<Look[]> {
  const looks = (await stores.looks.list(model)).reverse().map(({ look }) => look);
  return looks.filter(({ kind }) => kind === 'approval');
}

/** Every stage, passed. */
async function wholeStory(lab: Lab): Promise<void> {
  await lab.model('whole', { look: (day) => (day < 3 ? 'undecided' : 'pass') });
  const handle = await lab.start('whole', {
    stages: stages({ ...SHADOW, live: {} }, APPROVAL, CANARY, { ...CANARY, weight: 0.25 }, BAKE),
  });
  const status = await lab.asked(handle);
  expect(status).toMatchObject({ at: 1, state: 'waiting', awaiting: { kind: 'shadow', verdict: { says: 'pass' } } });
  const details = await detailsOf(handle);
  expect(details).toContain('| ✓ | shadow | day 3: pass |');
  expect(details).toMatch(/\*\*Next\*\*: a person's word on look `[0-9a-f]{8}`/);
  await handle.signal('approve', { by: 'bo', reason: 'slices look right' });
  const result = await lab.result(handle);
  expect(result).toMatchObject({ outcome: 'promoted', model: 'whole', version: 2, stage: 'bake' });
  // Looks of the trial go on while people are asked, so there may be one more.
  const kinds = result.looks!.map((key) => key.replace(/.*-/, ''));
  expect(kinds.filter((kind) => kind === 'shadow.json').length).toBeGreaterThanOrEqual(4);
  expect(kinds.filter((kind) => kind !== 'shadow.json')).toEqual([
    'plan.json',
    'approval.json',
    'canary.json',
    'canary.json',
    'bake.json',
  ]);
  expect(await routed('whole', lab)).toEqual([
    { step: 'claim', champion: 1, held: true },
    { step: 'stage-0-route', champion: 1, shadows: [2], held: true },
    { step: 'stage-2-route', champion: 1, canary: 0.05, held: true },
    { step: 'stage-3-route', champion: 1, canary: 0.25, held: true },
    { step: 'stage-4-route', champion: 2, held: true },
    { step: 'promote', champion: 2, held: false },
  ]);
  const [approval] = await approvals('whole', lab);
  expect(approval).toMatchObject({
    verdict: { says: 'pass' },
    evidence: { votes: [{ by: 'bo', says: 'approve', channel: 'signal', verified: false, counts: true }] },
  });
  const canary = (await lab.stores.serving.at(result.revision! - 3))!;
  expect(canary.look).toMatch(/-approval\.json$/);
  expect(canary.by).toBe('bo (unverified)');
}

describe('a rollout', () => {
  it('takes a version through shadow, approval, canaries and bake, and routes for each', () => wholeStory(lab));

  it('looks 60 times a day apart in at most 700 events, and marks a stage once', async () => {
    const { asked: calls } = await lab.model('sixty', { look: (day) => (day < 59 ? 'undecided' : 'pass') });
    const handle = await lab.start('sixty', {}, 'shadowTrial');
    expect(await lab.result(handle)).toMatchObject({ outcome: 'passed', stage: 'shadow' });
    expect(calls[0]!.activity).toBe('prepareTwins');
    const looks = calls.filter(({ activity }) => activity === 'lookAtTrial');
    expect(looks).toHaveLength(60);
    expect(looks[0]!.plan!.stage).toEqual(stages({ kind: 'shadow' })[0]);
    // Every look is told the workflow's day, and which look came before it.
    const days = looks.map(({ now }) => Math.round((Date.parse(now) - Date.parse(looks[0]!.now)) / 86_400_000));
    expect(days).toEqual(Array.from({ length: 60 }, (_, day) => day));
    expect(looks.map(({ previous }) => previous !== undefined)).toEqual([false, ...Array(59).fill(true)]);
    const { events } = await handle.fetchHistory();
    expect(events!.length).toBeLessThanOrEqual(700);
    expect(events!.filter((event) => event.upsertWorkflowSearchAttributesEventAttributes).length).toBeLessThanOrEqual(
      3,
    );
    expect(await routed('sixty')).toEqual([
      { step: 'claim', champion: 1, held: true },
      { step: 'undo', champion: 1, held: false },
    ]);
  });

  it('asks once, before its first canary, whether one unit carries too much of it', async () => {
    const rollout = { unit: 'customer' };
    const list = stages(CANARY, { ...CANARY, weight: 0.5 });
    await lab.model('even', {}, rollout);
    await writeTraffic(lab, 'even', 6);
    const even = await lab.start('even', { stages: list });
    expect(await lab.result(even)).toMatchObject({ outcome: 'promoted' });
    const { lines } = await lab.status(even);
    expect(lines.filter((line) => line.includes('the largest unit has'))).toEqual([
      expect.stringMatching(/has 0.5 % of 1,200 answers since .*; a canary of 5 % bears up to 1 %/),
    ]);

    await lab.model('uneven', {}, rollout);
    await writeTraffic(lab, 'uneven', 600);
    expect(await lab.result(await lab.start('uneven', { stages: list }))).toMatchObject({
      outcome: 'rejected',
      because: expect.stringContaining('one unit has 600 (50 %) of 1,200 answers'),
      stage: 'canary',
    });
    expect(await routed('uneven')).toEqual([
      { step: 'claim', champion: 1, held: true },
      { step: 'undo', champion: 1, held: false },
    ]);
  });

  it.each([
    ['twins', { kind: 'shadow' }],
    ['stated', SHADOW],
  ])(
    'trains two twins for the placebo trials, whether or not the minimum effect is stated (%s)',
    async (model, stage) => {
      const { asked: calls } = await lab.model(model);
      await lab.result(await lab.start(model, { stages: stages(stage) }));
      expect(calls.map(({ activity, stage }) => `${activity} ${stage}`).slice(0, 2)).toEqual([
        'prepareTwins 2',
        'planTrial 2',
      ]);
      expect(await lab.serving(model)).toEqual({ champion: 2, previous: 1, shadows: [] });
    },
  );

  it.each([
    ['fail', 'rejected'],
    ['no-data', 'no data'],
  ] as const)('is refused where the plan says %s, before anything is routed: %s', async (says, outcome) => {
    const model = `plan-${says}`;
    await lab.model(model, { plan: says });
    const result = await lab.result(await lab.start(model, { stages: stages({ ...SHADOW, live: {} }) }));
    expect(result).toMatchObject({ outcome, because: 'a verdict in about 9 weeks', stage: 'shadow' });
    expect(result.looks).toEqual([expect.stringMatching(/-plan\.json$/)]);
    expect(await routed(model)).toEqual([
      { step: 'claim', champion: 1, held: true },
      { step: 'undo', champion: 1, held: false },
    ]);
  });

  it.each([
    ['fail', undefined, 'rejected'],
    ['undecided', 'inconclusive', 'inconclusive'],
    ['no-data', 'no data', 'no data'],
  ] as const)('ends where a look says %s and the trial is %s: %s, and undone', async (says, over, outcome) => {
    const model = `ends-${says}`;
    await lab.model(model, { look: (day) => (day < 2 ? 'undecided' : { says, ...(over && { over }) }) });
    const result = await lab.result(await lab.start(model, { stages: stages({ ...SHADOW, live: {} }, CANARY) }));
    expect(result).toMatchObject({ outcome, stage: 'shadow' });
    expect(await lab.serving(model)).toEqual({ champion: 1, shadows: [] });
    const head = (await lab.stores.serving.current(model))!;
    expect(head).toMatchObject({ by: `rollout-${model}`, look: expect.stringMatching(/-shadow\.json$/) as string });
  });

  it('passes although the trial is over, if that look says so', async () => {
    await lab.model('in-time', { look: () => ({ says: 'pass', over: 'inconclusive' }) });
    expect(await lab.result(await lab.start('in-time', {}, 'shadowTrial'))).toMatchObject({ outcome: 'passed' });
  });

  it('refuses more than 300 looks by the clock, and makes no more by the time of the log', async () => {
    await lab.model('often');
    const often = { ...SHADOW, lookEvery: '1 hour', maxDuration: '13 days' };
    const failure = await failureOf(lab.result(await lab.start('often', { stages: stages(often) })));
    expect(failure).toMatchObject({
      type: 'StagesDoNotFit',
      message: expect.stringContaining('312 looks, and at most 300 are made') as string,
    });
    await lab.model('log-time', { logTime: true, look: () => 'undecided' }, {}, { allowEventTime: true });
    const result = await lab.result(await lab.start('log-time', { stages: stages(often) }));
    expect(result).toMatchObject({ outcome: 'inconclusive', because: '300 looks and no verdict: day 12: undecided' });
  });

  it('goes through canaries and a bake alone, as model.yaml has them', async () => {
    await lab.model('canaries', {}, { stages: [SHADOW, APPROVAL, CANARY, BAKE] });
    const result = await lab.result(await lab.start('canaries', {}, 'canaryRollout'));
    expect(result).toMatchObject({ outcome: 'promoted', stage: 'bake' });
    expect((await routed('canaries')).map((entry) => (entry as { step: string }).step)).toEqual([
      'claim',
      'stage-0-route',
      'stage-1-route',
      'promote',
    ]);
    expect(
      await failureOf(lab.result(await lab.start('canaries', { version: 1, stages: stages(SHADOW) }, 'canaryRollout'))),
    ).toMatchObject({
      type: 'StagesDoNotFit',
    });
  });

  it('takes a shadow trial from model.yaml, but for what is said otherwise', async () => {
    const { asked: calls } = await lab.model('partly', {}, { stages: [{ ...SHADOW, alpha: 0.1, maxWait: '3 days' }] });
    await lab.result(await lab.start('partly', { stage: { maxWait: '2 days' } }, 'shadowTrial'));
    expect(calls.at(-1)!.plan!.stage).toMatchObject({ alpha: 0.1, maxWait: '2 days', minimumEffect: 0.001 });
  });

  it.each([
    ['canary', 'rolled back', [CANARY, BAKE]],
    ['bake', 'rolled back', [CANARY, BAKE]],
  ] as const)('is rolled back at once where the %s fails: %s', async (kind, outcome, list) => {
    const model = `fails-${kind}`;
    await lab.model(model, { watch: (at) => (at === kind ? 'fail' : 'pass') });
    const result = await lab.result(await lab.start(model, { stages: stages(...list) }));
    expect(result).toMatchObject({ outcome, stage: kind, because: `${kind} says fail` });
    expect(await lab.serving(model)).toEqual({ champion: 1, shadows: [] });
  });

  it.each(['no data', 'inconclusive'] as const)('ends where watching is over: %s', async (over) => {
    const model = `over-${over.replace(' ', '-')}`;
    await lab.model(model, { watch: () => ({ says: 'undecided', over }) });
    expect(await lab.result(await lab.start(model, { stages: stages(CANARY) }))).toMatchObject({ outcome: over });
    expect(await lab.serving(model)).toEqual({ champion: 1, shadows: [] });
  });
});

describe('who holds the model', () => {
  it('is overtaken by a rollback by hand, and leaves the model as that left it', async () => {
    let go = false;
    await lab.model('moved', { watch: () => (go ? 'pass' : undefined) });
    const handle = await lab.start('moved', { stages: stages(CANARY, BAKE) });
    await until(async () => ((await lab.serving('moved')) as { canary?: object }).canary);
    await rollBack(lab.stores.serving, 'moved', 1, 'cy', 'by hand', {
      workflowId: 'rollback',
      runId: 'x',
      step: 'rollback',
    });
    go = true;
    expect(await lab.result(handle)).toMatchObject({
      outcome: 'overtaken',
      because: expect.stringContaining('by cy came first') as string,
    });
    expect((await lab.stores.serving.current('moved'))!.by).toBe('cy');
  });

  it('ends as overtaken where a look says so, and changes nothing', async () => {
    await lab.model('seen', { look: (day) => (day < 1 ? 'undecided' : { says: 'undecided', over: 'overtaken' }) });
    const handle = await lab.start('seen', { stages: stages(SHADOW) });
    expect(await lab.result(handle)).toMatchObject({ outcome: 'overtaken' });
    expect(await routed('seen')).toEqual([{ step: 'claim', champion: 1, held: true }]);
  });

  it('is refused a second time under the same id, and by a holder that still runs', async () => {
    await lab.model('busy', { watch: () => undefined });
    const handle = await lab.start('busy', { stages: stages(CANARY) });
    await until(async () => ((await lab.serving('busy')) as { canary?: object }).canary);
    await expect(lab.start('busy', { stages: stages(CANARY) })).rejects.toThrow(WorkflowExecutionAlreadyStartedError);
    // Another model's rollout cannot hold this one; a holder that runs under another name can be made in a bucket only.
    await lab.model('claimed');
    const { runId } = await handle.describe();
    const cause = { workflowId: 'rollout-busy', runId, step: 'claim' };
    const [head] = [(await lab.stores.serving.current('claimed'))!];
    await lab.stores.serving.append({
      was: head.n,
      model: 'claimed',
      serving: { ...head.serving, holder: `rollout-busy/${runId}` },
      by: 'x',
      because: 'a canary of Tuesday',
      cause,
    });
    const failure = await failureOf(lab.result(await lab.start('claimed', { stages: stages(CANARY) })));
    expect(failure).toMatchObject({ type: 'RolloutRunning' });
    expect(failure.message).toContain(`rollout-busy (run ${runId}) holds claimed since revision`);
    expect(failure.message).toContain('a canary of Tuesday');
    expect(failure.message).toContain('supersede: true');
    await handle.cancel();
    expect(await lab.result(handle)).toMatchObject({ outcome: 'cancelled' });
  });

  it('is taken over from a rollout that was terminated, whose canary goes', async () => {
    const { script } = await lab.model('ended', { watch: () => undefined });
    const first = await lab.start('ended', { stages: stages(CANARY) });
    await until(async () => ((await lab.serving('ended')) as { canary?: object }).canary);
    await first.terminate('by a person');
    script.watch = () => 'pass';
    const second = await lab.start('ended', { stages: stages(SHADOW, CANARY) });
    expect(await lab.result(second)).toMatchObject({ outcome: 'promoted' });
    expect(await routed('ended')).toEqual([
      { step: 'claim', champion: 1, held: true },
      { step: 'stage-0-route', champion: 1, canary: 0.05, held: true },
      { step: 'claim', champion: 1, held: true },
      { step: 'stage-1-route', champion: 1, canary: 0.05, held: true },
      { step: 'promote', champion: 2, held: false },
    ]);
  });

  it('says of a version that serves that its bake was ended, and lets the model go', async () => {
    await lab.model('baking', { watch: (at) => (at === 'bake' ? undefined : 'pass') });
    const first = await lab.start('baking', { stages: stages(CANARY, BAKE) });
    await until(async () => (await lab.stores.serving.current('baking'))!.serving.champion === 2);
    await first.terminate('by a person');
    const result = await lab.result(await lab.start('baking', { stages: stages(CANARY, BAKE) }));
    expect(result).toMatchObject({
      outcome: 'promoted',
      because: expect.stringContaining('version 2 serves without having finished its bake: rollout-baking/') as string,
    });
    expect(await lab.serving('baking')).toEqual({ champion: 2, previous: 1, shadows: [] });
  });

  it('serves by force although a rollout that was terminated holds the model', async () => {
    await lab.model('forced', { watch: () => undefined });
    const first = await lab.start('forced', { stages: stages(CANARY) });
    await until(async () => ((await lab.serving('forced')) as { canary?: object }).canary);
    await first.terminate('by a person');
    const second = await lab.start('forced', { force: true, reason: 'incident 7' });
    expect(await lab.result(second)).toMatchObject({ outcome: 'promoted' });
    expect(await lab.serving('forced')).toEqual({ champion: 2, previous: 1, shadows: [] });
  });
});

describe('a rollout that is ended', () => {
  it.each(['shadow', 'approval', 'canary', 'bake'])(
    'in its %s stage by cancellation undoes what is routed',
    async (kind) => {
      const model = `cancel-${kind}`;
      await lab.model(model, {
        look: () => (kind === 'shadow' ? 'undecided' : 'pass'),
        watch: (at) => (at === kind ? undefined : 'pass'),
      });
      const handle = await lab.start(model, {
        stages: stages({ ...SHADOW, live: {} }, ...(kind === 'approval' ? [APPROVAL] : []), CANARY, BAKE),
      });
      await until(async () => {
        const status = await lab.status(handle);
        return status.stages[status.at]?.kind === kind && status.look?.kind !== 'plan' && status.state !== 'planning';
      });
      // The time-skipping server fails where an activity ends while it is being cancelled: nothing is under way.
      await new Promise((done) => setTimeout(done, 500));
      await handle.cancel();
      expect(await lab.result(handle)).toMatchObject({ outcome: 'cancelled', stage: kind });
      expect(await lab.serving(model)).toEqual({ champion: 1, shadows: [] });
    },
  );

  it('because a step fails for good is undone first, and then fails with the reason', async () => {
    await lab.model('blind', {
      watch: () => {
        throw new RangeError('the log cannot be read');
      },
    });
    const failure = await failureOf(lab.result(await lab.start('blind', { stages: stages(CANARY) })));
    expect(failure.message).toContain('the log cannot be read');
    expect(await lab.serving('blind')).toEqual({ champion: 1, shadows: [] });
    expect((await lab.stores.serving.current('blind'))!.because).toContain(
      'it could not go on: the log cannot be read',
    );
  });
});

it('takes the same way where workers keep nothing of a workflow, and replay it at every task', async () => {
  const uncached = await startLab({ worker: { maxCachedWorkflows: 0 } });
  try {
    await wholeStory(uncached);
  } finally {
    await uncached.stop();
  }
});

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WorkflowNotFoundError, WorkflowUpdateFailedError, type WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rollBack } from '../../bucket/index.ts';
import {
  UserError,
  type Look,
  type RecordedVote,
  type RolloutStatus,
  type ShadowPlan,
  type VoteRecord,
} from '../../schemas/index.ts';
import { APPROVAL, BAKE, CANARY, SHADOW, stages, startLab, until, writeWord, type Lab } from './rollout-lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.stop());

const say = <T>(handle: WorkflowHandle, name: string, args: object = {}) =>
  handle.executeUpdate<T, [object]>(name, { args: [{ by: 'bo', reason: 'because', ...args }] });

/** What an update was refused with. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(WorkflowUpdateFailedError);
  return (error as WorkflowUpdateFailedError).cause!.message;
}

const atStage = (handle: WorkflowHandle, kind: string) =>
  until(async () => {
    const status = await lab.status(handle);
    return status.stages[status.at]?.kind === kind && status;
  }, kind);

const refused = (handle: WorkflowHandle, words: string) =>
  until(async () => (await lab.status(handle)).refused.find((line) => line.includes(words)), `the refusal "${words}"`);

async function approvals(model: string): Promise<Look[]> {
  const looks = (await lab.stores.looks.list(model)).reverse().map(({ look }) => look);
  return looks.filter(({ kind }) => kind === 'approval');
}

const LIST = stages(SHADOW, APPROVAL, CANARY);

describe('votes', () => {
  it('are refused before there is a question, by update and by signal, and harm nothing', async () => {
    await lab.model('early', { look: () => 'undecided' });
    const handle = await lab.start('early', { stages: LIST });
    await until(async () => (await lab.status(handle)).nextLookAt);
    expect(await refusal(say(handle, 'approve'))).toContain(
      'there is nothing to approve now: the rollout is at shadow',
    );
    await handle.signal('reject', { by: 'bo', reason: 'no' });
    await refused(handle, 'reject by bo: there is nothing to reject now');
    await handle.signal('approve', { reason: 'nobody' });
    await refused(handle, 'approve: ✖ Invalid input');
    await handle.signal('approve');
    await handle.signal('pause', 'what?');
    await refused(handle, 'pause: ');
    expect(await refusal(handle.executeUpdate('approve', { args: [{ by: 'bo' }] }))).toContain('reason');
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toContain('**Refused**');
    await handle.cancel();
    expect(await lab.result(handle)).toMatchObject({ outcome: 'cancelled' });
  });

  it('on another look, or twice by one person, do not count, and are in the record', async () => {
    await lab.model('twice');
    const handle = await lab.start('twice', { stages: LIST });
    const { awaiting } = await lab.asked(handle);
    expect(await refusal(say(handle, 'approve', { look: 'deadbeef' }))).toContain(
      'it is on look deadbeef, and looks/twice/',
    );
    await handle.signal('approve', { by: 'cy', reason: 'the wrong one', look: 'deadbeef' });
    await refused(handle, 'approve by cy: it is on look deadbeef');
    await say(handle, 'pause');
    const first = await say<RecordedVote>(handle, 'approve', { look: awaiting!.sha256.slice(0, 8) });
    expect(first).toMatchObject({ by: 'bo', channel: 'update', verified: false, counts: true });
    expect(await refusal(say(handle, 'approve'))).toContain('bo has voted already');
    await handle.signal('approve', { by: 'bo', reason: 'again' });
    await handle.signal('approve', { by: 'bo', reason: 'and again' });
    await until(async () => (await lab.status(handle)).votes.length === 4);
    expect((await lab.status(handle)).state).toBe('paused');
    await say(handle, 'resume');
    expect(await lab.result(handle)).toMatchObject({ outcome: 'promoted' });
    const [approval] = await approvals('twice');
    expect(approval!.verdict).toMatchObject({
      says: 'pass',
      because: expect.stringContaining('approved by bo') as string,
    });
  });

  it('that nobody checked do not count where the stage says so; those over the API do, and no record stands for another', async () => {
    await lab.model('strict');
    const handle = await lab.start('strict', { stages: stages(SHADOW, { ...APPROVAL, allowUnverified: false }) });
    const { awaiting } = await lab.asked(handle);
    const unverified = await say<RecordedVote>(handle, 'approve');
    expect(unverified).toMatchObject({
      counts: false,
      why: expect.stringContaining('nobody checked who it is from') as string,
    });
    const { runId } = await handle.describe();
    const vote: VoteRecord = {
      id: 'one',
      model: 'strict',
      workflowId: 'rollout-strict',
      runId,
      says: 'approve',
      by: 'dora',
      keyId: 'k',
      reason: 'because',
      look: awaiting!.sha256,
      at: new Date().toISOString(),
    };
    const records = [];
    for (const forged of [{ runId: 'other' }, { by: 'eve' }, { look: 'f'.repeat(64) }, { says: 'reject' as const }])
      records.push(await lab.stores.votes.create({ ...vote, ...forged, id: `forged-${records.length}` }));
    for (const { key } of records)
      expect(await say<RecordedVote>(handle, 'approve', { by: 'dora', record: key })).toMatchObject({
        counts: false,
        why: expect.stringMatching(`${key} is no record of this vote|has changed since the vote was written`) as string,
      });
    expect(await say<RecordedVote>(handle, 'approve', { by: 'dora', record: 'votes/strict/none.json' })).toMatchObject({
      counts: false,
    });
    const { key } = await lab.stores.votes.create(vote);
    expect(await say<RecordedVote>(handle, 'approve', { by: 'dora', record: key })).toMatchObject({
      counts: true,
      verified: true,
      channel: 'api',
    });
    expect(await lab.result(handle)).toMatchObject({ outcome: 'promoted', stage: 'approval' });
    const [approval] = await approvals('strict');
    expect(approval!.evidence).toMatchObject({
      votes: [{ by: 'bo', counts: false }, ...Array(5).fill({ counts: false }), { by: 'dora', counts: true }],
    });
    expect((await lab.stores.serving.current('strict'))!).toMatchObject({
      by: 'dora',
      look: expect.stringContaining('-approval.json') as string,
    });
  });

  it('of a person who says no end it', async () => {
    await lab.model('no');
    const handle = await lab.start('no', { stages: LIST });
    await lab.asked(handle);
    await handle.signal('reject', { by: 'bo', reason: 'a slice looks wrong' });
    expect(await lab.result(handle)).toMatchObject({
      outcome: 'rejected',
      stage: 'approval',
      because: expect.stringContaining('a slice looks wrong') as string,
    });
    expect(await lab.serving('no')).toEqual({ champion: 1, shadows: [] });
  });

  it('that nobody gives by the deadline are a no, and later ones find nobody', async () => {
    await lab.model('late');
    const handle = await lab.start('late', { stages: LIST });
    const { deadline } = await lab.asked(handle);
    const result = await lab.result(handle);
    expect(result).toMatchObject({ outcome: 'rejected', stage: 'approval' });
    expect(result.because).toContain('deadline');
    await expect(handle.signal('approve', { by: 'bo', reason: 'late' })).rejects.toThrow(WorkflowNotFoundError);
    const [approval] = await approvals('late');
    expect(approval!.evidence).toMatchObject({ expired: true, votes: [] });
    expect(Date.parse(approval!.at)).toBeGreaterThanOrEqual(Date.parse(deadline!));
  });

  it('are asked for by webhook, again and again; one that does not answer holds up nothing', async () => {
    const posts: { text: string; look: object }[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        posts.push(JSON.parse(body) as never);
        response.statusCode = posts.length > 2 ? 404 : 200;
        response.end();
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const webhook = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
    await lab.model('reminded');
    const handle = await lab.start('reminded', {
      stages: stages(SHADOW, { ...APPROVAL, webhook, deadline: '4 days' }),
    });
    const { awaiting } = await lab.asked(handle);
    expect(await lab.result(handle)).toMatchObject({ outcome: 'rejected' });
    server.close();
    expect(posts).toHaveLength(4);
    expect(posts[0]).toMatchObject({
      text: expect.stringMatching(/^Version 2 of reminded waits for a word by 20.*: day 0: pass$/m) as string,
      workflowId: 'rollout-reminded',
      look: { key: awaiting!.key, sha256: awaiting!.sha256 },
    });
  });

  it('become void where a later look says otherwise, and are asked for anew', async () => {
    await lab.model('reopened', { look: (day) => (day < 2 || day >= 6 ? 'pass' : 'undecided') });
    const handle = await lab.start('reopened', { stages: LIST });
    const first = await lab.asked(handle);
    await say(handle, 'pause');
    await say(handle, 'approve');
    await until(async () => {
      await lab.skipLook(handle);
      return (await lab.status(handle)).at === 0;
    }, 'the shadow stage again');
    await say(handle, 'resume');
    const second = await lab.asked(handle);
    expect(second.awaiting!.key).not.toBe(first.awaiting!.key);
    expect(second.votes).toEqual([]);
    const voided = (await approvals('reopened')).at(-1)!;
    expect(voided).toMatchObject({
      verdict: { says: 'undecided' },
      evidence: {
        voided: expect.stringContaining('the verdict changed from pass to undecided') as string,
        votes: [{ by: 'bo', counts: false }],
      },
    });
    await say(handle, 'approve');
    expect(await lab.result(handle)).toMatchObject({ outcome: 'promoted' });
  });

  it('are not waited for where a later look says fail, or the model has moved on', async () => {
    await lab.model('broken', { look: (day) => (day < 2 ? 'pass' : 'fail') });
    const handle = await lab.start('broken', { stages: LIST });
    expect(await lab.result(handle)).toMatchObject({ outcome: 'rejected', because: 'day 2: fail' });
    await lab.model('gone');
    const other = await lab.start('gone', { stages: stages(APPROVAL, CANARY) });
    await lab.asked(other);
    await rollBack(lab.stores.serving, 'gone', 1, 'cy', 'by hand', {
      workflowId: 'rollback',
      runId: 'x',
      step: 'rollback',
    });
    expect(await lab.result(other)).toMatchObject({ outcome: 'overtaken', stage: 'approval' });
  });
});

describe('steering', () => {
  it('pauses a canary, which stays watched and does not pass, and resumes it', async () => {
    const script: { says?: 'pass' } = {};
    const { asked: calls } = await lab.model('steered', { watch: () => script.says });
    const handle = await lab.start('steered', { stages: stages(CANARY) });
    await atStage(handle, 'canary');
    await until(async () => calls.length > 0);
    expect(await say<RolloutStatus>(handle, 'pause')).toMatchObject({ state: 'paused' });
    expect(await refusal(say(handle, 'pause'))).toContain('it is paused already, by bo');
    await until(async () => calls.at(-1)!.paused);
    script.says = 'pass';
    await new Promise((done) => setTimeout(done, 300));
    expect((await lab.status(handle)).state).toBe('paused');
    await handle.signal('resume', { by: 'bo', reason: 'go on' });
    await handle.signal('resume', { by: 'bo', reason: 'twice' });
    expect(await lab.result(handle)).toMatchObject({ outcome: 'promoted' });
    expect(calls.map(({ paused }) => paused)).toEqual([false, true, false]);
    expect(calls[2]!.pausedMs).toBeGreaterThan(200);
  });

  it('rolls back a paused canary that fails', async () => {
    const script: { says?: 'fail' } = {};
    const { asked: calls } = await lab.model('paused', { watch: () => script.says });
    const handle = await lab.start('paused', { stages: stages(CANARY) });
    await until(async () => calls.length > 0);
    await say(handle, 'pause');
    await until(async () => calls.at(-1)!.paused);
    script.says = 'fail';
    expect(await lab.result(handle)).toMatchObject({ outcome: 'rolled back', because: 'canary says fail' });
  });

  it.each(['canary', 'bake'] as const)('rolls back from a %s by a person’s word, and says whose', async (kind) => {
    const model = `back-${kind}`;
    const { asked: calls } = await lab.model(model, { watch: (at) => (at === kind ? undefined : 'pass') });
    const handle = await lab.start(model, { stages: stages(CANARY, BAKE) });
    await until(async () => calls.length === (kind === 'canary' ? 1 : 2));
    await handle.signal('rollback', { by: 'bo', reason: 'complaints' });
    await handle.signal('rollback', { by: 'bo', reason: 'complaints' });
    // Whoever can reach Temporal can signal under any name: the record says so.
    const who = 'bo (unverified)';
    expect(await lab.result(handle)).toMatchObject({
      outcome: 'rolled back',
      because: `${who}: complaints`,
      stage: kind,
    });
    expect(await lab.serving(model)).toEqual({ champion: 1, shadows: [] });
    // The last look of what was watched till then is cited.
    expect(await lab.stores.serving.current(model)).toMatchObject({
      by: who,
      because: `rolled back: ${who}: complaints`,
      look: expect.stringMatching(new RegExp(`-${kind}\\.json$`)) as string,
    });
    expect((await lab.status(handle)).look).toMatchObject({ verdict: { because: `${kind} is told to end` } });
  });

  it('advances from a shadow stage and from a canary, never past an approval', async () => {
    const { asked: calls } = await lab.model('advanced', { look: () => 'undecided', watch: () => undefined });
    const handle = await lab.start('advanced', { stages: stages(SHADOW, APPROVAL, CANARY, BAKE) });
    await until(async () => (await lab.status(handle)).look?.kind === 'shadow');
    await say(handle, 'advance');
    await until(async () => (await lab.status(handle)).awaiting);
    expect(await refusal(say(handle, 'advance'))).toContain('approve it, or reject it');
    await say(handle, 'approve');
    await until(async () => calls.at(-1)!.activity === 'watch');
    await say(handle, 'advance', { by: 'cy' });
    await until(async () => calls.at(-1)!.stage === 3);
    expect(await lab.stores.serving.current('advanced')).toMatchObject({
      by: 'cy (unverified)',
      because: 'advanced by cy (unverified): because',
    });
    await say(handle, 'advance');
    expect(await lab.result(handle)).toMatchObject({ outcome: 'promoted' });
  });

  it('goes back although the vote that lets it go on is being written', async () => {
    await lab.model('changed-mind');
    const handle = await lab.start('changed-mind', { stages: stages(SHADOW, APPROVAL) });
    await lab.asked(handle);
    // Both are there before the record of the first is written.
    await Promise.all([
      handle.signal('approve', { by: 'bo', reason: 'looks right' }),
      handle.signal('rollback', { by: 'cy', reason: 'no, wait' }),
    ]);
    expect(await lab.result(handle)).toMatchObject({ outcome: 'rolled back' });
    expect(await lab.serving('changed-mind')).toEqual({ champion: 1, shadows: [] });
  });

  it('lets a version go on by a word that nobody checked only where such votes count', async () => {
    await lab.model('signalled', { look: () => 'undecided' });
    const handle = await lab.start('signalled', { stages: stages(SHADOW, { ...APPROVAL, allowUnverified: false }) });
    await until(async () => (await lab.status(handle)).look?.kind === 'shadow');
    await handle.signal('advance', { by: 'bo', reason: 'go' });
    await refused(handle, 'advance by bo: nobody has checked who says so');
    await handle.signal('changePlan', { by: 'bo', reason: 'go', stage: { alpha: 0.2 } });
    await refused(handle, 'changePlan by bo: nobody has checked who says so');
    expect(await refusal(say(handle, 'advance'))).toContain('nobody has checked who says so');
    expect(await refusal(say(handle, 'changePlan', { stage: { alpha: 0.2 } }))).toContain('nobody has checked');
    await handle.signal('rollback', { by: 'bo', reason: 'harm is undone by anyone' });
    expect(await lab.result(handle)).toMatchObject({ outcome: 'rolled back' });
  });

  it('knows whose a word is by what the API wrote of it: of that very word, once', async () => {
    await lab.model('written', { look: () => 'undecided' });
    const handle = await lab.start('written', { stages: stages(SHADOW, { ...APPROVAL, allowUnverified: false }) });
    await until(async () => (await lab.status(handle)).look?.kind === 'shadow');
    const write = (says: VoteRecord['says'], given?: Partial<VoteRecord>) => writeWord(lab, handle, says, given);
    const nobody = 'nobody has checked who says so';
    await say(handle, 'pause', { record: await write('pause') });
    // Of another word, person, reason, run; or no record at all.
    for (const record of [
      await write('pause'),
      await write('advance', { by: 'cy' }),
      await write('advance', { reason: 'another' }),
      await write('advance', { runId: 'another' }),
      'votes/written/none.json',
      'looks/written/none.json',
    ])
      expect(await refusal(say(handle, 'advance', { record })), record).toContain(nobody);
    await say(handle, 'resume', { record: 'votes/written/none.json' });
    const stage = { alpha: 0.2 };
    const record = await write('changePlan', { stage });
    expect(await refusal(say(handle, 'changePlan', { record, stage: { alpha: 0.1 } }))).toContain(nobody);
    await say(handle, 'changePlan', { record, stage });
    expect(await refusal(say(handle, 'changePlan', { record, stage }))).toContain(nobody);
    await say(handle, 'advance', { record: await write('advance') });
    expect(await lab.asked(handle)).toMatchObject({ at: 1 });
    await say(handle, 'rollback', { record: await write('rollback') });
    expect(await lab.result(handle)).toMatchObject({ outcome: 'rolled back', because: 'bo: because' });
    const { lines } = await lab.status(handle);
    for (const line of [
      'paused by bo: because',
      'resumed by bo (unverified): because',
      'plan changed by bo (alpha): because',
      'advance by bo: because',
    ])
      expect(lines).toContainEqual(expect.stringContaining(line));
  });

  it('sends on from the stage in which it was said, and not from the next', async () => {
    let pass: 'pass' | undefined;
    const { asked: calls } = await lab.model('gone-on', { watch: () => (calls.length > 1 ? undefined : pass) });
    const handle = await lab.start('gone-on', { stages: stages(CANARY, { ...CANARY, weight: 0.5 }) });
    await until(async () => calls.length === 1);
    const { votes } = lab.stores;
    const read = votes.read.bind(votes);
    const record = await writeWord(lab, handle, 'advance');
    votes.read = async (key) => {
      pass = 'pass';
      await until(async () => calls.length === 2);
      return read(key);
    };
    try {
      expect(await refusal(say(handle, 'advance', { record }))).toContain('it has gone on to canary 50 % meanwhile');
    } finally {
      votes.read = read;
    }
    await say(handle, 'rollback');
    expect(await lab.result(handle)).toMatchObject({ outcome: 'rolled back' });
  });

  it('is heard without its record where that cannot be read, if it takes a version back', async () => {
    const { asked: calls } = await lab.model('unread', { watch: () => undefined });
    const handle = await lab.start('unread', { stages: stages(CANARY) });
    await until(async () => calls.length === 1);
    const { votes } = lab.stores;
    const read = votes.read.bind(votes);
    votes.read = () => Promise.reject(new UserError('BucketUnreachable', 'the bucket is away'));
    try {
      await say(handle, 'rollback', { record: await writeWord(lab, handle, 'rollback') });
    } finally {
      votes.read = read;
    }
    expect(await lab.result(handle)).toMatchObject({ because: 'bo (unverified): because' });
  });

  it('holds a canary that nobody asks until a person says how to go on', async () => {
    let over: 'no data' | undefined = 'no data';
    const { asked: calls } = await lab.model('held', {
      watch: (_, { paused }) => (paused ? undefined : over ? { says: 'undecided', over } : 'pass'),
    });
    const handle = await lab.start('held', { stages: stages({ ...CANARY, onNoData: 'hold' }) });
    await until(async () => calls.at(-1)?.paused);
    const status = await lab.status(handle);
    expect(status).toMatchObject({ state: 'paused' });
    expect(status.lines.at(-1)).toContain('paused by gauntlet: canary says undecided. Say resume, advance or rollback');
    over = undefined;
    await say(handle, 'resume');
    expect(await lab.result(handle)).toMatchObject({ outcome: 'promoted' });
  });

  it('holds a trial that would pass while it is paused, and goes on when resumed', async () => {
    await lab.model('waits', { look: (day) => (day < 1 ? 'undecided' : 'pass') });
    const handle = await lab.start('waits', {}, 'shadowTrial');
    await until(async () => (await lab.status(handle)).look?.kind === 'shadow');
    await say(handle, 'pause');
    for (let looks = 0; looks < 3; looks++) await until(() => lab.skipLook(handle));
    expect(await lab.status(handle)).toMatchObject({ state: 'paused', at: 0, look: { verdict: { says: 'pass' } } });
    await say(handle, 'resume');
    expect(await lab.result(handle)).toMatchObject({ outcome: 'passed' });
  });

  it('changes the plan of an open trial as an act on record, and only there', async () => {
    const plans: ShadowPlan[] = [];
    const { asked: calls } = await lab.model('changed', {
      look: (_, plan) => (plans.push(plan), plan.stage.alpha === 0.1 ? 'pass' : 'undecided'),
    });
    const handle = await lab.start('changed', { stages: stages({ ...SHADOW, maxWait: '3 days' }, APPROVAL) });
    await until(async () => (await lab.status(handle)).look?.kind === 'shadow');
    expect(await refusal(say(handle, 'changePlan', { stage: { alpha: 7 } }))).toContain('alpha');
    // What the model and its versions cannot give is refused as at a rollout's start.
    expect(
      await refusal(say(handle, 'changePlan', { stage: { slices: [{ column: 'hotl', is: 'x', margin: 0.1 }] } })),
    ).toContain('stage.slices.0.column: there is no input hotl');
    expect(await refusal(say(handle, 'changePlan', { stage: { lookEvery: '1 second' } }))).toContain(
      'at most 300 are made',
    );
    expect(await refusal(say(handle, 'changePlan', { stage: { loss: 'brier' } }))).toContain(
      'give minimumEffect together',
    );
    await say(handle, 'changePlan', { stage: { alpha: 0.1 } });
    await lab.asked(handle);
    expect(plans[0]!.changed).toEqual([]);
    expect(plans.at(-1)).toMatchObject({
      stage: { alpha: 0.1, maxWait: '3 days' },
      minimumEffect: 0.001,
      changed: [{ by: 'bo (unverified)', reason: 'because', was: { alpha: 0.05 } }],
    });
    // Sums under another plan are not taken over.
    expect(calls.find(({ plan }) => plan?.changed.length === 1)!.previous).toBeUndefined();
    expect(await refusal(say(handle, 'changePlan', { stage: { alpha: 0.2 } }))).toContain(
      'only the plan of an open shadow stage',
    );
    await say(handle, 'approve');
    expect(await lab.result(handle)).toMatchObject({ outcome: 'promoted' });
  });

  // Last: activities that outlive their workflow stop the skipped clock.
  it('goes back from a trial while its twins are trained, without waiting for them', async () => {
    const trained: (() => void)[] = [];
    await lab.model('training', { twins: () => new Promise<void>((done) => trained.push(done)) });
    const handle = await lab.start('training', { stages: stages({ kind: 'shadow' }) });
    await until(async () => (await lab.status(handle)).at === 0);
    await new Promise((done) => setTimeout(done, 500));
    await handle.signal('rollback', { by: 'bo', reason: 'not now' });
    expect(await lab.result(handle)).toMatchObject({ outcome: 'rolled back', stage: 'shadow' });
    for (const done of trained) done();
  });
});

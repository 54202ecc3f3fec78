import { setTimeout as sleep } from 'node:timers/promises';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Worker, WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClient, type ApiProblem } from '../../../api/client.ts';
import { createControl } from '../../../api/control.ts';
import { secretOf, type Stores } from '../../../bucket/index.ts';
import type { Problem } from '../../../schemas/index.ts';
import { bundleWorkflows, createPipelineWorker } from '../../../workers/create-workers.ts';
import { createLocalEnv } from '../../servers/temporal.ts';
import { fillLooks } from './looks.ts';
import { fill, MODEL, silent, temporaryStores } from './records.ts';

/** The real rollout machine behind the API, on a model whose version 2 serves and 1 did before. */

let env: TestWorkflowEnvironment;
let bundle: WorkflowBundleWithSourceMap;
let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let worker: Worker | undefined;
let running: Promise<void> | undefined;
let app: ReturnType<typeof createControl>;
let client: ReturnType<typeof createClient>;

const ASKS = [{ kind: 'approval' as const }];

beforeAll(async () => {
  [env, bundle] = await Promise.all([createLocalEnv(), bundleWorkflows()]);
});
afterAll(() => env?.teardown());

beforeEach(async () => {
  temporary = await temporaryStores();
  ({ stores } = temporary);
  await fill(stores);
  app = createControl({
    stores,
    temporal: async () => env.client,
    log: silent,
    promotionWaitMs: 20_000,
    supersedeWaitMs: 20_000,
  });
  client = as();
});
afterEach(async () => {
  await env.client.workflow
    .getHandle(`rollout-${MODEL}`)
    .terminate('the test is over')
    .catch(() => {});
  worker?.shutdown();
  await running;
  worker = running = undefined;
  temporary.remove();
});

const as = (apiKey?: string) =>
  createClient('http://gauntlet.test', { apiKey, fetch: async (input, init) => app.request(input, init) });

async function work(o: { embedded: boolean } = { embedded: false }): Promise<void> {
  const build = { commit: 'c0ffee', dirty: false, node: process.version, packages: {} };
  worker = await createPipelineWorker({
    connection: env.nativeConnection,
    namespace: 'default',
    context: { stores, home: temporary.folder, build, embedded: o.embedded },
    bundle,
  });
  running = worker.run();
}

async function keyOf(name: string, ...scopes: ('operate' | 'approve')[]): Promise<string> {
  const { secret } = await stores.keys.create({
    name,
    scopes,
    expiresAt: '2100-01-01T00:00:00.000Z',
    createdBy: 'tests',
    now: new Date().toISOString(),
  });
  await sleep(1_100); // it is known within a second
  return secret;
}

const refused = (asked: Promise<unknown>): Promise<Problem> =>
  asked.then(
    (answer) => {
      throw new Error(`it was answered: ${JSON.stringify(answer)}`);
    },
    (error: ApiProblem) => error.problem ?? Promise.reject(error),
  );

async function untilState(state: string) {
  for (let i = 0; i < 300; i++) {
    const rollout = await client.rollout(MODEL);
    if (rollout.status?.state === state || rollout.state === state) return rollout;
    await sleep(100);
  }
  throw new Error(`never ${state}: ${JSON.stringify(await client.rollout(MODEL))}`);
}

const begin = (more: object = {}) => client.startRollout(MODEL, { version: 1, by: 'cai', stages: ASKS, ...more });

describe('a rollout', () => {
  it('is started, seen where it stands, and waits for a word', async () => {
    await work();
    const started = await begin({ reason: 'version 2 refuses groups' });
    expect(started).toMatchObject({ workflowId: `rollout-${MODEL}`, follow: `/v1/models/${MODEL}/rollout` });
    expect(started.result).toBeUndefined();
    const rollout = await untilState('waiting');
    expect(rollout).toMatchObject({
      kind: 'promotion',
      state: 'running',
      version: 1,
      status: { version: 1, champion: 2, at: 0, stages: [{ kind: 'approval', deadline: '7 days' }], votes: [] },
    });
    expect(rollout.says).toMatch(
      /^The promotion of hotel-cancellations version 1 runs since .*, at stage 1 of 1 \(approval\), waiting\.$/,
    );
  });

  it('is not started twice: the refusal says what runs, where, since when, and how to see or end it', async () => {
    await work();
    await begin();
    await untilState('waiting');
    const problem = await refused(begin());
    expect(problem).toMatchObject({ status: 409, type: 'urn:gauntlet:already-running' });
    expect(problem.detail).toMatch(
      /^A rollout of hotel-cancellations is running already, so nothing was started: the promotion of version 1 since 20.*Z, at stage 1 of 1 \(approval\), waiting\.$/,
    );
    expect(problem.next).toContain(`gauntlet rollout ${MODEL}`);
    expect(problem.next).toContain(`gauntlet promote ${MODEL} --supersede, or "supersede": true`);
  });

  it('is superseded: the one before ends cleanly, and then this one starts', async () => {
    await work();
    const first = await begin();
    await untilState('waiting');
    const second = await begin({ supersede: true, reason: 'one step at a time' });
    expect(second.superseded).toMatch(/^The promotion .* ended at .*: cancelled, because cancelled by a person/);
    expect(second.runId).not.toBe(first.runId);
    const { status } = await untilState('waiting');
    expect(status).toMatchObject({ version: 1, state: 'waiting' });
    expect((await stores.serving.current(MODEL))!.serving).toMatchObject({
      champion: 2,
      holder: `rollout-${MODEL}/${second.runId}`,
    });
    const { entries } = await client.history(MODEL);
    expect(entries[0]).toMatchObject({
      by: 'cai',
      because: expect.stringContaining(`supersedes ${first.runId}, asked for by cai: one step at a time`),
    });
  });

  it('is not ended for one that would be refused', async () => {
    await work();
    const { runId } = await begin();
    await untilState('waiting');
    expect(await refused(begin({ stages: [], supersede: true }))).toMatchObject({
      status: 409,
      type: 'urn:gauntlet:needs-stages',
      detail: expect.stringContaining('The rollout that runs goes on.'),
    });
    expect(await client.rollout(MODEL)).toMatchObject({ runId, state: 'running' });
  });

  it('is not ended for one whose stages the versions do not fit, or by force beside stages', async () => {
    await work();
    const { runId } = await begin();
    await untilState('waiting');
    // Version 1 has seen labels since.
    const early = [{ kind: 'shadow' as const, from: '2000-01-01' }];
    expect(await refused(begin({ stages: early, supersede: true }))).toMatchObject({
      status: 409,
      type: 'urn:gauntlet:stages-do-not-fit',
      detail: expect.stringContaining('has seen labels until'),
    });
    expect(await refused(begin({ force: true, reason: 'x', supersede: true }))).toMatchObject({
      status: 422,
      issues: [expect.objectContaining({ at: 'stages', expected: 'force leaves all stages out: give one of the two' })],
    });
    expect(await client.rollout(MODEL)).toMatchObject({ runId, state: 'running' });
  });

  it('that does not end is not superseded, and nothing is started', async () => {
    await work();
    await begin();
    await untilState('waiting');
    worker!.shutdown();
    await running;
    app = createControl({ stores, temporal: async () => env.client, log: silent, supersedeWaitMs: 500 });
    client = as();
    expect(await refused(begin({ supersede: true }))).toMatchObject({
      status: 409,
      type: 'urn:gauntlet:not-ended-yet',
      detail: expect.stringContaining('nothing was started'),
    });
    worker = running = undefined;
  });

  it('of a model that has none is a 404, and there is nobody to say anything to: 409', async () => {
    await stores.projects.create({
      ...(await stores.projects.newest(MODEL))!,
      model: 'other',
      spec: { ...(await stores.projects.newest(MODEL))!.spec, name: 'other' },
    });
    expect(await refused(client.rollout('other'))).toMatchObject({ status: 404, type: 'urn:gauntlet:no-rollout' });
    expect(await refused(client.pause('other', { reason: 'x' }))).toMatchObject({
      status: 409,
      detail: 'No rollout of other is under way.',
    });
  });

  it('that Temporal has forgotten is what its newest look says', async () => {
    const project = (await stores.projects.newest(MODEL))!;
    await stores.projects.create({ ...project, model: 'other', spec: { ...project.spec, name: 'other' } });
    await fillLooks(stores, 'other');
    expect(await client.rollout('other')).toMatchObject({
      state: 'forgotten',
      runId: 'another',
      look: { kind: 'plan' },
      says: expect.stringContaining('Temporal has forgotten the last rollout of other'),
    });
  });
});

describe('what is said to it', () => {
  it('is refused in its own words where it is not the time', async () => {
    await work();
    await begin();
    await untilState('waiting');
    expect(await refused(client.advance(MODEL, { by: 'cai', reason: 'x' }))).toMatchObject({
      status: 409,
      title: 'Advance was refused',
      detail: expect.stringContaining('approve it, or reject it'),
    });
    expect(await refused(client.resume(MODEL, { by: 'cai', reason: 'x' }))).toMatchObject({
      status: 409,
      detail: expect.stringContaining('it is not paused'),
    });
    expect(
      await refused(client.changePlan(MODEL, { by: 'cai', reason: 'x', stage: { maxUnseen: 0.3 } })),
    ).toMatchObject({ status: 409, detail: expect.stringContaining('only the plan of an open shadow stage') });
  });

  it('pause, resume and rollback are heard, by whoever the key says', async () => {
    await work();
    await begin();
    await untilState('waiting');
    client = as(await keyOf('ana', 'operate'));
    const paused = await client.pause(MODEL, { by: 'eve', reason: 'holidays' });
    expect(paused).toMatchObject({
      says: `Rollout of ${MODEL}: paused by ana: holidays`,
      status: { state: 'paused' },
    });
    expect((await client.resume(MODEL, { reason: 'back' })).status).toMatchObject({ state: 'waiting' });
    await client.rollbackRollout(MODEL, { reason: 'never mind' });
    const { result } = await untilState('completed');
    expect(result).toMatchObject({ outcome: 'rolled back', because: 'ana: never mind' });
    expect((await stores.serving.current(MODEL))!.serving).toEqual({ champion: 2, previous: 1, shadows: [] });
  });

  it('of somebody whose key was checked sends it on where votes must be verified, of nobody it does not', async () => {
    await work({ embedded: false });
    await begin({ stages: [{ kind: 'bake' as const }] });
    await untilState('running');
    expect(await refused(client.advance(MODEL, { by: 'eve', reason: 'go' }))).toMatchObject({
      status: 409,
      detail: expect.stringContaining('nobody has checked who says so'),
    });
    client = as(await keyOf('ana', 'operate'));
    await client.advance(MODEL, { reason: 'go' });
    const { result } = await untilState('completed');
    expect(result).toMatchObject({ outcome: 'promoted', because: 'advanced by ana: go' });
  });

  it('without a key is kept as of somebody unverified', async () => {
    await work();
    await begin();
    await untilState('waiting');
    await client.rollbackRollout(MODEL, { by: 'eve', reason: 'never mind' });
    const { result } = await untilState('completed');
    expect(result).toMatchObject({ because: 'eve (unverified): never mind' });
    for await (const { key } of stores.bucket.list('votes/')) throw new Error(`${key} was written`);
  });
});

describe('a vote', () => {
  it('of somebody whose key was checked is written down first, counts, and is cited by the revision', async () => {
    await work();
    await begin();
    await untilState('waiting');
    const [operate, approve] = [await keyOf('ben', 'operate'), await keyOf('ana', 'approve')];
    expect(await refused(as(secretOf('0')).approve(MODEL, { reason: 'x' }))).toMatchObject({ status: 401 });
    expect(await refused(as(operate).approve(MODEL, { reason: 'x' }))).toMatchObject({ status: 403 });
    const vote = await as(approve).approve(MODEL, { by: 'eve', reason: 'slices look right' });
    expect(vote).toMatchObject({
      says: `Rollout of ${MODEL}: approved by ana (verified): slices look right`,
      vote: { says: 'approve', by: 'ana', verified: true, channel: 'api', counts: true },
    });
    expect(await stores.votes.read(vote.record!)).toMatchObject({
      model: MODEL,
      runId: vote.runId,
      says: 'approve',
      by: 'ana',
      reason: 'slices look right',
    });
    const { result } = await untilState('completed');
    expect(result).toMatchObject({ outcome: 'promoted', version: 1 });
    const { entries } = await client.history(MODEL);
    expect(entries[0]).toMatchObject({ champion: 1, verdict: { kind: 'approval', says: 'pass' } });
    const { look } = await client.look(MODEL, entries[0]!.look!);
    expect(look.evidence).toMatchObject({ votes: [{ by: 'ana', verified: true, channel: 'api' }] });
  });

  it('sent again with its request id is the same vote, and is answered by what is on record', async () => {
    await work();
    await begin({ stages: [...ASKS, { kind: 'bake' as const }] });
    await untilState('waiting');
    const authorization = `Bearer ${await keyOf('ana', 'approve')}`;
    const vote = async (reason: string) => {
      const headers = { 'content-type': 'application/json', 'x-request-id': 'once', authorization };
      const body = JSON.stringify({ reason });
      const answer = await app.request(`/v1/models/${MODEL}/rollout/approve`, { method: 'POST', headers, body });
      return (await answer.json()) as { says: string };
    };
    const says = `Rollout of ${MODEL}: approved by ana (verified): slices look right`;
    expect(await vote('slices look right')).toMatchObject({ says });
    expect(await vote('something else')).toMatchObject({ says });
    const written = [];
    for await (const { key } of stores.bucket.list('votes/')) written.push(key);
    expect(written).toHaveLength(1);
  });

  it('by key is not sent where the rollout does not say what it asks: 503, and nothing is written', async () => {
    await work();
    await begin();
    await untilState('waiting');
    client = as(await keyOf('ana', 'approve'));
    worker!.shutdown();
    await running;
    worker = running = undefined;
    expect(await refused(client.approve(MODEL, { reason: 'slices look right' }))).toMatchObject({
      status: 503,
      type: 'urn:gauntlet:no-answer',
      detail: expect.stringContaining('the vote was not sent'),
    });
    await work();
    expect((await untilState('waiting')).status!.votes).toEqual([]);
    for await (const { key } of stores.bucket.list('votes/')) throw new Error(`${key} was written`);
  });

  it('of somebody whom nobody checked does not count where that is not allowed, and the refusal says so', async () => {
    await work({ embedded: false });
    await begin();
    await untilState('waiting');
    const problem = await refused(client.approve(MODEL, { by: 'eve', reason: 'trust me' }));
    expect(problem).toMatchObject({ status: 409, title: 'Approve was refused' });
    expect(problem.detail).toContain('nobody checked who it is from');
    expect((await untilState('waiting')).status!.votes).toMatchObject([{ by: 'eve', counts: false, verified: false }]);
  });

  it('counts unverified where Gauntlet brought up its own Temporal', async () => {
    await work({ embedded: true });
    await begin();
    await untilState('waiting');
    expect(await client.reject(MODEL, { by: 'eve', reason: 'worse for groups' })).toMatchObject({
      vote: { by: 'eve', verified: false, counts: true, channel: 'update' },
    });
    expect((await untilState('completed')).result).toMatchObject({ outcome: 'rejected' });
  });

  it('on another look is refused, and no vote of it is kept', async () => {
    await work();
    await begin();
    await untilState('waiting');
    client = as(await keyOf('ana', 'approve'));
    const problem = await refused(client.approve(MODEL, { reason: 'x', look: '0123456789abcdef' }));
    expect(problem).toMatchObject({ status: 409, detail: expect.stringContaining('0123456789abcdef') });
    for await (const { key } of stores.bucket.list('votes/')) throw new Error(`${key} was written`);
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createControl } from '../../../api/control.ts';
import type { RolloutStart, Started, Training } from '../../../api/control/shapes.ts';
import { TASK_QUEUE, type Problem } from '../../../schemas/index.ts';
import { shared } from '../../../workers/temporal/index.ts';
import { createLocalEnv } from '../../servers/temporal.ts';
import { fill, MODEL, silent, temporaryStores } from './records.ts';

/** Workflows of this file's own, under the names that the API starts: the API is tested, not the pipeline. */
const WORKFLOWS = new URL('./workflows.ts', import.meta.url).pathname;

let env: TestWorkflowEnvironment;
let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let app: ReturnType<typeof createControl>;

beforeAll(async () => {
  env = await createLocalEnv();
  temporary = await temporaryStores();
  await fill(temporary.stores);
  app = createControl({
    stores: temporary.stores,
    temporal: async () => env.client,
    uiUrl: 'http://127.0.0.1:8233',
    log: silent,
    promotionWaitMs: 4_000,
  });
});
afterAll(async () => {
  await env?.teardown();
  temporary?.remove();
});

const post = async (path: string, body: unknown) => {
  const answer = await app.request(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as Partial<Problem & Started & RolloutStart> };
};
const get = async (path: string): Promise<unknown> => (await app.request(path)).json();

async function withWorker<T>(act: () => Promise<T>): Promise<T> {
  const worker = await Worker.create({
    connection: env.nativeConnection,
    taskQueue: TASK_QUEUE,
    workflowsPath: WORKFLOWS,
    activities: {
      // Heartbeats as training does, until it is told to stop.
      async fit() {
        const { Context } = await import('@temporalio/activity');
        for (let done = 1; ; done++) {
          Context.current().heartbeat({ done, of: 500, curve: { tree: done, trainLoss: 0.5, validLoss: 0.49 } });
          await Context.current().sleep(100);
        }
      },
    },
    ...shared,
  });
  return worker.runUntil(act);
}

async function until(path: string, holds: (body: Training) => boolean): Promise<Training> {
  for (let i = 0; i < 200; i++) {
    const body = (await get(path)) as Training;
    if (holds(body)) return body;
    await sleep(100);
  }
  throw new Error(`${path} never came to that: ${JSON.stringify(await get(path))}`);
}

describe('starting a training', () => {
  it('starts trainingPipeline as train-<model>, with summary, attributes and priority', async () => {
    const { status, body } = await post(`/v1/models/${MODEL}/train`, {
      overrides: { 'training.maxDepth': 8 },
      by: 'cai',
    });
    expect(status).toBe(202);
    expect(body).toMatchObject({
      workflowId: `train-${MODEL}`,
      follow: `/v1/trainings/train-${MODEL}`,
      ui: expect.stringContaining(`/namespaces/default/workflows/train-${MODEL}/`),
    });
    const handle = env.client.workflow.getHandle(`train-${MODEL}`);
    const description = await handle.describe();
    expect(description).toMatchObject({ type: 'trainingPipeline', taskQueue: TASK_QUEUE });
    const { input } = (await handle.fetchHistory()).events![0]!.workflowExecutionStartedEventAttributes!;
    // Whoever asked for it is who its rollout is by.
    expect(JSON.parse(Buffer.from(input!.payloads![0]!.data!).toString())).toMatchObject({ model: MODEL, by: 'cai' });
    expect(await description.staticSummary()).toBe(`Train ${MODEL}`);
    expect(description.searchAttributes['GauntletModel']).toEqual([MODEL]);
    expect(description.priority).toMatchObject({ priorityKey: 3, fairnessKey: MODEL });
  });

  it('a second under the same id is a 409 that says what runs and how to see it', async () => {
    const { status, body } = await post(`/v1/models/${MODEL}/train`, {});
    expect(status).toBe(409);
    expect(body.detail).toMatch(/train-hotel-cancellations is running already.*trainingPipeline since 20/);
    expect(body.next).toContain(`GET /v1/trainings/train-${MODEL}`);
  });

  it('another id runs beside it', async () => {
    const { status, body } = await post(`/v1/models/${MODEL}/train?workflowId=by-hand`, {});
    expect([status, body.workflowId]).toEqual([202, 'by-hand']);
    await env.client.workflow.getHandle('by-hand').terminate('test');
  });

  it('without a worker, following says what it waits for', async () => {
    expect(await get(`/v1/trainings/train-${MODEL}`)).toMatchObject({
      status: 'running',
      waiting: expect.stringContaining('no worker polls the task queue gauntlet'),
      activities: [],
    });
  });
});

describe('following a training', () => {
  it('shows finished steps, then heartbeats of what is under way, then how it ended', async () => {
    await withWorker(async () => {
      const path = `/v1/trainings/train-${MODEL}`;
      const running = await until(path, (body) => body.activities?.[0]?.heartbeat !== undefined);
      expect(running).toMatchObject({
        model: MODEL,
        status: 'running',
        progress: { step: 'train', lines: [{ step: 'split', text: '38,135 matured rows' }] },
        activities: [{ type: 'fit', attempt: 1, heartbeat: { of: 500, curve: { validLoss: 0.49 } } }],
      });
      await env.client.workflow.getHandle(`train-${MODEL}`).signal('finish');
      expect(await until(path, (body) => body.status !== 'running')).toMatchObject({
        status: 'completed',
        result: { outcome: 'registered', version: 3 },
        endedAt: expect.any(String),
      });
    });
  });

  it('a failed one gives the failure in the words of whoever refused', async () => {
    await withWorker(async () => {
      await post(`/v1/models/${MODEL}/train?workflowId=bad`, { overrides: { fail: true } });
      expect(await until('/v1/trainings/bad', (body) => body.status !== 'running')).toMatchObject({
        status: 'failed',
        failure: { type: 'BadOverride', message: 'fail: no such path in model.yaml' },
      });
    });
  });

  it('an unknown workflow is a 404 that says where runs are kept', async () => {
    expect(await get('/v1/trainings/nothing')).toMatchObject({
      status: 404,
      next: expect.stringContaining('/v1/runs'),
    });
  });
});

describe('promotion', () => {
  it('answers with the result where it ends within seconds', async () => {
    await withWorker(async () => {
      const { status, body } = await post(`/v1/models/${MODEL}/rollouts`, { version: 2, by: 'ana' });
      expect(status).toBe(200);
      expect(body).toMatchObject({ workflowId: `rollout-${MODEL}`, result: { outcome: 'promoted', version: 2 } });
    });
  });

  it('a refusal is a 409 with the reason', async () => {
    await withWorker(async () => {
      const { status, body } = await post(`/v1/models/${MODEL}/rollouts`, { version: 1, stages: [] });
      expect([status, body.type]).toEqual([409, 'urn:gauntlet:needs-stages']);
      expect(body.detail).toContain('has a champion');
    });
  });

  it('says that it is under way where it takes longer', async () => {
    const { status, body } = await post(`/v1/models/${MODEL}/rollouts`, { version: 2 });
    expect(status).toBe(202);
    expect(body.result).toBeUndefined();
    const again = await post(`/v1/models/${MODEL}/rollouts`, { version: 2 });
    expect(again.status).toBe(409);
    await env.client.workflow.getHandle(`rollout-${MODEL}`).terminate('test');
  });
});

describe('an import of labels', () => {
  const path = `/v1/models/${MODEL}/import-labels`;
  it('is started as import-labels-<model>, and answers with its result or its failure', async () => {
    await withWorker(async () => {
      const { status, body } = await post(path, { asOf: '2016-09-01' });
      expect([status, body]).toMatchObject([
        200,
        {
          workflowId: `import-labels-${MODEL}`,
          result: { outcome: 'imported', model: MODEL, until: '2016-09-01T00:00:00.000Z' },
        },
      ]);
      const failed = await post(path, { asOf: '1900-01-01' });
      expect([failed.status, failed.body.type, failed.body.title]).toEqual([
        409,
        'urn:gauntlet:labels-sql',
        'The import was refused',
      ]);
    });
  });

  it('is under way where it takes longer, and is not started twice', async () => {
    expect(await post(path, {})).toMatchObject({ status: 202, body: { workflowId: `import-labels-${MODEL}` } });
    expect((await post(path, {})).status).toBe(409);
    await env.client.workflow.getHandle(`import-labels-${MODEL}`).terminate('test');
  });

  it('of another model, or of a day that no calendar has, is refused before it starts', async () => {
    expect((await post('/v1/models/hotel-cancelations/import-labels', {})).status).toBe(404);
    expect((await post(path, { asOf: '2016-02-30' })).status).toBe(422);
  });
});

it('the doctor finds Temporal, its search attributes and no worker', async () => {
  expect(await get('/v1/doctor')).toMatchObject({
    checks: expect.arrayContaining([
      expect.objectContaining({ check: 'temporal', says: 'ok' }),
      { check: 'search attributes', says: 'ok', found: expect.stringContaining('GauntletVersion') },
      expect.objectContaining({ check: 'workers of gauntlet-training', says: 'warn' }),
      { check: 'workflows', says: 'ok', found: 'none is wedged' },
    ]),
  });
});

it('status says which server and namespace answer', async () => {
  expect(await get('/v1/status')).toMatchObject({
    temporal: { ok: true, because: expect.stringContaining('default') },
  });
});

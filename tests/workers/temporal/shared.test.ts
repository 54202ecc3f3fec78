import { fileURLToPath } from 'node:url';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Worker } from '@temporalio/worker';
import type { WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shared } from '../../../workers/temporal/index.ts';
import { createTimeSkippingEnv } from '../../servers/temporal.ts';

const workflowsPath = fileURLToPath(new URL('./fixtures/echo-workflow.ts', import.meta.url));
const logger = new DefaultLogger('WARN');
const activities = { shout: async (input: { text: string }) => ({ text: input.text.toUpperCase() }) };

let env: TestWorkflowEnvironment;
let workflowBundle: WorkflowBundleWithSourceMap;
beforeAll(async () => {
  env = await createTimeSkippingEnv();
  workflowBundle = await bundleWorkflowCode({
    workflowsPath,
    payloadConverterPath: shared.dataConverter.payloadConverterPath,
    plugins: shared.plugins,
    logger,
  });
});
afterAll(() => env?.teardown());

const withWorker = async <T>(work: () => Promise<T>): Promise<T> => {
  const worker = await Worker.create({
    connection: env.nativeConnection,
    taskQueue: 'echo',
    workflowBundle,
    activities,
    ...shared,
  });
  return worker.runUntil(work);
};

describe('a client, a worker and a replay that share converter and plugins', () => {
  it('carry a workflow through 30 skipped days, and replay its history', async () => {
    await withWorker(async () => {
      const started = Date.now();
      const handle = await env.client.workflow.start('echo', {
        taskQueue: 'echo',
        workflowId: 'echo-1',
        args: [{ text: 'hello', days: 30 }],
      });
      expect(await handle.result()).toEqual({ text: 'HELLO' });
      expect(Date.now() - started).toBeLessThan(20_000);
      await Worker.runReplayHistory({ workflowBundle, ...shared }, await handle.fetchHistory(), 'echo-1');
    });
  });

  it('replay a history that was recorded without them', async () => {
    const bare = await bundleWorkflowCode({ workflowsPath, logger });
    const worker = await Worker.create({
      connection: env.nativeConnection,
      taskQueue: 'bare',
      workflowBundle: bare,
      activities,
    });
    const history = await worker.runUntil(async () => {
      const handle = await env.client.workflow.start('echo', {
        taskQueue: 'bare',
        workflowId: 'echo-2',
        args: [{ text: 'hello', days: 1 }],
      });
      await handle.result();
      return handle.fetchHistory();
    });
    await expect(Worker.runReplayHistory({ workflowBundle, ...shared }, history, 'echo-2')).resolves.not.toThrow();
  });

  it('refuse an input that is not plain JSON before it is sent', async () => {
    await expect(
      env.client.workflow.start('echo', {
        taskQueue: 'echo',
        workflowId: 'echo-3',
        args: [{ text: new Date(0), days: 1 }],
      }),
    ).rejects.toThrow(/value\.text is Date; what crosses a Temporal boundary is plain JSON/);
  });
});

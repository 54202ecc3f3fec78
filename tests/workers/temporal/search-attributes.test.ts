import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ensureSearchAttributes } from '../../../workers/temporal/index.ts';
import { createLocalEnv } from '../../servers/temporal.ts';

let env: TestWorkflowEnvironment;
beforeAll(async () => {
  env = await createLocalEnv();
});
afterAll(() => env?.teardown());

it('ensureSearchAttributes finds all of ours on a server that was started with them', async () => {
  expect(await ensureSearchAttributes(env.connection, 'default')).toEqual([]);
});

it('ensureSearchAttributes registers what is missing, and a workflow can at once be started with it', async () => {
  const wanted = { TestColour: 'Keyword', TestSize: 'Int' };
  expect(await ensureSearchAttributes(env.connection, 'default', wanted)).toEqual(['TestColour', 'TestSize']);
  expect(await ensureSearchAttributes(env.connection, 'default', wanted)).toEqual([]);
  const handle = await env.client.workflow.start('any', {
    taskQueue: 'nobody',
    workflowId: 'coloured',
    searchAttributes: { TestColour: ['red'], TestSize: [3] },
  });
  await expect
    .poll(async () => (await env.client.workflow.count("TestColour = 'red' AND TestSize = 3")).count, {
      timeout: 10_000,
    })
    .toBe(1);
  await handle.terminate();
});

it('ensureSearchAttributes may be called by several at once', async () => {
  const wanted = { TestShape: 'Keyword' };
  await Promise.all([1, 2, 3].map(() => ensureSearchAttributes(env.connection, 'default', wanted)));
  expect(await ensureSearchAttributes(env.connection, 'default', wanted)).toEqual([]);
});

it('ensureSearchAttributes stops at an attribute of another type, and says what can be done', async () => {
  await expect(ensureSearchAttributes(env.connection, 'default', { GauntletVersion: 'Keyword' })).rejects.toMatchObject(
    {
      type: 'SearchAttributeType',
      message:
        'Namespace default has search attribute GauntletVersion as Int; Gauntlet needs it as Keyword. A type cannot be changed: use another namespace (TEMPORAL_NAMESPACE), or, if nothing else uses it, run: temporal operator search-attribute remove --namespace default --name GauntletVersion and start again.',
      issues: [{ at: 'GauntletVersion', found: 'Int', expected: 'Keyword' }],
    },
  );
});

it('ensureSearchAttributes gives the exact command where the server refuses to create one', async () => {
  // The dev server holds at most three attributes of type Text.
  const wanted = { TestA: 'Text', TestB: 'Text', TestC: 'Text', TestD: 'Text' };
  await expect(ensureSearchAttributes(env.connection, 'default', wanted)).rejects.toMatchObject({
    type: 'SearchAttributesMissing',
    message: expect.stringContaining(
      'temporal operator search-attribute create --namespace default --name TestA --type Text --name TestB --type Text',
    ),
  });
});

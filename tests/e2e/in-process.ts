import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { applyProject } from '../../activities/project/apply.ts';
import { readProjectFolder } from '../../activities/project/read-folder.ts';
import { openStores, type Stores } from '../../bucket/index.ts';
import {
  TASK_QUEUE,
  type Applied,
  type PiiHasher,
  type TrainingPipelineInput,
  type TrainingPipelineResult,
} from '../../schemas/index.ts';
import { readBuild } from '../../workers/build.ts';
import { bundleWorkflows, createPipelineWorker, createTrainingWorker } from '../../workers/create-workers.ts';
import { executionStateOf } from '../../workers/execution-state.ts';
import { createLocalEnv } from '../servers/temporal.ts';

export interface InProcess {
  env: TestWorkflowEnvironment;
  stores: Stores;
  /** Folder for model projects and the home; removed at the end. */
  folder: string;
  bucket: string;
  apply(folder: string): Promise<Applied>;
  train(input: TrainingPipelineInput, workflowId?: string): Promise<TrainingPipelineResult>;
  start(type: string, workflowId: string, input: unknown): Promise<WorkflowHandle>;
  stop(): Promise<void>;
}

/**
 * A real Temporal dev server, both workers and a directory bucket in a temporary folder. With a key, Temporal's database
 * is a file in it: whoever looks for personal values looks there too.
 */
export async function startInProcess(o: { pii?: PiiHasher } = {}): Promise<InProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'gauntlet-e2e-'));
  const bucket = join(folder, 'bucket');
  const env = await createLocalEnv(o.pii ? { dbFilename: join(folder, 'temporal.db') } : {});
  const stores = await openStores({ bucket: `file:${bucket}`, home: folder });
  const context = {
    stores,
    home: folder,
    build: await readBuild(),
    pii: o.pii,
    executionState: executionStateOf(env.client),
    embedded: true,
  };
  const worker = { connection: env.nativeConnection, namespace: env.namespace ?? 'default', context };
  const workers = await Promise.all([
    createPipelineWorker({ ...worker, bundle: await bundleWorkflows() }),
    createTrainingWorker(worker),
  ]);
  const runs = workers.map((worker) => worker.run());
  const start = (type: string, workflowId: string, input: unknown) =>
    env.client.workflow.start(type, { taskQueue: TASK_QUEUE, workflowId, args: [input] });
  return {
    env,
    stores,
    folder,
    bucket,
    start,
    async apply(project) {
      return applyProject(stores, await readProjectFolder(project), { by: 'tests', dryRun: false, now: new Date() });
    },
    async train(input, workflowId = `train-${input.model}`) {
      const handle = await start('trainingPipeline', workflowId, input);
      return (await handle.result()) as TrainingPipelineResult;
    },
    async stop() {
      for (const worker of workers) worker.shutdown();
      await Promise.all(runs);
      await env.teardown();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The innermost message of a failed workflow: what a person reads. */
export async function failureOf(result: Promise<unknown>): Promise<{ type: string; message: string }> {
  try {
    await result;
  } catch (error) {
    let cause = error as Error & { type?: string };
    while (cause.cause instanceof Error) cause = cause.cause;
    return { type: cause.type ?? cause.name, message: cause.message };
  }
  throw new Error('the workflow did not fail');
}

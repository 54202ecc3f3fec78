import { fileURLToPath } from 'node:url';
import {
  bundleWorkflowCode,
  Worker,
  type NativeConnection,
  type WorkerOptions,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import { createPipelineActivities, createTrainingActivities, type Context } from '../activities/index.ts';
import { TASK_QUEUE, TRAINING_TASK_QUEUE } from '../schemas/index.ts';
import { shared } from './temporal/index.ts';

export const WORKFLOWS_PATH = fileURLToPath(new URL('../workflows/index.ts', import.meta.url));

/** All workflows in one bundle, as workers and replays take it. */
export function bundleWorkflows(): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({ workflowsPath: WORKFLOWS_PATH, ...bundling });
}

const bundling = {
  payloadConverterPath: shared.dataConverter.payloadConverterPath,
  plugins: shared.plugins,
  logger: { trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error, log() {} },
};

const manners = {
  ...shared,
  shutdownGraceTime: '10 seconds', // a step that ends soon may end; longer ones resume from their checkpoints
  shutdownForceTime: '15 seconds',
  maxHeartbeatThrottleInterval: '2 seconds', // progress bars; the details are small
} satisfies Partial<WorkerOptions>;

/** The pipeline worker: workflows, and activities that read, compute shortly and write. */
export async function createPipelineWorker(o: {
  connection: NativeConnection;
  namespace: string;
  context: Context;
  bundle: WorkflowBundleWithSourceMap;
  overrides?: Partial<WorkerOptions>;
}): Promise<Worker> {
  return Worker.create({
    ...manners,
    connection: o.connection,
    namespace: o.namespace,
    taskQueue: TASK_QUEUE,
    workflowBundle: o.bundle,
    activities: createPipelineActivities(o.context),
    maxConcurrentActivityTaskExecutions: 200, // most of them watch and wait; what works takes turns by itself
    ...o.overrides,
  });
}

/** The training worker: each activity fills a core, so as many at once as there are few cores. */
export async function createTrainingWorker(o: {
  connection: NativeConnection;
  namespace: string;
  context: Context;
  overrides?: Partial<WorkerOptions>;
}): Promise<Worker> {
  return Worker.create({
    ...manners,
    connection: o.connection,
    namespace: o.namespace,
    taskQueue: TRAINING_TASK_QUEUE,
    activities: createTrainingActivities(o.context),
    maxConcurrentActivityTaskExecutions: 2,
    ...o.overrides,
  });
}

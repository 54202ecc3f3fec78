import {
  WorkflowFailedError,
  WorkflowNotFoundError,
  type Client,
  type WorkflowExecutionDescription,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { Progress, TASK_QUEUE, TRAINING_TASK_QUEUE, TrainingHeartbeat } from '../../schemas/index.ts';
import { describe, heartbeatOf, reasonInWords, uiLink, withTemporal, type TemporalOptions } from './temporal.ts';
import { Training } from './shapes.ts';

/** A query needs a worker; without one it would wait for ever. */
const QUERY_TIMEOUT_MS = 2_000;

/** Temporal's names of how a workflow is. */
export const STATUS: Record<string, Training['status']> = {
  RUNNING: 'running',
  COMPLETED: 'completed',
  FAILED: 'failed',
  CANCELLED: 'cancelled',
  TERMINATED: 'terminated',
  TIMED_OUT: 'timed out',
};

/** How far a training is: its steps, what is under way and how far, and in the end its result or failure in words. */
export async function describeTraining(o: TemporalOptions, workflowId: string): Promise<Training> {
  return withTemporal(o, async (client) => {
    const description = await describe(client, workflowId);
    const status = STATUS[description.status.name] ?? 'running';
    const running = status === 'running';
    const [progress, activities, end, waiting] = await Promise.all([
      queryProgress(client, description),
      pendingActivities(client, description),
      running ? {} : outcomeOf(client, description),
      running ? whyNothingMoves(client, description) : undefined,
    ]);
    return {
      workflowId,
      runId: description.runId,
      model: progress?.model,
      status,
      startedAt: description.startTime.toISOString(),
      endedAt: description.closeTime?.toISOString(),
      progress,
      activities,
      ...end,
      waiting,
      ui: uiLink(o, client, workflowId, description.runId),
    };
  });
}

async function queryProgress(
  client: Client,
  { workflowId, runId }: WorkflowExecutionDescription,
): Promise<Progress | undefined> {
  try {
    const answer = await client.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () =>
      client.workflow.getHandle(workflowId, runId).query<unknown>('progress'),
    );
    return Progress.safeParse(answer).data;
  } catch {
    // No worker, or one that is busy replaying: what is pending still says something.
    return undefined;
  }
}

async function pendingActivities(
  client: Client,
  { raw }: WorkflowExecutionDescription,
): Promise<Training['activities']> {
  return Promise.all(
    (raw.pendingActivities ?? []).map(async (activity) => ({
      type: activity.activityType?.name ?? 'unknown',
      attempt: activity.attempt ?? 1,
      heartbeat: TrainingHeartbeat.safeParse(await heartbeatOf(client, activity)).data,
      lastFailure: activity.lastFailure?.message ?? undefined,
    })),
  );
}

async function outcomeOf(
  client: Client,
  { workflowId, runId }: WorkflowExecutionDescription,
): Promise<Pick<Training, 'result' | 'failure'>> {
  try {
    const result: unknown = await client.workflow.getHandle(workflowId, runId).result();
    return { result: Training.shape.result.safeParse(result).data };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw error;
    return { failure: failureInWords(error) };
  }
}

/** The application's own failure where there is one in the chain of causes: the rest only says that something failed. */
export function failureInWords(error: unknown): { type: string; message: string } {
  for (let e: unknown = error; e instanceof Error; e = e.cause)
    if (e instanceof ApplicationFailure) return { type: e.type ?? 'failure', message: e.message };
  if (error instanceof WorkflowFailedError)
    return { type: error.cause?.name ?? 'failure', message: reasonInWords(error) };
  return { type: error instanceof Error ? error.name : 'failure', message: reasonInWords(error) };
}

/** temporal.api.enums.v1.PendingActivityState: no worker has taken it. */
const SCHEDULED = 1;
/** The activities of the training queue: a pending one does not say where it waits. */
const TRAINS = new Set(['train', 'fitBaseline']);

const noWorker = (queue: string): string => `no worker polls the task queue ${queue}: start one with npx gauntlet up`;

/** Where no worker is there, or one fails at each try. */
export async function whyNothingMoves(
  client: Client,
  description: WorkflowExecutionDescription,
): Promise<string | undefined> {
  const attempt = description.raw.pendingWorkflowTask?.attempt ?? 0;
  if (attempt > 1)
    return `its workflow task fails and is tried again (attempt ${attempt}): the worker's log and the Temporal UI have the error`;
  if (!(await hasPollers(client, TASK_QUEUE))) return noWorker(TASK_QUEUE);
  const scheduled = (description.raw.pendingActivities ?? []).some(
    ({ state, activityType }) => state === SCHEDULED && TRAINS.has(activityType?.name ?? ''),
  );
  if (scheduled && !(await hasPollers(client, TRAINING_TASK_QUEUE))) return noWorker(TRAINING_TASK_QUEUE);
  return undefined;
}

export async function hasPollers(client: Client, taskQueue: string): Promise<boolean> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: taskQueue === TASK_QUEUE ? 1 : 2,
  });
  return (pollers ?? []).length > 0;
}

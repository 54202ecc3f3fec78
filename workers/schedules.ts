import { ScheduleOverlapPolicy, type Client, type ScheduleOptions } from '@temporalio/client';
import { ensureLabelSchedule, ensureSchedule } from '../api/control/schedules.ts';
import type { Stores } from '../bucket/index.ts';
import { TASK_QUEUE, UserError } from '../schemas/index.ts';

/** Schedules that every Gauntlet has. */
export const SCHEDULES: readonly ScheduleOptions[] = [
  {
    scheduleId: 'housekeeping',
    spec: { intervals: [{ every: '1 hour', offset: '16 minutes' }] }, // an hour of the log closes 15 minutes after its end
    action: {
      type: 'startWorkflow',
      workflowType: 'housekeeping',
      workflowId: 'housekeeping',
      taskQueue: TASK_QUEUE,
      args: [{}],
      staticSummary: 'Closes the hours of the prediction log',
    },
    policies: {
      overlap: ScheduleOverlapPolicy.SKIP, // the next run takes up what this one leaves
      catchupWindow: '1 hour', // one run does all that was missed
    },
  },
];

/** Makes these schedules, or brings those that are there up to date. Safe to repeat, and for several processes at once. */
export async function ensureSchedules(
  client: Client,
  schedules: readonly ScheduleOptions[] = SCHEDULES,
): Promise<void> {
  for (const schedule of schedules) await ensureSchedule(client, schedule);
}

/** One for each model whose newest applied project imports labels. What cannot be scheduled is told, and left. */
export async function ensureLabelSchedules(
  client: Client,
  { projects }: Pick<Stores, 'projects'>,
  say: (line: string) => void,
): Promise<void> {
  for (const model of await projects.models()) {
    const project = await projects.newest(model).catch((error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      say(`Labels of ${model}: ${error.message}`);
    });
    if (project)
      await ensureLabelSchedule(client, project).catch((error: unknown) => {
        say(`Labels of ${model}: their import could not be scheduled. ${(error as Error).message}`);
      });
  }
}

import { ScheduleAlreadyRunning, ScheduleOverlapPolicy, type Client, type ScheduleOptions } from '@temporalio/client';
import { TASK_QUEUE } from '../schemas/index.ts';

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

/**
 * Makes these schedules, or brings those that are there up to date; one that a person paused stays paused. Safe to repeat,
 * and for several processes at once.
 */
export async function ensureSchedules(
  client: Client,
  schedules: readonly ScheduleOptions[] = SCHEDULES,
): Promise<void> {
  for (const schedule of schedules)
    try {
      await client.schedule.create(schedule);
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      const { scheduleId, memo: _, state: __, ...wanted } = schedule;
      await client.schedule
        .getHandle(scheduleId)
        .update(({ state }) => ({ ...wanted, state: { paused: state.paused, note: state.note } }));
    }
}

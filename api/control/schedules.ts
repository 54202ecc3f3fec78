import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type Client,
  type ScheduleOptions,
} from '@temporalio/client';
import { SearchAttributeType, TypedSearchAttributes, type Duration } from '@temporalio/common';
import { TASK_QUEUE, type Project } from '../../schemas/index.ts';

/**
 * Makes a schedule, or brings the one that is there up to date; one that a person paused stays paused. Safe to repeat, and
 * for several processes at once.
 */
export async function ensureSchedule(client: Client, schedule: ScheduleOptions): Promise<void> {
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

/** As the newest applied project has it: labels are imported every so often, or no longer. Safe to repeat. */
export async function ensureLabelSchedule(
  client: Client,
  { model, spec }: Pick<Project, 'model' | 'spec'>,
): Promise<void> {
  const scheduleId = `import-labels-${model}`;
  const { import: imported } = spec.label;
  if (!imported) {
    await client.schedule
      .getHandle(scheduleId)
      .delete()
      .catch((error: unknown) => {
        if (!(error instanceof ScheduleNotFoundError)) throw error;
      });
    return;
  }
  await ensureSchedule(client, {
    scheduleId,
    spec: {
      // A duration of model.yaml is one of Temporal's.
      intervals: [{ every: imported.every as Duration }],
      jitter: '1 minute', // every model's day begins at the same time
    },
    action: {
      type: 'startWorkflow',
      workflowType: 'importLabels',
      workflowId: scheduleId,
      taskQueue: TASK_QUEUE,
      args: [{ model }],
      staticSummary: `Import the labels of ${model}`,
      typedSearchAttributes: new TypedSearchAttributes([
        { key: { name: 'GauntletModel', type: SearchAttributeType.KEYWORD }, value: model },
      ]),
    },
    policies: {
      overlap: ScheduleOverlapPolicy.SKIP, // the next run takes up what this one leaves
      catchupWindow: '1 hour', // one run does all that was missed
    },
  });
}

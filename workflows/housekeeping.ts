/**
 * Closes the hours of the prediction log, and lets go of what models keep no longer.
 *
 *   plan → close each hour, oldest first → retention
 *
 * Id      housekeeping, by an hourly schedule; it may be started by hand under any id, and twice at once does no harm
 * Cancel  ends it between two hours; the next run goes on from there
 * Leaves  hours as Parquet with a manifest; a line for each in the details. Fails if an hour could not be closed
 */
import { ActivityFailure, rootCause } from '@temporalio/common';
import { ApplicationFailure, isCancellation, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { PipelineActivities } from '../activities/index.ts';
import { HousekeepingInput, type ClosedHour, type HousekeepingResult, type RetiredHours } from '../schemas/index.ts';
import { failOnBadInput, inputOf, mark, now, OUR_MISTAKES, scheduledFor } from './manners.ts';

const { planHousekeeping, applyRetention } = proxyActivities<PipelineActivities>({
  startToCloseTimeout: '20 minutes', // listings, and some requests an hour that is retired
  scheduleToCloseTimeout: '1 hour', // then the schedule's next run begins anew
  heartbeatTimeout: '15 seconds', // a dead worker's step goes to another within seconds
  retry: { nonRetryableErrorTypes: OUR_MISTAKES },
});
const { closeHour } = proxyActivities<PipelineActivities>({
  startToCloseTimeout: '30 minutes', // every record of the busiest hour, sorted
  scheduleToCloseTimeout: '1 hour', // then the other hours have their turn
  heartbeatTimeout: '15 seconds', // a dead worker's step goes to another within seconds
  retry: { maximumAttempts: 5, nonRetryableErrorTypes: OUR_MISTAKES }, // an hour that cannot be read holds up no other
});

const MOST_HOURS = 48; // two days of backlog in one short history

export async function housekeeping(given?: HousekeepingInput): Promise<HousekeepingResult> {
  const { hours: most = MOST_HOURS } = inputOf(HousekeepingInput, given, '{}');
  const at = scheduledFor() ?? now();
  mark({ stage: 'housekeeping' });
  const plan = await planHousekeeping.executeWithOptions({ summary: 'Which hours wait to be closed?' }, [at, most]);
  const closed: ClosedHour[] = [];
  const failed: string[] = [];
  let retired: RetiredHours[] = [];
  for (const hour of plan.hours) {
    tell(`closing ${hour} …`);
    try {
      closed.push(await closeHour.executeWithOptions({ summary: `Close ${hour}` }, [hour, at]));
    } catch (error) {
      if (isCancellation(error) || !(error instanceof ActivityFailure)) throw error;
      failed.push(`${hour}: ${rootCause(error) ?? 'no reason was given'}`);
    }
  }
  tell('looking for hours that are kept no longer …');
  retired = await applyRetention.executeWithOptions({ summary: 'Let go of what models keep no longer' }, [at]);
  tell();
  mark({ outcome: failed.length > 0 ? 'failed' : 'done' });
  if (failed.length > 0)
    throw ApplicationFailure.create({
      type: 'HoursNotClosed',
      message: `${failed.length} of ${plan.hours.length} hours of the prediction log could not be closed; their raw segments are unchanged and are still read.\n${failed.join('\n')}\nThe next run, within the hour, tries them again.`,
      nonRetryable: true,
    });
  return { at, closed, waiting: plan.waiting, retired };

  function tell(last?: string): void {
    const lines = [
      ...closed.map(closedLine),
      ...failed.map((line) => `- **not closed** ${line}`),
      ...retired.map(retiredLine),
    ];
    const rest = plan.waiting > 0 ? [`${counted(plan.waiting, 'hour')} more for the next run`] : [];
    setCurrentDetails(
      [`as of ${at}`, '', ...(lines.length > 0 ? lines : ['nothing to do']), '', ...rest, last ?? ''].join('\n').trim(),
    );
  }
}
failOnBadInput(housekeeping);

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

function closedLine({ hour, k, segments, answers, shadowScores, labels, broken, removed }: ClosedHour): string {
  const gone = `${counted(removed, 'key')} removed`;
  if (segments === 0) return `- **${hour}** was closed already (manifest ${k}): ${gone}`;
  const records = [
    counted(segments, 'segment'),
    counted(answers, 'answer'),
    counted(shadowScores, 'shadow score'),
    counted(labels, 'label'),
    ...(broken > 0 ? [counted(broken, 'broken line')] : []),
  ];
  return `- **${hour}** manifest ${k}: ${records.join(', ')}; ${gone}`;
}

function retiredLine({ model, logDays, hours, bytes, waiting }: RetiredHours): string {
  const rest = waiting > 0 ? `; ${counted(waiting, 'hour')} wait for the next run` : '';
  return `- **${model}** keeps ${counted(logDays, 'day')}: ${counted(hours, 'older hour')} removed, ${(bytes / 1e6).toFixed(1)} MB${rest}`;
}

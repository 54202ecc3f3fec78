/**
 * Brings the labels that a model's sources have into the prediction log.
 *
 *   project → ingest → import
 *
 * Id      any; the CLI and the API use import-labels-<model>, and the schedule starts its own
 * Cancel  ends it; labels that are written stay, count once, and are found again by the next import
 * Leaves  labels in the log, and a record of how far it came
 */
import { proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { PipelineActivities } from '../activities/index.ts';
import { ImportLabelsInput, instantMs, type ImportLabelsResult } from '../schemas/index.ts';
import { causeOf, failOnBadInput, inputOf, mark, now, OUR_MISTAKES, scheduledFor } from './manners.ts';

const steps = proxyActivities<PipelineActivities>({
  startToCloseTimeout: '1 hour', // one SQL over the sources, and its labels written
  scheduleToCloseTimeout: '7 days', // workers may be away for a long weekend
  heartbeatTimeout: '15 seconds', // a dead worker's step goes to another within seconds
  retry: { maximumInterval: '1 minute', nonRetryableErrorTypes: OUR_MISTAKES }, // nor is a person's mistake retried
});

export async function importLabels(given: ImportLabelsInput): Promise<ImportLabelsResult> {
  const input = inputOf(ImportLabelsInput, given, '{"model": "hotel-cancellations"}');
  const { model } = input;
  mark({ model, stage: 'labels' });
  setCurrentDetails(`Labels of ${model}: being read from its sources`);
  const startedAt = now();
  const until =
    input.asOf === undefined ? (scheduledFor() ?? startedAt) : new Date(instantMs(input.asOf)).toISOString();

  const ref = await steps.planRun.executeWithOptions({ summary: `Pin the newest project of ${model}` }, [
    { model, run: workflowInfo().runId, now: startedAt },
  ]);
  const { datasets } = await steps.ingest.executeWithOptions({ summary: 'Ingest the sources' }, [ref, startedAt]);
  const result = await steps.importLabels.executeWithOptions({ summary: `Labels known by ${until.slice(0, 10)}` }, [
    ref,
    datasets,
    until,
    causeOf('import'),
  ]);
  mark({ outcome: result.outcome });
  setCurrentDetails(`Labels of ${model}: **${result.outcome}**. ${result.because}`);
  return result;
}
failOnBadInput(importLabels);

/**
 * Puts the version back that served before, or a named one.
 *
 * Id      rollback-<model>
 * Cancel  has nothing to undo: one revision is written or none
 * Leaves  the revision that restored the earlier version
 */
import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { PipelineActivities } from '../activities/index.ts';
import { RollbackInput, type RollbackResult } from '../schemas/index.ts';
import { causeOf, expectWorkflowId, failOnBadInput, inputOf, mark, OUR_MISTAKES } from './manners.ts';

const { rollBack } = proxyActivities<PipelineActivities>({
  startToCloseTimeout: '30 seconds', // one object written
  scheduleToCloseTimeout: '10 minutes', // then a person must look
  heartbeatTimeout: '15 seconds', // a dead worker's step goes to another within seconds
  retry: { nonRetryableErrorTypes: OUR_MISTAKES },
});

export async function rollback(given: RollbackInput): Promise<RollbackResult> {
  const input = inputOf(RollbackInput, given, '{"model": "hotel-cancellations", "by": "ana", "reason": "complaints"}');
  expectWorkflowId(`rollback-${input.model}`);
  mark({ model: input.model, stage: 'rollback' });
  const result = await rollBack.executeWithOptions({ summary: `Roll ${input.model} back` }, [
    input,
    causeOf('rollback'),
  ]);
  mark({ outcome: 'rolled back', version: result.to });
  setCurrentDetails(
    `${input.model}: version ${result.from} → ${result.to}, revision ${result.revision}. ${input.by}: ${input.reason}`,
  );
  return result;
}
failOnBadInput(rollback);

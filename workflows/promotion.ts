/**
 * Takes a version to traffic. With an empty list of stages that means: serve now.
 *
 * Id      rollout-<model>, checked first; the serving log is the lock
 * Cancel  before the version serves, it stays as it was; one revision is written or none
 * Leaves  one revision that cites this workflow, or none and the reason
 */
import {
  ApplicationFailure,
  CancellationScope,
  proxyActivities,
  setCurrentDetails,
  workflowInfo,
} from '@temporalio/workflow';
import type { PipelineActivities } from '../activities/index.ts';
import { PromotionInput, type RolloutResult } from '../schemas/index.ts';
import { causeOf, expectWorkflowId, failOnBadInput, inputOf, mark, OUR_MISTAKES } from './manners.ts';

const { planRollout, serve } = proxyActivities<PipelineActivities>({
  startToCloseTimeout: '30 seconds', // one object read or written
  scheduleToCloseTimeout: '10 minutes', // then a person must look
  heartbeatTimeout: '15 seconds', // a dead worker's step goes to another within seconds
  retry: { nonRetryableErrorTypes: OUR_MISTAKES },
});

export async function promotion(given: PromotionInput): Promise<RolloutResult> {
  const input = inputOf(PromotionInput, given, '{"model": "hotel-cancellations", "version": 2}');
  expectWorkflowId(`rollout-${input.model}`);
  const { model, version } = input;
  mark({ model, version, stage: 'serve' });
  setCurrentDetails(`Version ${version} of ${model}: asking whether it may serve`);

  const plan = await planRollout.executeWithOptions({ summary: `May version ${version} serve?` }, [input]);
  if (plan.says === 'refused')
    throw ApplicationFailure.create({ type: plan.type, message: plan.because, nonRetryable: true });
  if (plan.says === 'stages')
    throw ApplicationFailure.create({
      type: 'StageNotBuilt',
      message: `${plan.because}: no stage can be passed yet`,
      nonRetryable: true,
    });
  if (plan.says === 'serves-already') return end('promoted', plan.because);

  const by = input.by ?? workflowInfo().workflowId;
  const { because, was, champion, look } = plan;
  const to = { model, version, by, because, was, ...(champion !== undefined && { champion }), ...(look && { look }) };
  // Cancelled in the middle it would say so, and the revision might be there all the same.
  const served = await CancellationScope.nonCancellable(() =>
    serve.executeWithOptions({ summary: `Serve version ${version}` }, [to, causeOf('serve')]),
  );
  if (!served.ok) return end('overtaken', served.because);
  return { ...end('promoted', plan.because), revision: served.revision };

  function end(outcome: RolloutResult['outcome'], because: string): RolloutResult {
    mark({ outcome });
    setCurrentDetails(`Version ${version} of ${model}: **${outcome}**. ${because}`);
    return { outcome, model, version, because };
  }
}
failOnBadInput(promotion);

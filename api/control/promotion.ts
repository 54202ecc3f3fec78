import { RolloutResult, type PromotionInput } from '../../schemas/index.ts';
import type { Promotion } from './shapes.ts';
import { startWorkflow, type TemporalOptions } from './temporal.ts';
import { waitForEnd } from './wait.ts';

/**
 * Starts the rollout of a version, and waits a few seconds for its end: without stages it is one revision written.
 *
 * @throws {ProblemError} 409 when one is under way, or when this one was refused
 */
export async function promote(
  o: TemporalOptions & { promotionWaitMs?: number },
  input: PromotionInput,
): Promise<Promotion> {
  const workflowId = `rollout-${input.model}`;
  const started = await startWorkflow(o, {
    type: 'promotion',
    workflowId,
    input,
    summary: `Roll out ${input.model} version ${input.version}`,
    details: `Rollout of **${input.model}** version ${input.version}, asked for by ${input.by ?? 'somebody'}${input.reason ? `: ${input.reason}` : ''}.`,
    priorityKey: 1,
    version: input.version,
    follow: `/v1/models/${input.model}`,
  });
  const result = await waitForEnd(o, started, 'The rollout', o.promotionWaitMs);
  return {
    workflowId,
    runId: started.runId,
    ui: started.ui,
    ...(result !== undefined && { result: RolloutResult.parse(result) }),
  };
}

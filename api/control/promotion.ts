import { WorkflowFailedError } from '@temporalio/client';
import { RolloutResult, type PromotionInput } from '../../schemas/index.ts';
import { ProblemError } from '../problem.ts';
import type { Promotion } from './shapes.ts';
import { startWorkflow, withTemporal, type TemporalOptions } from './temporal.ts';
import { failureInWords } from './training.ts';

/** A rollout without stages is one revision written: seconds. */
const DEFAULT_WAIT_MS = 10_000;

/**
 * Starts the rollout of a version, and waits a few seconds for its end.
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
  const promotion = { workflowId, runId: started.runId, ui: started.ui };
  const waitMs = o.promotionWaitMs ?? DEFAULT_WAIT_MS;
  // A long poll that ends with its deadline: under way is an answer, not an error.
  const end = await withTemporal(
    { ...o, temporalTimeoutMs: waitMs },
    (client) => client.workflow.getHandle(workflowId, started.runId).result() as Promise<unknown>,
  ).then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  if ('result' in end) return { ...promotion, result: RolloutResult.parse(end.result) };
  if (!(end.error instanceof WorkflowFailedError)) return promotion;
  const { type, message } = failureInWords(end.error);
  throw new ProblemError({
    status: 409,
    type: type.replace(/([a-z])([A-Z])/g, '$1-$2').toLowerCase(),
    title: 'The rollout was refused',
    detail: message,
    next: started.ui ? `The workflow is at ${started.ui}` : undefined,
  });
}

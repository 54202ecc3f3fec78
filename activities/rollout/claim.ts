import { holderOf } from '../../bucket/index.ts';
import type { Cause, Revision } from '../../schemas/index.ts';
import type { Context } from '../context.ts';

/** The holder that may be taken over from, or why nobody may take the model. */
export type Claim = { takeFrom?: string } | { refused: string };

/**
 * May this workflow take the model? A holder whose execution has ended, or is not known any more, is taken over from:
 * a workflow that was terminated gives nothing back. One that runs is not.
 */
export async function mayClaim(
  { executionState }: Pick<Context, 'executionState'>,
  head: Revision | undefined,
  cause: Cause,
): Promise<Claim> {
  const holder = head?.serving.holder;
  if (!head || holder === undefined || holder === holderOf(cause)) return {};
  const at = holder.lastIndexOf('/');
  const [workflowId, runId] = [holder.slice(0, at), holder.slice(at + 1)];
  const state = (await executionState?.(workflowId, runId)) ?? 'open';
  if (state !== 'open') return { takeFrom: holder };
  return {
    refused: `${workflowId} (run ${runId}) holds ${head.model} since revision ${head.n} of ${head.committedAt}: ${head.because}. See it with: gauntlet rollout ${head.model}. Wait for its end, or start again with supersede: true, which ends it cleanly first`,
  };
}

import { WorkflowFailedError } from '@temporalio/client';
import { ProblemError } from '../problem.ts';
import type { Started } from './shapes.ts';
import { withTemporal, type TemporalOptions } from './temporal.ts';
import { failureInWords } from './training.ts';

/** What ends within it is answered at once; all else is under way. */
const DEFAULT_WAIT_MS = 10_000;

/**
 * Waits a little for the end of a workflow that was just started.
 *
 * @param called  what was started, in words: The rollout
 * @returns its result; undefined while it is under way
 * @throws {ProblemError} 409 where it failed, with the reason in its own words
 */
export async function waitForEnd(
  o: TemporalOptions,
  started: Started,
  called: string,
  waitMs = DEFAULT_WAIT_MS,
): Promise<unknown> {
  // A long poll that ends with its deadline: under way is an answer, not an error.
  const end = await withTemporal(
    { ...o, temporalTimeoutMs: waitMs },
    (client) => client.workflow.getHandle(started.workflowId, started.runId).result() as Promise<unknown>,
  ).then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  if ('result' in end) return end.result;
  if (!(end.error instanceof WorkflowFailedError)) return undefined;
  const { type, message } = failureInWords(end.error);
  throw new ProblemError({
    status: 409,
    type: typeName(type),
    title: `${called} was refused`,
    detail: message,
    next: started.ui ? `The workflow is at ${started.ui}` : undefined,
  });
}

/** @example typeName('NeedsStages') // 'needs-stages' */
export const typeName = (type: string): string => type.replace(/([a-z])([A-Z])/g, '$1-$2').toLowerCase();

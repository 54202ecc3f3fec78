import { randomUUID } from 'node:crypto';
import type { Cause } from '../schemas/index.ts';

export const sameCause = (a: Cause, b: Cause): boolean =>
  a.workflowId === b.workflowId && a.runId === b.runId && a.step === b.step;

/**
 * A person's rollback, which no workflow does. It is the same whether the API or the command line writes it: where an
 * answer is lost, the command line goes on by itself, and what the API did already is not done twice.
 */
export const rollbackCause = (requestId: string = randomUUID()): Cause => ({
  workflowId: 'rollback',
  runId: requestId,
  step: 'rollback',
});

/** The name under which a cause holds a model's serving: its workflow's execution, whatever the step. */
export const holderOf = (cause: Cause): string => `${cause.workflowId}/${cause.runId}`;

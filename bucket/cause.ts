import type { Cause } from '../schemas/index.ts';

export const sameCause = (a: Cause, b: Cause): boolean =>
  a.workflowId === b.workflowId && a.runId === b.runId && a.step === b.step;

/** The name under which a cause holds a model's serving: its workflow's execution, whatever the step. */
export const holderOf = (cause: Cause): string => `${cause.workflowId}/${cause.runId}`;

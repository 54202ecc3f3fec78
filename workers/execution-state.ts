import { WorkflowNotFoundError, type Client } from '@temporalio/client';

/** What activities ask of a workflow's execution that holds a model. `unknown`: Temporal keeps it no longer, or never had it. */
export const executionStateOf =
  (client: Client) =>
  async (workflowId: string, runId: string): Promise<'open' | 'closed' | 'unknown'> => {
    // What is no run id is none of Temporal's, which would call the question malformed.
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(runId)) return 'unknown';
    try {
      const { closeTime } = await client.workflow.getHandle(workflowId, runId).describe();
      return closeTime === undefined ? 'open' : 'closed';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'unknown';
      throw error;
    }
  };

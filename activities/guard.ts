import { ApplicationFailure, Context } from '@temporalio/activity';
import { UserError } from '../schemas/index.ts';

const HEARTBEAT_MS = 3_000;

type Activity = (...args: never[]) => Promise<unknown>;

/**
 * Wraps activities with the two manners that all of them share.
 *
 * They heartbeat while they run, so that the death of a worker is noticed in seconds and the step is given to another;
 * and a mistake of a person (UserError) becomes a failure that is not retried, with its own text. Everything else flies,
 * and Temporal retries it.
 */
export function guarded<A extends { [Name in keyof A]: Activity }>(activities: A): A {
  const wrapped = Object.entries<Activity>(activities).map(([name, activity]) => [
    name,
    async (...args: never[]) => {
      const context = Context.current();
      // An activity that reports its own progress overrides this: later details win, the beat is what counts.
      const beat = setInterval(() => beatAgain(context), HEARTBEAT_MS);
      try {
        return await activity(...args);
      } catch (error) {
        if (error instanceof UserError)
          throw ApplicationFailure.create({
            type: error.type,
            message: error.message,
            nonRetryable: true,
            details: [{ issues: error.issues }],
            cause: undefined,
          });
        throw error;
      } finally {
        clearInterval(beat);
        latest.delete(context.info.activityId + context.info.workflowExecution?.runId);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as A;
}

// A bare heartbeat would replace the progress in the details by nothing, so the last progress is said again.
const latest = new Map<string, unknown>();

function keyOf(context: Context): string {
  return context.info.activityId + context.info.workflowExecution?.runId;
}

function beatAgain(context: Context): void {
  const details = latest.get(keyOf(context));
  if (details === undefined) context.heartbeat();
  else context.heartbeat(details);
}

/** Heartbeats with progress, which later beats repeat until there is newer. */
export function reportProgress(details: unknown): void {
  const context = Context.current();
  latest.set(keyOf(context), details);
  context.heartbeat(details);
}

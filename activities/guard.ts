import { ApplicationFailure, Context } from '@temporalio/activity';
import { UserError } from '../schemas/index.ts';

const HEARTBEAT_MS = 3_000;

type Activity = (...args: never[]) => Promise<unknown>;

/**
 * Activities that read or write an object or two, or wait. A worker runs many of them at once, so that what watches a
 * canary for hours holds up neither a rollback nor a training; the rest, which fill memory and cores, take turns.
 */
const LIGHT = new Set([
  'watch',
  'planRollout',
  'serve',
  'routeStage',
  'finishRollout',
  'rollBack',
  'recordApproval',
  'checkVote',
  'checkWord',
  'checkChange',
  'remind',
]);
/** DuckDB and ONNX work at once in one process: each may take its limit of memory. */
const AT_ONCE = 8;

/**
 * Wraps activities with the manners that all of them share.
 *
 * They heartbeat while they run, so that the death of a worker is noticed in seconds and the step is given to another;
 * and a mistake of a person (UserError) becomes a failure that is not retried, with its own text. Everything else flies,
 * and Temporal retries it.
 */
export function guarded<A extends { [Name in keyof A]: Activity }>(activities: A): A {
  const turns = new Turns(AT_ONCE);
  const wrapped = Object.entries<Activity>(activities).map(([name, activity]) => [
    name,
    async (...args: never[]) => {
      const context = Context.current();
      // An activity that reports its own progress overrides this: later details win, the beat is what counts.
      const beat = setInterval(() => beatAgain(context), HEARTBEAT_MS);
      try {
        return await (LIGHT.has(name) ? activity(...args) : turns.run(() => activity(...args), context));
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

/** At most so many at once; who waits and is cancelled meanwhile is not begun. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async run<T>(work: () => Promise<T>, { cancelled }: Context): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await this.#turn(cancelled);
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }

  async #turn(cancelled: Promise<never>): Promise<void> {
    let begin: () => void = () => {};
    const turn = new Promise<void>((done) => (begin = done));
    this.#waiting.push(begin);
    try {
      await Promise.race([turn, cancelled]);
    } catch (error) {
      const at = this.#waiting.indexOf(begin);
      if (at >= 0) this.#waiting.splice(at, 1);
      else {
        // Its turn came in the same moment: it goes to the next.
        const next = this.#waiting.shift();
        if (next) next();
        else this.#free++;
      }
      throw error;
    }
  }
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

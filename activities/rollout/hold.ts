import { holderOf, sameCause, type ServingLog } from '../../bucket/index.ts';
import type { Cause, OpenRollout, Revision, Serving } from '../../schemas/index.ts';
import type { Context } from '../context.ts';

export type Held = { ok: true; revision: number } | { ok: false; because: string };

/**
 * Changes what a model serves, for the rollout that holds it. Safe to repeat: the same cause is one entry.
 *
 * @param change  the new state, of the state that is; `holder` stays unless the change clears it
 * @returns       not ok where the model has moved on: the rollout is overtaken, and must change nothing
 */
export async function holdServing(
  { stores }: Pick<Context, 'stores'>,
  rollout: Pick<OpenRollout, 'model' | 'workflowId' | 'runId'>,
  change: (serving: Serving, head: Revision) => Serving | Promise<Serving>,
  said: { by: string; because: string; look?: string | undefined },
  cause: Cause,
): Promise<Held> {
  const { model } = rollout;
  for (;;) {
    const head = await stores.serving.current(model);
    const overtaken = whyOvertaken(head, rollout);
    if (!head || overtaken !== undefined) {
      // Its own entry may have cleared the holder, and this is that step again.
      const made = head && (await madeBefore(stores.serving, head, cause));
      if (made !== undefined) return { ok: true, revision: made };
      return { ok: false, because: overtaken ?? `${model} serves nothing` };
    }
    const appended = await stores.serving.append({
      was: head.n,
      model,
      serving: await change(head.serving, head),
      by: said.by,
      because: said.because,
      ...(said.look !== undefined && { look: said.look }),
      cause,
    });
    if (appended.ok) return { ok: true, revision: appended.n };
    // Moved meanwhile: whether it is still ours is asked again.
  }
}

/** A step is repeated within minutes: so many entries of a model are looked through for what it did. */
const LOOK_BACK = 50;

async function madeBefore(log: ServingLog, head: Revision, cause: Cause): Promise<number | undefined> {
  let seen = 0;
  for await (const entry of log.history(head)) {
    if (sameCause(entry.cause, cause)) return entry.n;
    if (++seen === LOOK_BACK) return undefined;
  }
  return undefined;
}

/** Why a rollout does not hold its model (any more), if so. */
export function whyOvertaken(
  head: { n: number; serving: Serving; by: string; because: string } | undefined,
  { workflowId, runId }: Pick<OpenRollout, 'workflowId' | 'runId'>,
): string | undefined {
  if (!head) return 'the model serves nothing';
  const { holder } = head.serving;
  if (holder === holderOf({ workflowId, runId, step: '' })) return undefined;
  return holder === undefined
    ? `revision ${head.n} by ${head.by} came first: ${head.because}`
    : `${holder} holds the model since revision ${head.n}`;
}

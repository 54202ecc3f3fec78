import { holderOf } from '../../bucket/index.ts';
import {
  durationMs,
  longestWatchMs,
  type Cause,
  type OpenRollout,
  type Revision,
  type Serving,
  type ShadowStage,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { mayClaim } from './claim.ts';
import { holdServing, whyOvertaken } from './hold.ts';

const HOUR_MS = 3_600_000;
/** Over the longest watch: replicas are told a little late, and the end of a watch takes its while. */
const CANARY_MARGIN_MS = 600_000;

export type Routed =
  { ok: true; revision: number; at: string } | { ok: false; because: string; why: 'held' | 'overtaken' };

/**
 * Routes for one stage of a rollout, by one entry of the serving log. The first call claims the model: the entry names the
 * rollout as holder, and follows the one that it was planned on. What is routed so already is not written again.
 *
 * Safe to repeat: the same cause is one entry.
 */
export const createRouteStage = (context: Context) => ({
  async routeStage(
    rollout: OpenRollout,
    stage: number,
    o: {
      now: string;
      because: string;
      by?: string;
      look?: string;
      /** A pause may be longer than the stage. */
      paused?: boolean;
      /** Only the claim: whoever plans for hours holds the model, and nothing is routed yet. */
      claim?: true;
    },
    cause: Cause,
  ): Promise<Routed> {
    const { serving: log } = context.stores;
    const said = { by: o.by ?? rollout.workflowId, because: o.because, look: o.look };
    const wanted = (serving: Serving) =>
      o.claim ? { ...onlyChampions(serving), shadows: [] } : routed(rollout, stage, serving, o);
    const claimed = await claim(context, rollout, wanted, said, cause);
    if (claimed) return claimed;
    const head = await log.current(rollout.model);
    if (head && isHeldBy(head, rollout) && sameRouting(head.serving, wanted(head.serving)))
      return { ok: true, revision: head.n, at: head.committedAt };
    const held = await holdServing(
      context,
      rollout,
      (serving) => ({ ...wanted(serving), ...(serving.holder !== undefined && { holder: serving.holder }) }),
      said,
      cause,
    );
    if (!held.ok) return { ...held, why: 'overtaken' };
    return done(context, held.revision);
  },
});

/** Undefined where the rollout holds the model already, or did. */
async function claim(
  context: Context,
  rollout: OpenRollout,
  wanted: (serving: Serving) => Serving,
  said: { by: string; because: string; look?: string | undefined },
  cause: Cause,
): Promise<Routed | undefined> {
  const { serving: log } = context.stores;
  const { model, was } = rollout;
  const head = await log.current(model);
  if (head && isHeldBy(head, rollout)) return undefined;
  if (!head || head.n !== was) return undefined; // moved on, or its own claim was: that is told apart by who holds
  const may = await mayClaim(context, head, cause);
  if ('refused' in may) return { ok: false, why: 'held', because: may.refused };
  const { look, ...rest } = said;
  const appended = await log.append({
    ...may,
    ...rest,
    ...(look !== undefined && { look }),
    model,
    was,
    serving: { ...wanted(head.serving), holder: holderOf(cause) },
    cause,
  });
  return appended.ok ? done(context, appended.n) : undefined;
}

async function done({ stores }: Context, revision: number): Promise<Routed> {
  const entry = await stores.serving.at(revision);
  if (!entry) throw new Error(`revision ${revision} was appended and is not there`);
  return { ok: true, revision, at: entry.committedAt };
}

const isHeldBy = (head: Revision, rollout: OpenRollout): boolean => whyOvertaken(head, rollout) === undefined;

function onlyChampions({ champion, previous }: Serving): Pick<Serving, 'champion' | 'previous'> {
  return { ...(champion !== undefined && { champion }), ...(previous !== undefined && { previous }) };
}

/** What is routed in a stage: nothing of the stage before stays, but for the shadow while people are asked about it. */
function routed(
  { version, champion, stages, runId }: OpenRollout,
  i: number,
  serving: Serving,
  { now, paused = false }: { now: string; paused?: boolean },
): Serving {
  const stage = stages[i]!;
  const until = (ms: number) => new Date(Date.parse(now) + ms).toISOString();
  switch (stage.kind) {
    case 'shadow':
      return {
        ...onlyChampions(serving),
        shadows: stage.live ? [{ version, until: until(shadowMs(stage)) }] : [],
      };
    case 'approval':
      return { ...onlyChampions(serving), shadows: serving.shadows };
    case 'canary': {
      const ms = longestWatchMs(stage, paused) + CANARY_MARGIN_MS;
      return {
        ...onlyChampions(serving),
        canary: { version, weight: stage.weight, salt: runId, until: until(ms) },
        shadows: [],
      };
    }
    case 'bake':
      return { champion: version, ...(champion !== undefined && { previous: champion }), shadows: [] };
  }
}

/** A shadow that two looks in a row did not renew ends by itself. */
export const shadowMs = (stage: ShadowStage): number => Math.max(3 * durationMs(stage.lookEvery), HOUR_MS);

const sameRouting = (a: Serving, b: Serving): boolean =>
  a.champion === b.champion &&
  a.previous === b.previous &&
  JSON.stringify(a.canary) === JSON.stringify(b.canary) &&
  JSON.stringify(a.shadows) === JSON.stringify(b.shadows);

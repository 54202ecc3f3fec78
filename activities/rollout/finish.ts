import { servingOf } from '../../bucket/index.ts';
import type { Cause, OpenRollout, Serving } from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { holdServing, type Held } from './hold.ts';

/**
 * Ends a rollout by one entry of the serving log, which lets the model go. Promoted: the challenger is the champion.
 * Undone: the champion of before is, and nothing else is routed; a bake is rolled back as a person's rollback would.
 *
 * Safe to repeat: the same cause is one entry. Not ok where the model has moved on: then it is left as it is.
 */
export const createFinishRollout = (context: Context) => ({
  async finishRollout(
    rollout: OpenRollout,
    o: { how: 'promoted' | 'undone'; because: string; by?: string; look?: string },
    cause: Cause,
  ): Promise<Held> {
    const { version, champion } = rollout;
    const said = { by: o.by ?? rollout.workflowId, because: o.because, look: o.look };
    return holdServing(
      context,
      rollout,
      (serving, head): Serving | Promise<Serving> => {
        if (o.how === 'promoted')
          return { champion: version, ...(champion !== undefined && { previous: champion }), shadows: [] };
        if (serving.champion === version && champion !== undefined)
          return servingOf(context.stores.serving, head, champion);
        return {
          ...(serving.champion !== undefined && { champion: serving.champion }),
          ...(serving.previous !== undefined && { previous: serving.previous }),
          shadows: [],
        };
      },
      said,
      cause,
    );
  },
});

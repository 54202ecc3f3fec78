import { rolloutContradictions } from '../../policies/index.ts';
import type { OpenRollout, ShadowPlan } from '../../schemas/index.ts';
import type { Context } from '../context.ts';

/**
 * Whether a trial could be held under a plan that somebody wants to change: what its stage asks of the model and of both
 * versions. Safe to repeat: it only reads.
 *
 * @returns why not, if so
 */
export const createCheckChange = ({ stores }: Pick<Context, 'stores'>) => ({
  async checkChange({ model, project }: OpenRollout, plan: ShadowPlan): Promise<{ refused?: string }> {
    const [challenger, champion, applied] = await Promise.all([
      stores.versions.read(model, plan.challenger),
      stores.versions.read(model, plan.champion),
      stores.projects.at(model, project.n),
    ]);
    if (!challenger || !champion) return { refused: `one of ${model}'s two versions is not there any more` };
    const found = rolloutContradictions({ spec: applied?.spec, stages: [plan.stage], challenger, champion })
      // Of this one stage, which is named so by the person who changes it.
      .flatMap((line) => (line.startsWith('stages.0.') ? line.replace('stages.0.', 'stage.') : []));
    return found.length === 0 ? {} : { refused: found.join('; ') };
  },
});

/**
 * May a version go to traffic the way it was asked to?
 *
 * - A stage that this release has not built is refused by name.
 * - Without stages a version is served at once: right for a first version, and refused (NeedsStages) where the model
 *   has a champion, unless somebody forces it and says why.
 * - A version that serves already is not served again.
 */
import { BUILT_STAGES, type Stage } from '../schemas/index.ts';

export type RolloutAnswer =
  | { says: 'serve'; because: string }
  | { says: 'serves-already'; because: string }
  | { says: 'refused'; type: 'NeedsStages' | 'StageNotBuilt' | 'NeedsReason'; because: string };

export function mayRollOut(question: {
  model: string;
  version: number;
  stages: readonly Stage[];
  champion: number | undefined;
  force: boolean;
  reason: string | undefined;
}): RolloutAnswer {
  const { model, version, stages, champion, force, reason } = question;
  const unbuilt = stages.find((stage) => !BUILT_STAGES.includes(stage.kind));
  if (unbuilt)
    return {
      says: 'refused',
      type: 'StageNotBuilt',
      because: `stage ${unbuilt.kind} is not built yet; this release serves a version at once (an empty list of stages)`,
    };
  if (champion === version)
    return { says: 'serves-already', because: `version ${version} of ${model} is the champion already` };
  if (champion === undefined)
    return { says: 'serve', because: reason ?? 'first version: there is nothing to compare it with' };
  if (!force)
    return {
      says: 'refused',
      type: 'NeedsStages',
      because: `${model} has a champion (version ${champion}), so version ${version} needs stages; to serve it without any, say so and why: {"force": true, "reason": "..."}`,
    };
  if (!reason)
    return {
      says: 'refused',
      type: 'NeedsReason',
      because: `serving version ${version} of ${model} without stages needs a reason: {"force": true, "reason": "..."}`,
    };
  return { says: 'serve', because: `forced: ${reason}` };
}

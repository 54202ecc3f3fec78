/**
 * May a version go to traffic the way it was asked to?
 *
 * - Stages that do not fit the model are refused.
 * - With stages it goes through them; a first version has nothing to be held against, and is served at once.
 * - Without stages a version is served at once: right for a first version, and refused (NeedsStages) where the model
 *   has a champion, unless somebody forces it and says why.
 * - A version that serves already is not served again.
 * - A shadow trial or a canary rollout alone needs a champion that is held against, and stages.
 */
import type { Stage } from '../schemas/index.ts';

/** The three ways into a rollout. */
export type RolloutDoor = 'promotion' | 'shadowTrial' | 'canaryRollout';

export type RolloutAnswer =
  | { says: 'serve'; because: string }
  | { says: 'stages'; because: string }
  | { says: 'serves-already'; because: string }
  | {
      says: 'refused';
      type: 'NeedsStages' | 'StagesDoNotFit' | 'NeedsReason' | 'NeedsChampion' | 'ServesAlready';
      because: string;
    };

export function mayRollOut(question: {
  model: string;
  version: number;
  stages: readonly Stage[];
  door?: RolloutDoor;
  /** Of stageContradictions, with their places. */
  contradictions: readonly string[];
  champion: number | undefined;
  force: boolean;
  reason: string | undefined;
}): RolloutAnswer {
  const { model, version, stages, door = 'promotion', contradictions, champion, force, reason } = question;
  if (contradictions.length > 0) return { says: 'refused', type: 'StagesDoNotFit', because: contradictions.join('; ') };
  if (champion === version && door !== 'promotion')
    return {
      says: 'refused',
      type: 'ServesAlready',
      because: `version ${version} of ${model} is the champion: there is nothing to hold it against`,
    };
  if (champion === version)
    return { says: 'serves-already', because: `version ${version} of ${model} is the champion already` };
  if (champion === undefined && door !== 'promotion')
    return {
      says: 'refused',
      type: 'NeedsChampion',
      because: `${model} has no champion that version ${version} could be held against: promote a first version`,
    };
  if (champion === undefined)
    return { says: 'serve', because: reason ?? 'first version: there is nothing to compare it with' };
  if (stages.length > 0 && !force)
    return { says: 'stages', because: `through ${stages.map(({ kind }) => kind).join(', ')}` };
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

/**
 * May a version go to traffic the way it was asked to?
 *
 * - Stages that do not fit the model or its two versions are refused, unless they are left out by force.
 * - With stages it goes through them; a first version has nothing to be held against, and is served at once.
 * - Without stages a version is served at once: right for a first version, and refused (NeedsStages) where the model
 *   has a champion, unless somebody forces it and says why.
 * - A version that serves already is not served again.
 * - A shadow trial or a canary rollout alone needs a champion that is held against, and stages.
 * - Who forces it and names stages means two things at once: refused.
 * - A trial needs two versions that answer one question from what both are asked, evidence that the challenger has not
 *   learnt from, and no more looks than a history holds.
 */
import {
  durationMs,
  instantMs,
  isPiiInput,
  MOST_LOOKS,
  stageContradictions,
  type ModelSpec,
  type ModelVersion,
  type ShadowStage,
  type Stage,
} from '../schemas/index.ts';

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
  /** The stages were given with the question, and are not those of model.yaml. */
  given?: boolean;
  reason: string | undefined;
}): RolloutAnswer {
  const {
    model,
    version,
    stages,
    door = 'promotion',
    contradictions,
    champion,
    force,
    given = false,
    reason,
  } = question;
  if (force && given && stages.length > 0)
    return {
      says: 'refused',
      type: 'StagesDoNotFit',
      because: `stages are given, and force leaves all of them out: give one of the two. Without force version ${version} goes through the stages; with force and no stages it serves at once`,
    };
  // Force leaves the stages out, whatever they ask.
  if (contradictions.length > 0 && !force)
    return { says: 'refused', type: 'StagesDoNotFit', because: contradictions.join('; ') };
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
  if (!force && door !== 'promotion')
    return {
      says: 'refused',
      type: 'NeedsStages',
      because: `no stage is given, and model.yaml of version ${version} of ${model} has none of this kind: give stages, for example {"stages": [{"kind": "canary", "weight": 0.05}]}`,
    };
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

/** What of a version decides whether a trial can hold it against another. */
export type Comparable = Pick<ModelVersion, 'n' | 'task' | 'inputs' | 'labelsSeenUntil' | 'serving'>;

/**
 * Everything that these stages ask and the model or its two versions do not give, with its place, in words. Asked before
 * anything is claimed, ended or trained for it.
 *
 * @param spec      of the challenger's own model.yaml; absent: it is not known
 * @param champion  absent: there is none, and no stage will be passed
 */
export function rolloutContradictions(question: {
  spec: Pick<ModelSpec, 'task' | 'inputs' | 'label' | 'rollout'> | undefined;
  stages: readonly Stage[];
  challenger: Comparable;
  champion: Comparable | undefined;
}): string[] {
  const { spec, stages, challenger, champion } = question;
  const ofModel = spec ? stageContradictions({ ...spec, rollout: { ...spec.rollout, stages: [...stages] } }) : [];
  const ofVersions =
    champion === undefined || stages.length === 0
      ? []
      : [...notSent(challenger, champion), ...stages.flatMap((stage, i) => ofTrial(stage, i, challenger, champion))];
  return [...ofModel.map(({ path, message }) => `stages.${path.join('.')}: ${message}`), ...ofVersions];
}

/** What the champion does not take is refused with the request, so no request has it, and no stage could be passed. */
function notSent(challenger: Comparable, champion: Comparable): string[] {
  const needed = Object.entries(challenger.inputs).filter(
    ([name, { optional }]) => !optional && !Object.hasOwn(champion.inputs, name),
  );
  if (needed.length === 0) return [];
  return [
    `stages: version ${challenger.n} needs ${needed.map(([name]) => name).join(', ')}, no input of version ${champion.n}: no request has it as one until version ${challenger.n} serves, so every stage would fail. Train it with optional: true there, have clients send it, and make it required later; or have everybody's requests changed at once, and serve it by force`,
  ];
}

function ofTrial(stage: Stage, i: number, challenger: Comparable, champion: Comparable): string[] {
  if (stage.kind !== 'shadow' || champion.n === challenger.n) return [];
  const incomparable = whyNotComparable(champion, challenger);
  const seen = whySeen(stage, challenger);
  // By the log's own time a trial ends at the last look that it may have.
  const isByClock = !(champion.serving?.allowEventTime || challenger.serving?.allowEventTime);
  const looks = Math.ceil(durationMs(stage.maxDuration) / durationMs(stage.lookEvery));
  return [
    ...(incomparable === undefined
      ? []
      : [`stages.${i}.kind: a shadow trial cannot hold the two against each other: ${incomparable}`]),
    ...(seen === undefined ? [] : [`stages.${i}.from: ${seen}`]),
    ...(isByClock && looks > MOST_LOOKS
      ? [
          `stages.${i}.lookEvery: a look every ${stage.lookEvery} for ${stage.maxDuration} is ${looks} looks, and at most ${MOST_LOOKS} are made: look less often`,
        ]
      : []),
  ];
}

/** Why a trial may not begin where its stage says, if so. */
export function whySeen({ from }: ShadowStage, { n, labelsSeenUntil }: Comparable): string | undefined {
  if (from === undefined || instantMs(from) >= Date.parse(labelsSeenUntil)) return undefined;
  return `it is ${from}, and version ${n} has seen labels until ${labelsSeenUntil}: on what it has learnt from it would look better than it is. Begin at that time or later, or leave it out`;
}

/** Why two versions cannot be held against each other on one log, if so. */
export function whyNotComparable(champion: Comparable, challenger: Comparable): string | undefined {
  const names = `version ${champion.n} and version ${challenger.n}`;
  if (champion.task !== challenger.task)
    return `${names} answer different questions: ${champion.task} and ${challenger.task}`;
  const personal = (version: Comparable) =>
    new Set(Object.keys(version.inputs).filter((name) => isPiiInput(version.inputs[name]!)));
  const [ours, theirs] = [personal(challenger), personal(champion)];
  const onlyOne = Object.keys(challenger.inputs).find(
    (name) => champion.inputs[name] && ours.has(name) !== theirs.has(name),
  );
  if (onlyOne !== undefined)
    return `${onlyOne} is personal to only one of ${names}, so the rows that the one was asked cannot be scored by the other`;
  const [key, otherKey] = [challenger.serving?.piiKey, champion.serving?.piiKey];
  if (ours.size > 0 && key !== otherKey)
    return `the personal inputs of ${names} (${[...ours].join(', ')}) were hashed under different keys`;
  return undefined;
}

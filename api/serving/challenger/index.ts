/** Canaries and live shadows in a process of their own. What may be asked and what its failures mean is decided outside. */
export {
  Challenger,
  type ChallengerCounts,
  type ChallengerFailure,
  type ChallengerModel,
  type ChallengerOptions,
  type Scored,
  type ShadowDone,
  type ShadowDrop,
} from './challenger.ts';

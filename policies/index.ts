/** Pure decisions with reasons. Nothing here reads a clock, a store or the environment. */
export * from './split.ts';
export * from './gate.ts';
export * from './rollout.ts';
export * from './expectations.ts';
export * from './route.ts';
export * from './breaker.ts';
export * from './judge-again.ts';
export * from './judge.ts';
export type { Judgement } from './judgement.ts';
export { judgeShadow, trialOver } from './shadow.ts';
export { judgeCanary } from './canary.ts';
export { judgeBake } from './bake.ts';
export { maySplitByUnit, type UnitsAnswer } from './units.ts';
export { watchOver, type WatchOver } from './watched.ts';
export { judgeApproval, mayVote } from './approval.ts';
export { expectedBlocks, judgePlanning, seenAfter, tightestAt, worthFindingOf, type Expectable } from './planning.ts';
export {
  coverageByBlock,
  maturityOf,
  restatedInWords,
  type BlockUnit,
  type CoverageOfBlock,
  type Maturity,
} from './maturity.ts';

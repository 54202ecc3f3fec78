/** Pure mathematics over arrays. Nothing here reads a clock, a file or the environment; nothing of ours is imported from outside this folder. */
export type { Matrix } from './matrix.ts';
export type { Objective, TrainingData } from './training-data.ts';
export type { LinearModel, TrainedModel, Tree, TreeEnsemble } from './trained-model.ts';
export * from './boosting/index.ts';
export * from './linear/index.ts';
export * from './metrics/index.ts';
export { psiOfCategories, psiOfCounts, psiOfNumbers, type Psi } from './drift/psi.ts';
export { Random } from './random.ts';
export { scoresOf } from './scores.ts';
export * from './sequential/index.ts';
export { incompleteBeta, inverseIncompleteBeta } from './special/incomplete-beta.ts';
export { lnGamma } from './special/ln-gamma.ts';
export { normalQuantile } from './special/normal-quantile.ts';
export { bestThreshold } from './threshold.ts';
export type { ThresholdGoal } from './threshold.ts';

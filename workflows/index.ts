/** One durable story per file. Workflows route, wait, look and obey; they see schemas and the types of activities, nothing else. */
export { progress, trainingPipeline } from './training-pipeline.ts';
export { importLabels } from './import-labels.ts';
export { promotion } from './promotion.ts';
export { shadowTrial } from './shadow-trial.ts';
export { canaryRollout } from './canary-rollout.ts';
export { rollback } from './rollback.ts';
export { housekeeping } from './housekeeping.ts';

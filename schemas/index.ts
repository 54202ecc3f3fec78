/** The shapes everyone agrees on. Nothing here imports anything of ours, reads a file or decides. */
export * from './names.ts';
export * from './nearest.ts';
export * from './columns.ts';
export * from './curve.ts';
export * from './model-spec.ts';
export * from './personal.ts';
export * from './graph-spec.ts';
export * from './project.ts';
export * from './dataset.ts';
export * from './metrics.ts';
export * from './run.ts';
export * from './model-version.ts';
export * from './serving.ts';
export * from './prediction-log.ts';
export * from './look.ts';
export * from './pipeline.ts';
export * from './problem.ts';

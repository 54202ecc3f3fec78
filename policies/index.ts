/** Pure decisions with reasons. Nothing here reads a clock, a store or the environment. */
export * from './split.ts';
export * from './gate.ts';
export * from './rollout.ts';
export * from './expectations.ts';
export * from './route.ts';
export * from './breaker.ts';

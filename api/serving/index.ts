/** How a request is read, routed, answered and remembered, and how the serving log is followed. No Temporal, no DuckDB. */
export { parseJson } from './json.ts';
export { MAX_ROWS } from './ask.ts';
export { Challenger } from './challenger/index.ts';
export { Challengers, type ChallengerStatus } from './challengers.ts';
export { currentOf, lackOf } from './current.ts';
export { directly } from './direct.ts';
export { EVENT_TIME_HEADER } from './event-time.ts';
export { feedbackRoutes } from './feedback.ts';
export { feedbackOpenApi } from './feedback-openapi.ts';
export { Follower, type Current, type FollowerStatus, type LoadFailure, type ModelStatus } from './follower.ts';
export { Metrics } from './metrics.ts';
export { Predictions } from './predictions.ts';

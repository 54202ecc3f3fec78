/** How a request is read, routed, answered and remembered, and how the serving log is followed. No routes, no Temporal, no DuckDB. */
export { readJson } from './body.ts';
export { parseJson } from './json.ts';
export { MAX_ROWS } from './ask.ts';
export { Challenger } from './challenger/index.ts';
export { Challengers, type ChallengerStatus } from './challengers.ts';
export { EVENT_TIME_HEADER, eventTimeOf } from './event-time.ts';
export { feedbackRoutes } from './feedback.ts';
export { feedbackOpenApi } from './feedback-openapi.ts';
export { Follower, type Current, type FollowerStatus, type LoadFailure, type ModelStatus } from './follower.ts';
export { LatencyWindow } from './latency-window.ts';
export { DeadlinePassed } from './loaded-model.ts';
export { Metrics } from './metrics.ts';
export { NotAnswered, predict, type Answered } from './predict.ts';

/** How a request is read and answered, and how the serving log is followed. No routes, no Temporal, no DuckDB. */
export { readJson } from './body.ts';
export { parseJson } from './json.ts';
export { predict, MAX_ROWS } from './predict.ts';
export { Follower, type Current, type FollowerStatus, type LoadFailure, type ModelStatus } from './follower.ts';

/**
 * Temporal's server and our way to it: found, fetched, started, stopped; connections, converter and plugins.
 * What workflows and activities do, and which worker runs them, stays out.
 */
export { findTemporal } from './find-temporal.ts';
export { adoptDevServer, devServerAddress, startDevServer, withHomeLock } from './dev-server.ts';
export type { TemporalServer } from './dev-server.ts';
export { findExecutable, TEMPORAL_CLI } from './executable.ts';
export type { Executable } from './executable.ts';
export { connect, connectWorker } from './connect.ts';
export type { Connected } from './connect.ts';
export { namedServer } from './settings.ts';
export { ensureSearchAttributes } from './search-attributes.ts';
export { dataConverter } from './converter.ts';
export { shared } from './plugins.ts';
export { withLock } from './lock.ts';

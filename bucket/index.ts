/**
 * Everything at rest, under keys that are written once. No decisions here, no SQL, no HTTP of ours.
 * S3Bucket is not among the exports: `openBucket` loads it, with its SDK, only where it is wanted.
 */
export type { Bucket } from './bucket.ts';
export { holderOf, rollbackCause, sameCause } from './cause.ts';
export { Datasets, keyOf as datasetKey } from './datasets.ts';
export { DirectoryBucket } from './directory.ts';
export { isKey } from './key.ts';
export { isSecretOf, keyIdOf, Keys, secretOf, type KnownKey } from './keys.ts';
export { LabelImports } from './label-imports.ts';
export {
  endOf,
  LogHours,
  rowsKey,
  rowsPrefix,
  uncompacted,
  type HourFiles,
  type LogFiles,
  type LogHour,
  type Uploaded,
} from './log-hours.ts';
export { keyOf as lookKey, Looks, refOf } from './looks.ts';
export { Objects } from './objects.ts';
export { openBucket } from './open.ts';
export { openPredictionLog, writeSegment, type LogLag, type PredictionLog } from './prediction-log/prediction-log.ts';
export { Projects, keyOf as projectKey } from './projects.ts';
export { rollBack, servingOf } from './roll-back.ts';
export { Runs, keyOf as runKey } from './runs.ts';
export {
  entryKey as revisionKey,
  ServingLog,
  type Appended,
  type NewRevision,
  type ServingTable,
} from './serving-log.ts';
export { openStores, type Stores } from './stores.ts';
export { Twins } from './twins.ts';
export { Versions, keyOf as versionKey } from './versions.ts';
export { Votes } from './votes.ts';

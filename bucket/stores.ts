import { join } from 'node:path';
import type { Bucket } from './bucket.ts';
import { Datasets } from './datasets.ts';
import { Keys } from './keys.ts';
import { LogHours } from './log-hours.ts';
import { Looks } from './looks.ts';
import { Objects } from './objects.ts';
import { openBucket } from './open.ts';
import { Projects } from './projects.ts';
import { Runs } from './runs.ts';
import { ServingLog } from './serving-log.ts';
import { Versions } from './versions.ts';
import { Votes } from './votes.ts';

/** Everything at rest, by what it is. */
export interface Stores {
  bucket: Bucket;
  objects: Objects;
  projects: Projects;
  datasets: Datasets;
  runs: Runs;
  versions: Versions;
  looks: Looks;
  votes: Votes;
  /** API keys. */
  keys: Keys;
  serving: ServingLog;
  /** The prediction log, as readers and housekeeping see it. */
  logHours: LogHours;
}

/**
 * Opens the bucket and what lies in it. `home` is this machine's folder: objects are cached in it.
 *
 * @throws {UserError} if the bucket's URL is wrong or it cannot be opened
 */
export async function openStores(o: { bucket: string; home: string; now?: () => number }): Promise<Stores> {
  const bucket = await openBucket(o.bucket);
  return {
    bucket,
    objects: new Objects(bucket, join(o.home, 'cache', 'objects')),
    projects: new Projects(bucket),
    datasets: new Datasets(bucket),
    runs: new Runs(bucket),
    versions: new Versions(bucket),
    looks: new Looks(bucket),
    votes: new Votes(bucket),
    keys: new Keys(bucket),
    logHours: new LogHours(bucket, join(o.home, 'cache', 'log')),
    serving: new ServingLog(bucket, { now: o.now }),
  };
}

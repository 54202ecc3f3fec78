/** A prediction log in a bucket for tests of housekeeping: what is in it, what readers count, and what may go wrong. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createCloseHour, createPlanHousekeeping } from '../../../activities/housekeeping/close-hour.ts';
import { createApplyRetention } from '../../../activities/housekeeping/retention.ts';
import type { Context } from '../../../activities/context.ts';
import type { Bucket } from '../../../bucket/bucket.ts';
import { LogHours, openStores, Projects } from '../../../bucket/index.ts';
import { createLogViews } from '../../../sql/prediction-log.ts';
import { openDatabase } from '../../../sql/database.ts';
import type { LogRecord } from '../../../schemas/index.ts';
import { segmentBytes, segmentKey } from '../../sql/log-records.ts';

const build = { commit: 'unknown', dirty: false, node: 'v20', packages: {} };

export const openLog = async (folder: string): Promise<Context> => ({
  stores: await openStores({ bucket: `file:${folder}/bucket`, home: folder }),
  home: folder,
  build,
});

export async function upload(
  bucket: Bucket,
  atMs: number,
  lines: (LogRecord | string)[],
  boot = 'b1',
  n = 0,
): Promise<string> {
  const key = segmentKey(atMs, boot, n);
  if (!(await bucket.create(key, segmentBytes(lines)))) throw new Error(`${key} is taken`);
  return key;
}

/** The same stores over another bucket: one that is watched, slow or breaks. */
export function over(context: Context, bucket: Bucket): Context {
  const logHours = new LogHours(bucket, join(context.home, 'cache', 'log'));
  return { ...context, stores: { ...context.stores, bucket, logHours, projects: new Projects(bucket) } };
}

/** What the workflow does, without Temporal. */
export async function keepHouse(context: Context, at: string, most = 48) {
  const { hours, waiting } = await createPlanHousekeeping(context).planHousekeeping(at, most);
  const closed = [];
  for (const hour of hours) closed.push(await createCloseHour(context).closeHour(hour, at));
  return { closed, waiting, retired: await createApplyRetention(context).applyRetention(at) };
}

/** What a reader of the whole log of a model finds: request ids of answers, of shadow scores, and label ids, in order. */
export async function readLog(context: Context, model: string) {
  const scratch = await mkdtemp(join(context.home, 'reader-'));
  try {
    const { broken, ...files } = await context.stores.logHours.files(model, {}, scratch);
    const db = await openDatabase({ files: [...files.raw, ...files.parquet], threads: 1 });
    try {
      const counts = await createLogViews(db, model, files);
      const ids = async (column: string, view: string) =>
        (await db.rowsOf(`SELECT ${column} AS id FROM ${view} ORDER BY 1`)).map(({ id }) => id as string);
      return {
        answers: await ids('request_id', 'answers'),
        shadows: await ids('request_id', 'shadow_scores'),
        labels: await ids('label_id', 'labels'),
        broken: broken + counts.broken,
        unknown: counts.unknown,
      };
    } finally {
      db.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

export async function keysOf(bucket: Bucket, prefix = 'log/'): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of bucket.list(prefix)) keys.push(key);
  return keys;
}

/** Calls `before` and `after` around every operation; what they throw is what the operation fails with. */
export function between(bucket: Bucket, before: () => Promise<void> | void, after: () => Promise<void> | void): Bucket {
  const wrap = async <T>(operation: () => Promise<T>): Promise<T> => {
    await before();
    const result = await operation();
    await after();
    return result;
  };
  return {
    create: (key, body) => wrap(() => bucket.create(key, body)),
    read: (key, range) => wrap(() => bucket.read(key, range)),
    remove: (key) => wrap(() => bucket.remove(key)),
    async *list(prefix, start) {
      await before();
      yield* bucket.list(prefix, start);
      await after();
    },
  };
}

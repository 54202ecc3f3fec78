import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { endOf, rowsKey, uncompacted, type LogHour, type Stores } from '../../bucket/index.ts';
import { compactLog, openDatabase, type CompactedModel } from '../../sql/index.ts';
import type { ClosedHour, HourManifest } from '../../schemas/index.ts';
import type { Context } from '../context.ts';

/** A segment keeps its name, and with it its hour, for five minutes of retries; the rest is for clocks that differ. */
const CLOSES_AFTER_MS = 15 * 60_000;

/**
 * Hours that wait: their end was 15 minutes ago, and raw segments lie in them, be it that nobody has compacted them, that
 * they came late, or that whoever compacted them died before they were removed. Safe to repeat: it only reads.
 */
export const createPlanHousekeeping = ({ stores }: Context) => ({
  async planHousekeeping(at: string, most: number): Promise<{ hours: string[]; waiting: number }> {
    const before = new Date(Date.parse(at) - CLOSES_AFTER_MS);
    const hours = (await stores.logHours.list({ to: before }))
      .filter(({ hour, raw }) => raw.length > 0 && endOf(hour) <= before.getTime())
      .map(({ hour }) => hour);
    // The oldest first; but hours that cannot be closed come back each time, and must not keep the newest waiting for ever.
    const newest = Math.floor(most / 4);
    const taken =
      hours.length <= most ? hours : [...hours.slice(0, most - newest), ...hours.slice(hours.length - newest)];
    return { hours: taken, waiting: hours.length - taken.length };
  },
});

/**
 * Compacts one hour: its raw segments, by model, into Parquet; then a manifest that names both; then what the manifest
 * has taken the place of is removed, raw segments last, for by them the next run finds an hour that was left half done.
 *
 * Safe to repeat, to be killed anywhere, and to run twice at once: manifest k + 1 is written once, and only by who read
 * manifest k as the newest. Whoever comes second begins anew. Its Parquet may stay behind, named by no manifest.
 */
export const createCloseHour = (context: Context) => ({
  async closeHour(hour: string, at: string): Promise<ClosedHour> {
    const { logHours } = context.stores;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const listed = await logHours.look(hour);
      const base = await logHours.newest(listed);
      const fresh = uncompacted(listed, base);
      const closed =
        fresh.length === 0
          ? { answers: 0, shadowScores: 0, labels: 0, broken: 0, k: base?.k ?? 0 }
          : await compact(context, listed, fresh, base, at);
      if (!closed) continue;
      return { hour, segments: fresh.length, ...closed, removed: await removeCompacted(context.stores, hour) };
    }
    throw new Error(
      `hour ${hour} of the prediction log was changed by others ${MOST_TRIES} times while it was compacted`,
    );
  },
});

const MOST_TRIES = 5;

/** Undefined where the hour has changed meanwhile. */
async function compact(
  { stores, home }: Context,
  { hour, manifests }: LogHour,
  fresh: string[],
  base: HourManifest | undefined,
  at: string,
): Promise<Omit<ClosedHour, 'hour' | 'segments' | 'removed'> | undefined> {
  const { logHours } = stores;
  const scratch = await mkdtemp(join(home, 'scratch-'));
  try {
    const raw = await logHours.segments(fresh, scratch);
    if (!raw) return undefined;
    const before: Record<string, string> = {};
    for (const [model, rows] of Object.entries(base?.models ?? {})) {
      const file = await logHours.rows(rows, scratch);
      if (file === undefined) return undefined;
      before[model] = file;
    }
    const db = await openDatabase({
      files: [...raw, ...Object.values(before)],
      writable: scratch,
      tempDirectory: scratch,
    });
    let compacted: { models: CompactedModel[]; broken: number };
    try {
      compacted = await compactLog(db, raw, before, scratch);
    } finally {
      db.close();
    }
    const firstFree =
      1 +
      Math.max(
        0,
        ...(await Promise.all(manifests.map((k) => logHours.manifest(hour, k)))).flatMap((manifest) =>
          Object.values(manifest?.models ?? {}).map(({ key }) => numberOf(key)),
        ),
      );
    const models = { ...base?.models };
    for (const { model, file, ...counts } of compacted.models) {
      const key = await writeRows(stores, model, hour, firstFree, file);
      models[model] = { key, ...(await describe(file)), ...counts };
    }
    const manifest: HourManifest = {
      hour,
      k: (base?.k ?? 0) + 1,
      segments: [...(base?.segments ?? []), ...fresh].sort(),
      models,
      broken: (base?.broken ?? 0) + compacted.broken,
      because: base ? 'late segments' : 'closed',
      closedAt: at,
    };
    if (!(await logHours.writeManifest(manifest))) return undefined;
    const sum = (of: 'answers' | 'shadowScores' | 'labels') =>
      compacted.models.reduce((total, model) => total + model[of] - (base?.models[model.model]?.[of] ?? 0), 0);
    return {
      k: manifest.k,
      answers: sum('answers'),
      shadowScores: sum('shadowScores'),
      labels: sum('labels'),
      broken: compacted.broken,
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Takes the first number whose key is free, or holds these very bytes: an attempt that died may have left others.
 * Numbers that any manifest ever named are not used again, so what a newer manifest has replaced can be removed for good.
 */
async function writeRows(
  stores: Stores,
  model: string,
  hour: string,
  firstFree: number,
  file: string,
): Promise<string> {
  for (let n = firstFree; ; n++) {
    const key = rowsKey(model, hour, n);
    if (await stores.bucket.create(key, { file })) return key;
  }
}

/** Parquet that only older manifests name, and raw segments that the newest names. How many keys went. */
async function removeCompacted({ bucket, logHours }: Stores, hour: string): Promise<number> {
  const listed = await logHours.look(hour);
  const newest = await logHours.newest(listed);
  if (!newest) return 0;
  const named = new Set(newest.segments);
  const kept = new Set(Object.values(newest.models).map(({ key }) => key));
  const gone: string[] = [];
  for (const k of listed.manifests.filter((k) => k < newest.k))
    for (const { key } of Object.values((await logHours.manifest(hour, k))!.models)) if (!kept.has(key)) gone.push(key);
  gone.push(...listed.raw.filter((key) => named.has(key)));
  for (const key of gone) await bucket.remove(key);
  return gone.length;
}

const numberOf = (key: string): number => Number.parseInt(key.slice(key.lastIndexOf('/') + 1), 10);

async function describe(file: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return { sha256: hash.digest('hex'), bytes: (await stat(file)).size };
}

import { endOf, rowsPrefix, type Stores } from '../../bucket/index.ts';
import { UserError, type RetiredHours } from '../../schemas/index.ts';
import type { Context } from '../context.ts';

const DAY_MS = 86_400_000;
/** Of one model in one run: a first rule on an old log goes back by steps, some hundred requests each. */
const MOST_HOURS = 500;

/**
 * Lets each model whose newest project says `retention.logDays` lose the hours that ended longer ago: first a successor
 * manifest without the model, then its Parquet. Raw segments hold other models too, and wait to be compacted.
 *
 * Safe to repeat and to be killed anywhere: an hour is found by its Parquet, which goes last.
 */
export const createApplyRetention = ({ stores }: Context) => ({
  async applyRetention(at: string): Promise<RetiredHours[]> {
    const retired: RetiredHours[] = [];
    for (const model of await stores.projects.models()) {
      // A project that cannot be read keeps its log, and holds up nobody else's rule.
      const project = await stores.projects.newest(model).catch((error: unknown) => {
        if (error instanceof UserError) return undefined;
        throw error;
      });
      const logDays = project?.spec.retention.logDays;
      if (logDays === undefined) continue;
      const done = await retire(stores, model, Date.parse(at) - logDays * DAY_MS, at);
      if (done.hours + done.waiting > 0) retired.push({ model, logDays, ...done });
    }
    return retired;
  },
});

async function retire(
  stores: Stores,
  model: string,
  untilMs: number,
  at: string,
): Promise<Pick<RetiredHours, 'hours' | 'bytes' | 'waiting'>> {
  const hours = new Map<string, { key: string; bytes: number }[]>();
  for await (const { key, bytes } of stores.bucket.list(rowsPrefix(model))) {
    const [date, hh] = key.slice(rowsPrefix(model).length).split('/');
    const hour = `${date}T${hh}:00:00.000Z`;
    if (!(endOf(hour) <= untilMs)) break;
    hours.set(hour, [...(hours.get(hour) ?? []), { key, bytes }]);
  }
  const done = { hours: 0, bytes: 0, waiting: Math.max(0, hours.size - MOST_HOURS) };
  for (const [hour, rows] of [...hours].slice(0, MOST_HOURS)) {
    if (!(await leaveOut(stores, model, hour, at))) continue;
    for (const { key } of rows) await stores.bucket.remove(key);
    done.hours++;
    done.bytes += rows.reduce((sum, { bytes }) => sum + bytes, 0);
  }
  return done;
}

/**
 * Writes a successor even where the model is in no manifest: whoever is about to name Parquet that is listed here reads
 * the hour anew. False where the hour is not closed yet: what lies there belongs to who closes it.
 */
async function leaveOut({ logHours }: Stores, model: string, hour: string, at: string): Promise<boolean> {
  for (;;) {
    const base = await logHours.newest(await logHours.look(hour));
    if (!base) return false;
    const { [model]: _, ...models } = base.models;
    if (await logHours.writeManifest({ ...base, k: base.k + 1, models, because: 'retention', closedAt: at }))
      return true;
  }
}

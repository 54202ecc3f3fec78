import { isKey, type Stores } from '../../bucket/index.ts';
import { instantMs, UserError, type Revision } from '../../schemas/index.ts';
import { requireModel } from './models.ts';
import type { History, HistoryEntry } from './shapes.ts';

/**
 * What a model served, newest first, and in one sentence what it served at a time. An entry that is damaged or lost ends
 * the list, which says so: older ones are found by it only.
 *
 * @param o.at   a date is its first moment, UTC; default and latest is now
 * @throws {ProblemError} 404, naming the nearest models
 */
export async function readHistory(
  stores: Stores,
  model: string,
  o: { at?: string | undefined; limit: number; now: Date },
): Promise<History> {
  await requireModel(stores, model);
  const { serving } = stores;
  const nowMs = o.now.getTime();
  const wantedMs = o.at === undefined ? nowMs : instantMs(o.at);
  const atMs = Math.min(wantedMs, nowMs);
  const head = (await serving.table()).models[model];
  const entries: HistoryEntry[] = [];
  let after: Revision | undefined;
  let gap: string | undefined;
  let more = false;
  try {
    for await (const revision of head ? serving.history(head) : []) {
      if (entries.length === o.limit) {
        more = true;
        break;
      }
      if (Date.parse(revision.committedAt) <= atMs || entries.length > 0) entries.push(entryOf(revision, after));
      after = revision;
    }
  } catch (error) {
    if (after === undefined || !(error instanceof UserError && error.type === 'BrokenRecord')) throw error;
    gap = error.message;
  }
  await addVerdicts(stores, entries);
  const ahead = wantedMs > nowMs ? `${isoOf(wantedMs)} is yet to come. ` : '';
  return {
    model,
    at: isoOf(atMs),
    says: ahead + inWords(model, isoOf(atMs), entries[0], after, gap),
    entries,
    more,
    ...(gap !== undefined && { gap }),
  };
}

const AT_ONCE = 16;

/** Kind and verdict of the look that each entry rests on; of one that cannot be read, its key must do. */
async function addVerdicts(stores: Stores, entries: HistoryEntry[]): Promise<void> {
  const cited = entries.filter(({ look }) => look !== undefined && isKey(look));
  const reader = async (): Promise<void> => {
    for (let entry = cited.pop(); entry; entry = cited.pop()) {
      const look = await stores.looks.read(entry.look!).catch(() => undefined);
      if (look) entry.verdict = { kind: look.kind, ...look.verdict };
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, reader));
}

function entryOf({ n, committedAt, serving, by, because, look, cause }: Revision, after?: Revision): HistoryEntry {
  const { champion, previous, canary, shadows, holder } = serving;
  return {
    revision: n,
    committedAt,
    replacedAt: after?.committedAt,
    champion,
    previous,
    canary: canary && { version: canary.version, weight: canary.weight, until: canary.until },
    shadows,
    holder,
    by,
    because,
    look,
    cause,
  };
}

/** @param oldest  the oldest entry that could be read */
function inWords(
  model: string,
  at: string,
  entry: HistoryEntry | undefined,
  oldest: Revision | undefined,
  gap: string | undefined,
): string {
  if (!entry) {
    if (!oldest) return `At ${at} ${model} served nothing: it has never served.`;
    if (gap !== undefined) return `What ${model} served at ${at} cannot be told: ${gap}`;
    return `At ${at} ${model} served nothing yet: its first revision, ${oldest.n}, is of ${oldest.committedAt}.`;
  }
  const { revision, champion, canary, shadows, by, committedAt, because } = entry;
  if (champion === undefined) return `At ${at} nothing of ${model} served, by revision ${revision}.`;
  const open = canary && Date.parse(at) < Date.parse(canary.until);
  const parts = [
    open && canary.weight > 0
      ? `version ${champion} of ${model} served; version ${canary.version} was a canary with ${percent(canary.weight)} of the units, until ${canary.until}`
      : `version ${champion} of ${model} served everybody`,
  ];
  if (canary && !open)
    parts.push(`the time of version ${canary.version} as a canary had ended at ${canary.until}, so it got nothing`);
  for (const { version, until } of shadows)
    if (Date.parse(at) < Date.parse(until)) parts.push(`version ${version} was a shadow, until ${until}`);
  return `At ${at} ${parts.join('; ')} (revision ${revision} of ${committedAt}, by ${by}: ${because}).`;
}

const isoOf = (ms: number): string => new Date(ms).toISOString();

/** @example percent(0.05) // '5 %' */
export const percent = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;

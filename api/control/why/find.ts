import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogHour, LogHours, Uploaded } from '../../../bucket/index.ts';
import { UserError } from '../../../schemas/index.ts';
import { findRequest, openDatabase, type Sighting } from '../../../sql/index.ts';
import { ProblemError } from '../../problem.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** How far back a client's own id is looked for, and how long after its answer a spool may be delivered. */
const SEARCHED_DAYS = 31;
const FLUSH_MS = 5_000;
const MOST_HOURS_AT_ONCE = 32;

export interface FoundRequest {
  model: string;
  /** Models that answered a request of this id, too. */
  others: string[];
  /** Records of the model, with where they lie in the bucket. */
  sightings: (Sighting & { key: string; hour: string })[];
}

export interface FindContext {
  logHours: LogHours;
  /** A folder of the caller's. */
  scratch: string;
  now: Date;
  /** Brings the answers of this process that are not in the bucket yet to it. */
  flushLog?: (() => Promise<void>) | undefined;
}

export interface Wanted {
  requestId: string;
  /** Milliseconds since 1970: it is looked for in the uploads of a day before and after. */
  aroundMs?: number | undefined;
  model?: string | undefined;
}

/**
 * The hours of uploads in which an answer with this id may be, and in them the answer. An id of ours says its time, so
 * hours are gone through from then on; a client's own says nothing, and they are gone through backwards from now.
 *
 * @throws {ProblemError} 404, saying where was looked
 */
export async function findAnswer(context: FindContext, wanted: Wanted): Promise<FoundRequest> {
  const nowMs = context.now.getTime();
  const madeMs = timeOf(wanted.requestId);
  const looked: Looked = { hours: new Set(), unreadable: new Set(), labels: 0 };
  let flushed = madeMs !== undefined && Math.abs(nowMs - madeMs) < MINUTE_MS ? await flush(context) : undefined;
  const range = rangeOf(wanted, madeMs, nowMs);
  let found = await search(context, wanted, range, looked);
  if (!found && flushed === undefined && context.flushLog) {
    flushed = await flush(context);
    found = await search(context, wanted, { from: new Date(nowMs), order: 'forward' }, looked);
  }
  if (found) return found;
  throw notFound(wanted, range, looked, flushed, madeMs !== undefined && nowMs - madeMs < MINUTE_MS);
}

interface Range extends Uploaded {
  from: Date;
  order: 'forward' | 'backward' | 'nearest';
}

interface Looked {
  hours: Set<string>;
  /** What is wrong with those that could not be read. */
  unreadable: Set<string>;
  /** Labels of the request that were met on the way. */
  labels: number;
}

function rangeOf({ aroundMs }: Wanted, madeMs: number | undefined, nowMs: number): Range {
  if (aroundMs !== undefined)
    return { from: new Date(aroundMs - DAY_MS), to: new Date(aroundMs + DAY_MS), order: 'nearest' };
  if (madeMs !== undefined && madeMs <= nowMs + MINUTE_MS)
    return { from: new Date(madeMs), to: new Date(madeMs + SEARCHED_DAYS * DAY_MS), order: 'forward' };
  return { from: new Date(nowMs - SEARCHED_DAYS * DAY_MS), order: 'backward' };
}

async function search(
  context: FindContext,
  wanted: Wanted,
  range: Range,
  looked: Looked,
): Promise<FoundRequest | undefined> {
  const hours = await context.logHours.list(range);
  if (range.order === 'backward') hours.reverse();
  if (range.order === 'nearest') {
    const far = ({ hour }: LogHour) => Math.abs(Date.parse(hour) + HOUR_MS / 2 - wanted.aroundMs!);
    hours.sort((a, b) => far(a) - far(b));
  }
  for (let size = 1, from = 0; from < hours.length; from += size, size = Math.min(2 * size, MOST_HOURS_AT_ONCE)) {
    const sightings = await searchIn(context, wanted, hours.slice(from, from + size), looked);
    const answers = sightings.filter(({ kind }) => kind === 'answer');
    const models = [...new Set(answers.map(({ model }) => model))];
    const model = wanted.model ?? models[0];
    if (model !== undefined && models.includes(model))
      return {
        model,
        others: models.filter((other) => other !== model),
        sightings: sightings.filter((sighting) => sighting.model === model),
      };
    looked.labels += sightings.filter(({ kind }) => kind === 'label').length;
  }
  return undefined;
}

async function searchIn(
  { logHours, scratch }: FindContext,
  { requestId }: Wanted,
  hours: readonly LogHour[],
  looked: Looked,
): Promise<FoundRequest['sightings']> {
  const folder = await mkdtemp(join(scratch, 'hours-'));
  try {
    const where = new Map<string, { key: string; hour: string }>();
    const raw: string[] = [];
    const parquet: { model: string; path: string }[] = [];
    for (const listed of hours) {
      looked.hours.add(listed.hour);
      try {
        const { rows, segments } = await logHours.hour(listed, (_, { answers }) => answers > 0, folder);
        for (const { key, path } of [...rows, ...segments]) where.set(path, { key, hour: listed.hour });
        raw.push(...segments.map(({ path }) => path));
        parquet.push(...rows);
      } catch (error) {
        looked.unreadable.add(damageOf(error));
      }
    }
    const db = await openDatabase({ files: [...where.keys()], ...SMALL, tempDirectory: folder });
    try {
      const found = await findRequest(db, requestId, { raw, parquet });
      return found.map((sighting) => ({ ...sighting, ...where.get(sighting.path)! }));
    } finally {
      db.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A question of one person leaves processor and memory to who answers. */
export const SMALL = { threads: 2, memoryLimitMb: 512 };

/** What is wrong with a file of the log, or with a record. @throws whatever is not damage */
export function damageOf(error: unknown): string {
  if (error instanceof UserError && DAMAGE.has(error.type)) return error.message;
  throw error;
}

const DAMAGE = new Set(['BrokenRecord', 'CorruptRows', 'NoSuchRows', 'CorruptObject', 'NoSuchObject']);

/** How it went, for who did not find what he sought. */
async function flush({ flushLog }: FindContext): Promise<string | undefined> {
  if (!flushLog) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((done) => {
    timer = setTimeout(
      () => done(`what this process has not uploaded yet could not be brought there in ${FLUSH_MS / 1000} s`),
      FLUSH_MS,
    );
  });
  const flushed = flushLog().then(
    () => 'what this process had not uploaded yet was brought there first',
    (error: unknown) => `what this process has not uploaded yet is not there (${(error as Error).message})`,
  );
  try {
    return await Promise.race([flushed, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** When an id of ours was made, milliseconds since 1970: a UUID of version 7 says it. */
export function timeOf(requestId: string): number | undefined {
  const [, high, low] =
    /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.exec(requestId) ?? [];
  return high === undefined ? undefined : Number.parseInt(high + low!, 16);
}

function notFound(
  { requestId, aroundMs, model }: Wanted,
  { from, to, order }: Range,
  { hours: { size: hours }, unreadable: damage, labels }: Looked,
  flushed: string | undefined,
  young: boolean,
): ProblemError {
  const unreadable = [...damage];
  const where = {
    forward: `from ${from.toISOString()} on, which is when the id was made, for ${SEARCHED_DAYS} days`,
    backward: `backwards from now to ${from.toISOString()}`,
    nearest: `from ${from.toISOString()} to ${to?.toISOString()}`,
  }[order];
  const detail = [
    `No answer${model === undefined ? '' : ` of ${model}`} with the request id ${requestId} is in the prediction log. Looked in ${hours} ${hours === 1 ? 'hour' : 'hours'} of uploads, ${where}${flushed === undefined ? '' : `; ${flushed}`}.`,
    ...(unreadable.length > 0
      ? [
          `${unreadable.length} of them could not be read: ${unreadable.slice(0, 3).join(' ')}${unreadable.length > 3 ? ' ...' : ''}`,
        ]
      : []),
    ...(labels > 0 ? [`A label of it is there, and waits for its answer.`] : []),
  ];
  const next = young
    ? 'Another replica may have given it: what a replica answers is in the bucket some seconds later. Ask again then.'
    : aroundMs === undefined && order === 'backward'
      ? 'Check the id (an answer has it as requestId, and in the header x-request-id). If it is longer ago, say when it was: npx gauntlet why <id> --around 2026-11-24, or ?around= in the API.'
      : 'Check the id (an answer has it as requestId, and in the header x-request-id), and the time. What a retention rule has removed, or was shed under pressure, is not there.';
  return new ProblemError({
    status: 404,
    type: 'no-such-request',
    title: 'No such request',
    detail: detail.join(' '),
    next,
  });
}

/** Local files of a model's log that may bear on an answer, and since which uploads its labels were looked for. */
export interface FilesAbout {
  raw: string[];
  parquet: string[];
  since: string;
  /** Hours that could not be read, and why. */
  unreadable: string[];
}

/**
 * The hours of an answer and its shadow scores, and of labels up to now: raw segments, and of what is compacted only the
 * hours that have any.
 */
export async function filesAbout(
  { logHours, scratch }: FindContext,
  model: string,
  sightings: FoundRequest['sightings'],
): Promise<FilesAbout> {
  const answers = sightings.filter(({ kind }) => kind === 'answer');
  const answeredMs = Math.min(...answers.map((answer) => answer.answeredMs!));
  const eventMs = Math.min(...answers.map((answer) => answer.eventMs!));
  const begins = answers.map(({ hour }) => Date.parse(hour)).sort((a, b) => a - b);
  // What happened long ago may have had its label before it was asked about.
  const earlierMs = answeredMs - eventMs > HOUR_MS ? SEARCHED_DAYS * DAY_MS : HOUR_MS;
  const from = new Date(Math.min(begins[0]!, answeredMs) - earlierMs);
  const lastMs = begins.at(-1)! + 2 * HOUR_MS;
  const files: FilesAbout = { raw: [], parquet: [], since: from.toISOString(), unreadable: [] };
  const hours = await logHours.list({ from });
  let next = 0;
  const reader = async (): Promise<void> => {
    while (next < hours.length) {
      const listed = hours[next++]!;
      const near = Date.parse(listed.hour) <= lastMs;
      try {
        const { rows, segments } = await logHours.hour(
          listed,
          (name, { labels }) => name === model && (near || labels > 0),
          scratch,
        );
        files.raw.push(...segments.map(({ path }) => path));
        files.parquet.push(...rows.map(({ path }) => path));
      } catch (error) {
        files.unreadable.push(damageOf(error));
      }
    }
  };
  await Promise.all(Array.from({ length: 4 }, reader));
  return files;
}

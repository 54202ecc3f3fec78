import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { LogHour } from '../../bucket/index.ts';
import { BEYOND_REASON, Failure, ScoredOutput, type Answer, type RawRow } from '../../schemas/index.ts';
import { createLogViews, openDatabase } from '../../sql/index.ts';
import type { Context } from '../context.ts';
import type { SeenAnswer } from './canary-tally.ts';

/** Clocks differ, and a segment keeps its name for so long while its upload is tried again. */
const LENIENCE_MS = 5 * 60_000;

/**
 * One model's answers as they come into the bucket: first those since a time, then what is new.
 *
 * Raw segments are read as they are, a few each time, without a database; hours that were compacted before it looked are
 * read from their Parquet. Now and then a record comes twice.
 */
export class AnswerFeed {
  readonly #context: Pick<Context, 'stores' | 'home'>;
  readonly #model: string;
  readonly #sinceMs: number;
  /** Of those that are listed again. */
  #seen = new Set<string>();
  /** Of this machine's clock, when it last listed. */
  #listedMs: number | undefined;

  constructor(context: Pick<Context, 'stores' | 'home'>, o: { model: string; since: string }) {
    this.#context = context;
    this.#model = o.model;
    this.#sinceMs = Date.parse(o.since);
  }

  /**
   * Answers that were not there the last time. Where it throws, they come the next time.
   *
   * @throws the signal's reason between two hours, where it is aborted
   */
  async next(nowMs: number, signal?: AbortSignal): Promise<SeenAnswer[]> {
    const { answers, keys } =
      this.#listedMs === undefined ? await this.#catchUp(signal) : await this.#readNew(this.#listedMs, signal);
    this.#listedMs = nowMs;
    // What is not listed again need not be known again: days of a busy bucket are millions of names.
    const first = firstKey(nowMs);
    this.#seen = new Set([...this.#seen, ...keys].filter((key) => key > first));
    return answers;
  }

  /** Segments that it would tell from new ones. */
  get remembered(): number {
    return this.#seen.size;
  }

  async #catchUp(signal: AbortSignal | undefined): Promise<Read> {
    const hours = await this.#context.stores.logHours.list({ from: new Date(this.#sinceMs) });
    return this.#each(hours, signal, (hour) =>
      hour.manifests.length > 0 ? this.#readHour(hour) : this.#readSegments(hour.raw),
    );
  }

  async #readNew(listedMs: number, signal: AbortSignal | undefined): Promise<Read> {
    const keys: string[] = [];
    for await (const { key } of this.#context.stores.bucket.list('log/raw/', firstKey(listedMs)))
      if (key.endsWith('.ndjson.gz') && !this.#seen.has(key)) keys.push(key);
    const parts = Array.from({ length: Math.ceil(keys.length / AT_ONCE) }, (_, i) =>
      keys.slice(i * AT_ONCE, (i + 1) * AT_ONCE),
    );
    return this.#each(parts, signal, (part) => this.#readSegments(part));
  }

  async #each<T>(
    parts: readonly T[],
    signal: AbortSignal | undefined,
    read: (part: T) => Promise<Read>,
  ): Promise<Read> {
    const all: Read[] = [];
    for (const part of parts) {
      signal?.throwIfAborted();
      all.push(await read(part));
    }
    return { answers: all.flatMap(({ answers }) => answers), keys: all.flatMap(({ keys }) => keys) };
  }

  async #readSegments(keys: string[]): Promise<Read> {
    const { logHours } = this.#context.stores;
    const answers = await this.#inScratch(async (scratch) => {
      const paths = await logHours.segments(keys, scratch);
      return paths && this.#answersIn(paths);
    });
    if (answers) return { answers, keys };
    // One was compacted away since it was listed: it is in its hour's Parquet now.
    const hours = new Set(keys.map((key) => `${key.slice(8, 18)}T${key.slice(19, 21)}:00:00.000Z`));
    return this.#each([...hours], undefined, async (hour) => this.#readHour(await logHours.look(hour)));
  }

  async #readHour(listed: LogHour): Promise<Read> {
    const answers = await this.#inScratch(async (scratch) => {
      const isOwn = (model: string): boolean => model === this.#model;
      const { rows, segments } = await this.#context.stores.logHours.hour(listed, isOwn, scratch);
      const raw = await this.#answersIn(segments.map(({ path }) => path));
      if (rows.length === 0) return raw;
      const paths = rows.map(({ path }) => path);
      return raw.concat(await answersInParquet(paths, this.#model, scratch));
    });
    return { answers, keys: listed.raw };
  }

  async #answersIn(paths: readonly string[]): Promise<SeenAnswer[]> {
    const answers: SeenAnswer[][] = [];
    for (const path of paths) answers.push(answersIn(await unpacked(path), this.#model));
    return answers.flat();
  }

  async #inScratch<T>(work: (scratch: string) => Promise<T>): Promise<T> {
    const scratch = await mkdtemp(join(this.#context.home, 'scratch-'));
    try {
      return await work(scratch);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
}

interface Read {
  answers: SeenAnswer[];
  /** Segments that they are from. */
  keys: string[];
}

/** Segments that are read between two looks at whether to go on. */
const AT_ONCE = 1000;

/** Of the listing at a time. */
function firstKey(listedMs: number): string {
  const fromMs = listedMs - LENIENCE_MS;
  const time = new Date(fromMs).toISOString();
  return `log/raw/${time.slice(0, 10)}/${time.slice(11, 13)}/${String(fromMs).padStart(13, '0')}`;
}

const unpacked = async (path: string): Promise<string> =>
  (await promisify(gunzip)(await readFile(path))).toString('utf8');

/** Answers of one model among the lines of a segment. Broken lines, and what a newer release wrote otherwise, are passed over. */
export function answersIn(lines: string, model: string): SeenAnswer[] {
  const answers: SeenAnswer[] = [];
  // As JSON.stringify writes it; most lines of a busy bucket are of others, and need no parser to say so.
  const mark = `"model":"${model}"`;
  for (let from = 0; from < lines.length;) {
    const newline = lines.indexOf('\n', from);
    const to = newline === -1 ? lines.length : newline;
    const line = lines.slice(from, to);
    from = to + 1;
    if (!line.includes(mark) || !line.includes('"kind":"answer"')) continue;
    const answer = jsonOf(line);
    if (isAnswer(answer) && answer.model === model) answers.push(seenOf(answer));
  }
  return answers;
}

/** What is used of it has the types that it should have: its whole schema takes ten times as long. */
function isAnswer(json: unknown): json is Answer {
  if (typeof json !== 'object' || json === null) return false;
  const { kind, v, ...answer } = json as Partial<Record<keyof Answer, unknown>>;
  return (
    kind === 'answer' &&
    v === 1 &&
    TEXTS.every((name) => typeof answer[name] === 'string') &&
    NUMBERS.every((name) => typeof answer[name] === 'number') &&
    (answer.output === undefined || ScoredOutput.safeParse(answer.output).success) &&
    (answer.failed === undefined || Failure.safeParse(answer.failed).success)
  );
}

const TEXTS = ['requestId', 'unit', 'assigned', 'reason', 'boot'] as const;
const NUMBERS = ['row', 'revision', 'answeredMs', 'assignedVersion', 'propensity', 'graphMs', 'seq'] as const;

function seenOf(answer: Answer): SeenAnswer {
  const { requestId, row, revision, unit, answeredMs, assigned, assignedVersion, reason, propensity } = answer;
  const { graphMs, cacheHit, failed, boot, seq, output, inputs } = answer;
  return {
    requestId,
    row,
    revision,
    unit,
    answeredMs,
    assigned,
    assignedVersion,
    reason,
    propensity,
    graphMs,
    cacheHit,
    boot,
    seq,
    score: output?.scores[0],
    ...(failed && { failed, beyond: isBeyond(inputs) }),
  };
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

const isBeyond = (inputs: RawRow | undefined): boolean =>
  Object.values(inputs ?? {}).some((value) => typeof value === 'number' && Math.abs(value) > BEYOND_REASON);

async function answersInParquet(parquet: string[], model: string, scratch: string): Promise<SeenAnswer[]> {
  const db = await openDatabase({ files: parquet, threads: 1, tempDirectory: scratch });
  try {
    await createLogViews(db, model, { raw: [], parquet });
    const rows = await db.rowsOf(
      `SELECT request_id, "row", revision, unit, epoch_ms(answered_at) AS answered_ms, assigned, assigned_version, reason, propensity, graph_ms, cache_hit, scores[1] AS score, failed_version, failed_why, failed_detail, CASE WHEN failed_why IS NOT NULL THEN inputs END AS inputs, boot, seq FROM answers`,
    );
    return rows.map((row) => ({
      requestId: row['request_id'] as string,
      row: Number(row['row']),
      revision: Number(row['revision']),
      unit: row['unit'] as string,
      answeredMs: Number(row['answered_ms']),
      assigned: row['assigned'] as SeenAnswer['assigned'],
      assignedVersion: Number(row['assigned_version']),
      reason: row['reason'] as SeenAnswer['reason'],
      propensity: Number(row['propensity']),
      graphMs: Number(row['graph_ms']),
      cacheHit: row['cache_hit'] === true,
      score: row['score'] === null ? undefined : Number(row['score']),
      ...(row['failed_why'] !== null && {
        failed: {
          version: Number(row['failed_version']),
          why: row['failed_why'] as NonNullable<SeenAnswer['failed']>['why'],
          detail: String(row['failed_detail']),
        },
        beyond: isBeyond((jsonOf(String(row['inputs'])) ?? undefined) as RawRow | undefined),
      }),
      boot: row['boot'] as string,
      seq: Number(row['seq']),
    }));
  } finally {
    db.close();
  }
}

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
  readonly #seen = new Set<string>();
  /** Of this machine's clock, when it last listed. */
  #listedMs: number | undefined;

  constructor(context: Pick<Context, 'stores' | 'home'>, o: { model: string; since: string }) {
    this.#context = context;
    this.#model = o.model;
    this.#sinceMs = Date.parse(o.since);
  }

  /** Answers that were not there the last time. */
  async next(nowMs: number): Promise<SeenAnswer[]> {
    const answers = this.#listedMs === undefined ? await this.#catchUp() : await this.#readNew(this.#listedMs);
    this.#listedMs = nowMs;
    return answers;
  }

  async #catchUp(): Promise<SeenAnswer[]> {
    const answers: SeenAnswer[][] = [];
    for (const hour of await this.#context.stores.logHours.list({ from: new Date(this.#sinceMs) }))
      answers.push(hour.manifests.length > 0 ? await this.#readHour(hour) : await this.#readSegments(hour.raw));
    return answers.flat();
  }

  async #readNew(listedMs: number): Promise<SeenAnswer[]> {
    const fromMs = listedMs - LENIENCE_MS;
    const time = new Date(fromMs).toISOString();
    const after = `log/raw/${time.slice(0, 10)}/${time.slice(11, 13)}/${String(fromMs).padStart(13, '0')}`;
    const keys: string[] = [];
    for await (const { key } of this.#context.stores.bucket.list('log/raw/', after))
      if (key.endsWith('.ndjson.gz') && !this.#seen.has(key)) keys.push(key);
    return keys.length === 0 ? [] : this.#readSegments(keys);
  }

  async #readSegments(keys: string[]): Promise<SeenAnswer[]> {
    const { logHours } = this.#context.stores;
    const answers = await this.#inScratch(async (scratch) => {
      const paths = await logHours.segments(keys, scratch);
      return paths && this.#answersIn(paths);
    });
    if (answers) {
      for (const key of keys) this.#seen.add(key);
      return answers;
    }
    // One was compacted away since it was listed: it is in its hour's Parquet now.
    const hours = new Set(keys.map((key) => `${key.slice(8, 18)}T${key.slice(19, 21)}:00:00.000Z`));
    const found: SeenAnswer[][] = [];
    for (const hour of hours) found.push(await this.#readHour(await logHours.look(hour)));
    return found.flat();
  }

  async #readHour(listed: LogHour): Promise<SeenAnswer[]> {
    const answers = await this.#inScratch(async (scratch) => {
      const isOwn = (model: string): boolean => model === this.#model;
      const { rows, segments } = await this.#context.stores.logHours.hour(listed, isOwn, scratch);
      const raw = await this.#answersIn(segments.map(({ path }) => path));
      if (rows.length === 0) return raw;
      const paths = rows.map(({ path }) => path);
      return raw.concat(await answersInParquet(paths, this.#model, scratch));
    });
    for (const key of listed.raw) this.#seen.add(key);
    return answers;
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

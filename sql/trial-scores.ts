import { BIGINT, DOUBLE, DuckDBDataChunk, LIST, listValue, VARCHAR } from '@duckdb/node-api';
import { resolve } from 'node:path';
import type { Database } from './database.ts';
import { identifier, literal } from './quote.ts';

/** Table of (request_id, "row", champion DOUBLE[], challenger DOUBLE[]): what `measureTrial` reads. NULL: no finite score. */
export const TRIAL_SCORES = identifier('scores of the trial');
const KEPT = identifier('scores of looks before');
const FRESH = 'fresh_scores';
const UNSCORED = identifier('answers without scores');

export interface UnscoredRows {
  requestIds: string[];
  rows: Float64Array;
  /** [rows] seconds since 1970. */
  predictedAt: Float64Array;
  /** JSON; null: shed. */
  inputs: (string | null)[];
}

/**
 * Finds the answers of a window that have no scores yet, by the view `answers`. A row that was tried before and gave
 * nothing has scores: NULL.
 *
 * @param parts  local Parquet files that earlier looks wrote
 * @returns      how many rows there are to score
 */
export async function findUnscored(
  db: Database,
  parts: readonly string[],
  window: { from: Date; asOf: Date },
): Promise<number> {
  const columns = 'request_id VARCHAR, "row" BIGINT, champion DOUBLE[], challenger DOUBLE[]';
  await db.run(`CREATE OR REPLACE TABLE ${FRESH} (${columns})`);
  const kept =
    parts.length === 0
      ? `SELECT * FROM ${FRESH} WHERE false`
      : `SELECT * FROM read_parquet([${parts.map((path) => literal(resolve(path))).join(', ')}])`;
  await db.run(`CREATE OR REPLACE TEMP VIEW ${KEPT} AS ${kept}`);
  await db.run(`CREATE OR REPLACE TEMP VIEW ${TRIAL_SCORES} AS SELECT * FROM ${KEPT} UNION ALL SELECT * FROM ${FRESH}`);
  await db.run(`
    CREATE OR REPLACE TEMP TABLE ${UNSCORED} AS
    SELECT row_number() OVER (ORDER BY event_at, request_id, "row") - 1 AS place, request_id, "row",
      epoch_us(event_at) / 1000 / 1000 AS predicted_at, inputs
    FROM answers ANTI JOIN ${KEPT} USING (request_id, "row")
    WHERE event_at >= ${timestamp(window.from)} AND event_at < ${timestamp(window.asOf)}
    ORDER BY place`);
  const [counted] = await db.rowsOf(`SELECT count(*) AS n FROM ${UNSCORED}`);
  return Number(counted!['n']);
}

/** What `findUnscored` found, so many rows at a time, in the order of events. */
export async function* readUnscored(db: Database, of: number, atOnce: number): AsyncGenerator<UnscoredRows> {
  for (let from = 0; from < of; from += atOnce) {
    const { columns } = await db.columns(`
      SELECT request_id, "row"::DOUBLE AS "row", predicted_at, inputs FROM ${UNSCORED}
      WHERE place >= ${from} AND place < ${from + atOnce} ORDER BY place`);
    yield {
      requestIds: columns['request_id'] as string[],
      rows: columns['row'] as Float64Array,
      predictedAt: columns['predicted_at'] as Float64Array,
      inputs: columns['inputs'] as (string | null)[],
    };
  }
}

/**
 * Keeps the scores of rows that `readUnscored` gave. A row for which one of them is undefined is left out, and found again.
 *
 * @returns how many rows it keeps
 */
export function addScores(
  appender: ScoreAppender,
  { requestIds, rows }: UnscoredRows,
  champion: readonly (readonly number[] | null | undefined)[],
  challenger: readonly (readonly number[] | null | undefined)[],
): number {
  const list = (scores: readonly number[] | null) => (scores === null ? null : listValue(scores));
  const places = requestIds.flatMap((_, i) => (champion[i] === undefined || challenger[i] === undefined ? [] : [i]));
  for (let from = 0; from < places.length; from += CHUNK_ROWS) {
    const own = places.slice(from, from + CHUNK_ROWS);
    const chunk = DuckDBDataChunk.create(TYPES, own.length);
    chunk.setColumnValues(
      0,
      own.map((i) => requestIds[i]!),
    );
    chunk.setColumnValues(
      1,
      own.map((i) => BigInt(rows[i]!)),
    );
    chunk.setColumnValues(
      2,
      own.map((i) => list(champion[i]!)),
    );
    chunk.setColumnValues(
      3,
      own.map((i) => list(challenger[i]!)),
    );
    appender.appendDataChunk(chunk);
  }
  appender.flushSync();
  return places.length;
}

export type ScoreAppender = Awaited<ReturnType<typeof openScoreAppender>>;
export const openScoreAppender = (db: Database) => db.connection.createAppender(FRESH);

const TYPES = [VARCHAR, BIGINT, LIST(DOUBLE), LIST(DOUBLE)];
/** As many as a chunk of DuckDB holds. */
const CHUNK_ROWS = 2048;

/**
 * Writes what was added as Parquet (zstd), in the order of ids; `whole`: with all that was kept before. @returns its rows
 */
export async function writeScores(db: Database, o: { to: string; whole: boolean }): Promise<number> {
  const table = o.whole ? TRIAL_SCORES : FRESH;
  await db.run(
    `COPY (SELECT * FROM ${table} ORDER BY request_id, "row") TO ${literal(resolve(o.to))} (FORMAT parquet, COMPRESSION zstd)`,
  );
  const [counted] = await db.rowsOf(`SELECT count(*) AS n FROM ${table}`);
  return Number(counted!['n']);
}

const timestamp = (at: Date): string => `make_timestamp(${at.getTime() * 1000}::BIGINT)`;

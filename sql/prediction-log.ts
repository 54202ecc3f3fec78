import { resolve } from 'node:path';
import { MODEL_NAME_PATTERN } from '../schemas/index.ts';
import type { Database } from './database.ts';
import { identifier, literal } from './quote.ts';

/**
 * Local files of the prediction log: gzipped JSON lines as they were uploaded, of all models, and Parquet of one model as
 * `compactLog` wrote it.
 */
export interface LogFilePaths {
  raw: readonly string[];
  parquet: readonly string[];
}

export interface LogCounts {
  answers: number;
  shadowScores: number;
  labels: number;
  /** Records that were there more than once: the first counts. */
  duplicates: number;
  /** Lines of `raw` that are no records. */
  broken: number;
  /** Records of a kind, or of a `v`, that this release does not know. */
  unknown: number;
}

/**
 * Makes the views `answers`, `shadow_scores` and `labels` of one model: each record once, and of several of the same key
 * the first by time, then by boot and seq. The database must be allowed to read the files.
 *
 * Times are TIMESTAMP (UTC), `scores` is DOUBLE[], `prediction` and a label's `value` are texts ('true', '0.25', a
 * class), `value_kind` is boolean, number, text or withdrawn, `inputs` and `looked_up` are JSON texts. Unknown kinds, newer records and
 * broken lines are passed over and counted.
 *
 * @param only  leave out what does not bear on one request: there are its answers and shadow scores, and of the labels those
 *              of it or of its entities, and corrections
 */
export async function createLogViews(
  db: Database,
  model: string,
  files: LogFilePaths,
  only?: { requestId: string },
): Promise<LogCounts> {
  const parquet = files.parquet.length > 0 ? parquetScan(files.parquet) : undefined;
  const newer = parquet && `SELECT other::JSON AS line FROM ${parquet} WHERE kind = '${OTHER}'`;
  await db.run(
    `CREATE OR REPLACE TEMP TABLE ${RAW} AS SELECT * FROM (${parsed(linesOf(files.raw, newer, only?.requestId))}) WHERE says = 'broken' OR model = ${literal(model)}`,
  );
  const [says] = await db.rowsOf(
    `SELECT count(*) FILTER (WHERE says = 'broken') AS broken, count(*) FILTER (WHERE says = 'unknown') AS unknown FROM ${RAW}`,
  );
  const columns = NAMES.map(identifier).join(', ');
  const fromRaw = `SELECT ${columns}, '' AS filename, rowid AS file_row_number FROM ${RAW} WHERE says = 'known'`;
  const fromParquet =
    parquet && `SELECT ${columns}, filename, file_row_number FROM ${parquet} WHERE kind <> '${OTHER}'`;
  const all = [fromRaw, fromParquet].filter(Boolean).join(' UNION ALL ');
  if (only) await db.run(`CREATE OR REPLACE TEMP TABLE ${CONCERNED} AS ${concerning(all, only.requestId)}`);
  await db.run(`CREATE OR REPLACE TEMP VIEW ${RECORDS} AS ${only ? `FROM ${CONCERNED}` : all}`);
  await db.run(
    `CREATE OR REPLACE TEMP TABLE ${DROPPED} AS SELECT filename, file_row_number FROM ${RECORDS} QUALIFY ${PLACE} > 1`,
  );
  const [dropped] = await db.rowsOf(`SELECT count(*) AS n FROM ${DROPPED}`);
  const duplicates = Number(dropped!['n']);
  const once = `${RECORDS}${duplicates > 0 ? ` ANTI JOIN ${DROPPED} USING (filename, file_row_number)` : ''}`;
  for (const [kind, view] of Object.entries(VIEWS))
    await db.run(
      `CREATE OR REPLACE TEMP VIEW ${view} AS SELECT ${columnsOf(kind as Kind).join(', ')} FROM ${once} WHERE kind = '${kind}'`,
    );
  return {
    ...(await countKinds(db, once)),
    duplicates,
    broken: Number(says!['broken']),
    unknown: Number(says!['unknown']),
  };
}

export interface CompactedModel {
  model: string;
  file: string;
  answers: number;
  shadowScores: number;
  labels: number;
}

/**
 * Splits raw segments by model into Parquet, each with the rows of that model that were compacted before: zstd, in the
 * order of events, each record once. What this release does not know is kept as it came, for one that does. The same
 * records give the same bytes.
 *
 * @param before  a model's earlier Parquet, for models that have one
 * @param folder  where the files are written: the database's `writable`
 * @returns       models that the raw segments hold, and how many of their lines were no records
 */
export async function compactLog(
  db: Database,
  raw: readonly string[],
  before: Readonly<Record<string, string>>,
  folder: string,
): Promise<{ models: CompactedModel[]; broken: number }> {
  const rest = `nullif(json_merge_patch(line, '${JSON.stringify(Object.fromEntries(FIELDS.map((field) => [field, null])))}')::VARCHAR, '{}')`;
  const other = `CASE says WHEN 'unknown' THEN line::VARCHAR ELSE ${rest} END AS other`;
  await db.run(`CREATE OR REPLACE TEMP TABLE ${RAW} AS ${parsed(linesOf(raw), other)}`);
  const [says] = await db.rowsOf(`SELECT count(*) AS broken FROM ${RAW} WHERE says = 'broken'`);
  const names = await db.rowsOf(`SELECT DISTINCT model FROM ${RAW} WHERE says <> 'broken' ORDER BY model`);
  const columns = NAMES.filter((name) => name !== 'kind').map(identifier);
  const models: CompactedModel[] = [];
  for (const { model } of names as { model: string }[]) {
    const file = resolve(folder, `${model}.parquet`);
    const earlier = before[model];
    const all = [
      `SELECT CASE says WHEN 'known' THEN kind ELSE '${OTHER}' END AS kind, ${columns.join(', ')}, other FROM ${RAW} WHERE model = ${literal(model)} AND says <> 'broken'`,
      ...(earlier === undefined ? [] : [`SELECT kind, ${columns.join(', ')}, other FROM ${parquetScan([earlier])}`]),
    ].join(' UNION ALL ');
    await db.run(
      `COPY (SELECT * FROM (${all}) QUALIFY kind = '${OTHER}' OR ${PLACE_OF_WHOLE} = 1 ORDER BY ${ORDER}) TO ${literal(file)} (FORMAT parquet, COMPRESSION zstd)`,
    );
    models.push({ model, file, ...(await countKinds(db, `read_parquet(${literal(file)})`)) });
  }
  await db.run(`DROP TABLE ${RAW}`);
  return { models, broken: Number(says!['broken']) };
}

async function countKinds(
  db: Database,
  table: string,
): Promise<Pick<LogCounts, 'answers' | 'shadowScores' | 'labels'>> {
  const [counted] = await db.rowsOf(
    `SELECT count(*) FILTER (WHERE kind = 'answer') AS answers, count(*) FILTER (WHERE kind = 'shadow') AS shadows, count(*) FILTER (WHERE kind = 'label') AS labels FROM ${table}`,
  );
  return {
    answers: Number(counted!['answers']),
    shadowScores: Number(counted!['shadows']),
    labels: Number(counted!['labels']),
  };
}

type Kind = 'answer' | 'shadow' | 'label';

const VIEWS: Record<Kind, string> = { answer: 'answers', shadow: 'shadow_scores', label: 'labels' };

/** The newest `v` of each kind that is read here. */
const VERSION = 1;

/** Kind of a row that is a whole record, in `other`, that the release which compacted it did not know. */
const OTHER = 'other';

// Spaces keep them clear of everybody's names.
const RAW = identifier('raw records');
const RECORDS = identifier('log records');
const CONCERNED = identifier('records of a request');
const DROPPED = identifier('dropped records');

/** Times beyond JavaScript's are no times. */
const time = (field: string): string =>
  `CASE WHEN abs(r.${field}) <= 8.64e15 THEN make_timestamp((r.${field} * 1000)::BIGINT) END`;

/** What a column is made of, and the kinds that have it; a record of a kind in `needs` is broken without it. */
interface LogColumn {
  sql: string;
  of: readonly Kind[];
  needs?: readonly Kind[];
}

const ALL = ['answer', 'shadow', 'label'] as const;
const SCORED = ['answer', 'shadow'] as const;
const ANSWER = ['answer'] as const;
const LABEL = ['label'] as const;

/** Columns of all kinds in one table; what a kind does not have is NULL. Raw segments and Parquet read alike. */
const COLUMNS: Record<string, LogColumn> = {
  request_id: { sql: 'r.requestId', of: ALL, needs: SCORED },
  row: { sql: 'r."row"', of: ALL, needs: SCORED },
  version: { sql: 'r.version', of: SCORED, needs: SCORED },
  revision: { sql: 'r.revision', of: SCORED, needs: SCORED },
  unit: { sql: 'r.unit', of: SCORED, needs: SCORED },
  entity: { sql: 'r.entity', of: ALL },
  event_at: { sql: time('eventMs'), of: SCORED, needs: SCORED },
  event_by: { sql: 'r.eventBy', of: ANSWER },
  event_resolution: { sql: 'r.eventResolution', of: ANSWER },
  answered_at: { sql: time('answeredMs'), of: ANSWER, needs: ANSWER },
  scored_at: { sql: time('scoredMs'), of: ['shadow'], needs: ['shadow'] },
  matures_at: { sql: time('maturesMs'), of: SCORED },
  project_n: { sql: 'r.project.n', of: ANSWER },
  project_hash: { sql: 'r.project.hash', of: ANSWER },
  inputs: { sql: 'r.inputs::VARCHAR', of: ANSWER },
  looked_up: { sql: 'r.lookedUp::VARCHAR', of: ANSWER },
  assigned: { sql: 'r.assigned', of: ANSWER, needs: ANSWER },
  assigned_version: { sql: 'r.assignedVersion', of: ANSWER, needs: ANSWER },
  reason: { sql: 'r.reason', of: ANSWER, needs: ANSWER },
  propensity: { sql: 'r.propensity', of: ANSWER, needs: ANSWER },
  scores: { sql: 'r.output.scores', of: SCORED },
  prediction: { sql: `r.output.prediction ->> '$'`, of: SCORED },
  latency_ms: { sql: 'r.latencyMs', of: SCORED },
  graph_ms: { sql: 'r.graphMs', of: SCORED },
  cache_hit: { sql: 'r.cacheHit', of: ANSWER },
  failed_version: { sql: 'r.failed.version', of: SCORED },
  failed_why: { sql: 'r.failed.why', of: SCORED },
  failed_detail: { sql: 'r.failed.detail', of: SCORED },
  label_id: { sql: 'r.labelId', of: LABEL, needs: LABEL },
  happened_at: { sql: time('happenedMs'), of: LABEL },
  happened_resolution: { sql: 'r.happenedResolution', of: LABEL },
  value: { sql: `CASE WHEN json_type(line, '$.value') <> 'NULL' THEN r.value ->> '$' END`, of: LABEL },
  value_kind: {
    sql: `CASE json_type(line, '$.value') WHEN 'NULL' THEN 'withdrawn' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'VARCHAR' THEN 'text' WHEN 'UBIGINT' THEN 'number' WHEN 'BIGINT' THEN 'number' WHEN 'DOUBLE' THEN 'number' END`,
    of: LABEL,
    needs: LABEL,
  },
  known_at: { sql: time('knownMs'), of: LABEL, needs: LABEL },
  received_at: { sql: time('receivedMs'), of: LABEL, needs: LABEL },
  supersedes: { sql: 'r.supersedes', of: LABEL },
  by: { sql: 'r."by"', of: LABEL },
  source: { sql: 'r.source', of: LABEL },
  boot: { sql: 'r.boot', of: ALL, needs: ALL },
  seq: { sql: 'r.seq', of: ALL, needs: ALL },
};

const NAMES = ['kind', ...Object.keys(COLUMNS)];

const columnsOf = (kind: Kind): string[] =>
  Object.entries(COLUMNS)
    .filter(([, { of }]) => of.includes(kind))
    .map(([name]) => identifier(name));

/** A record's fields as they are read: what has another type reads as missing. */
const FAILED = { version: 'BIGINT', why: 'VARCHAR', detail: 'VARCHAR' };
const RECORD = {
  kind: 'VARCHAR',
  v: 'BIGINT',
  model: 'VARCHAR',
  requestId: 'VARCHAR',
  row: 'BIGINT',
  version: 'BIGINT',
  revision: 'BIGINT',
  unit: 'VARCHAR',
  entity: 'VARCHAR',
  eventMs: 'DOUBLE',
  eventBy: 'VARCHAR',
  eventResolution: 'VARCHAR',
  answeredMs: 'DOUBLE',
  scoredMs: 'DOUBLE',
  maturesMs: 'DOUBLE',
  project: { n: 'BIGINT', hash: 'VARCHAR' },
  inputs: 'JSON',
  lookedUp: 'JSON',
  assigned: 'VARCHAR',
  assignedVersion: 'BIGINT',
  reason: 'VARCHAR',
  propensity: 'DOUBLE',
  output: { scores: ['DOUBLE'], prediction: 'JSON' },
  latencyMs: 'DOUBLE',
  graphMs: 'DOUBLE',
  cacheHit: 'BOOLEAN',
  failed: FAILED,
  labelId: 'VARCHAR',
  happenedMs: 'DOUBLE',
  happenedResolution: 'VARCHAR',
  value: 'JSON',
  knownMs: 'DOUBLE',
  receivedMs: 'DOUBLE',
  supersedes: 'VARCHAR',
  by: 'VARCHAR',
  source: 'VARCHAR',
  boot: 'VARCHAR',
  seq: 'BIGINT',
};
const FIELDS = Object.keys(RECORD);

/** When a record was made: what decides which of several is the first. */
const AT = 'coalesce(answered_at, scored_at, received_at)';
const PLACE = placeBy(`${AT}, boot, seq, filename, file_row_number`);
/** Records of the same boot and seq are the same record. */
const PLACE_OF_WHOLE = placeBy(`${AT}, boot, seq`);
const ORDER = `coalesce(event_at, happened_at, known_at), ${AT}, boot, seq, kind, other`;

function placeBy(order: string): string {
  // A label's target is no part of its key.
  const unlessLabel = (column: string) => `CASE WHEN kind <> 'label' THEN ${column} END`;
  const key = `kind, label_id, ${unlessLabel('request_id')}, ${unlessLabel('"row"')}, CASE kind WHEN 'shadow' THEN version END`;
  return `row_number() OVER (PARTITION BY ${key} ORDER BY ${order})`;
}

/** A label that shares its id with one of these is there too: which of them counts is asked later. */
function concerning(all: string, requestId: string): string {
  const id = literal(requestId);
  const entities = `SELECT entity FROM every WHERE kind = 'answer' AND request_id = ${id}`;
  const labels = `SELECT label_id FROM every WHERE kind = 'label' AND (request_id = ${id} OR supersedes IS NOT NULL OR entity IN (${entities}))`;
  // Not materialized, or the whole log would be.
  return `WITH every AS NOT MATERIALIZED (${all}) SELECT * FROM every WHERE request_id = ${id} OR (kind = 'label' AND label_id IN (${labels}))`;
}

/** @param requestId  only lines that may bear on it: those that hold it, and labels */
function linesOf(raw: readonly string[], more?: string, requestId?: string): string {
  const files = raw.map((path) => literal(resolve(path))).join(', ');
  const lines =
    raw.length === 0
      ? 'SELECT NULL::JSON AS line WHERE false'
      : `SELECT json AS line FROM read_ndjson_objects([${files}], ignore_errors = true, compression = 'gzip', maximum_object_size = ${LONGEST_LINE_BYTES})${
          requestId === undefined
            ? ''
            : ` WHERE contains(json::VARCHAR, ${literal(requestId)}) OR contains(json::VARCHAR, '"label"')`
        }`;
  return more ? `${lines} UNION ALL ${more}` : lines;
}

export const LONGEST_LINE_BYTES = 64 * 1024 * 1024;

/** Lines as typed rows; `says` is known, unknown or broken. */
function parsed(lines: string, more?: string): string {
  const needs = (kind: Kind) =>
    Object.entries(COLUMNS)
      .filter(([, column]) => column.needs?.includes(kind))
      .map(([name]) => `${identifier(name)} IS NOT NULL`)
      .join(' AND ');
  const whole = Object.keys(VIEWS)
    .map(
      (kind) =>
        `WHEN kind = '${kind}' AND v = ${VERSION} THEN CASE WHEN ${needs(kind as Kind)} THEN 'known' ELSE 'broken' END`,
    )
    .join(' ');
  const columns = Object.entries(COLUMNS).map(([name, { sql, of }]) => {
    const kinds = of.map((kind) => `'${kind}'`).join(', ');
    return `${of === ALL ? sql : `CASE WHEN r.kind IN (${kinds}) THEN ${sql} END`} AS ${identifier(name)}`;
  });
  return `
    SELECT *${more ? `, ${more}` : ''} FROM (
      SELECT *, CASE
        WHEN v IS NULL OR v < 1 OR kind IS NULL OR model IS NULL OR NOT regexp_full_match(model, ${literal(MODEL_NAME_PATTERN.source)}) THEN 'broken'
        ${whole} ELSE 'unknown' END AS says
      FROM (
        SELECT line, r.kind AS kind, r.v AS v, r.model AS model, ${columns.join(', ')}
        FROM (SELECT line, json_transform(line, '${JSON.stringify(RECORD)}') AS r FROM (${lines}))
      )
    )`;
}

function parquetScan(paths: readonly string[]): string {
  const files = paths.map((path) => literal(resolve(path))).join(', ');
  return `read_parquet([${files}], filename = true, file_row_number = true, union_by_name = true)`;
}

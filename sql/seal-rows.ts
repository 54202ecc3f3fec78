import { StatementType } from '@duckdb/node-api';
import { createHash } from 'node:crypto';
import { didYouMean, ROW_COLUMNS, UserError, type Issue, type ModelSpec } from '../schemas/index.ts';
import type { Database, TypedColumn } from './database.ts';
import { explained, messageOf } from './explain.ts';
import { identifier } from './quote.ts';
import { checkValues, sealedColumn, type SealedColumn } from './sealed-column.ts';

export interface SealOptions {
  /** The text of rows.sql. */
  sql: string;
  /** With the run's overrides: its backtest's condition decides which columns beside the inputs are kept. */
  spec: Pick<ModelSpec, 'rows' | 'task' | 'inputs' | 'sources' | 'backtest'>;
  /** The Parquet file to write, in the database's `writable` folder. */
  to: string;
}

/** What rows.sql gave, as it gave it. A space keeps it clear of every source's name. */
const GIVEN = identifier('given rows');
const SEALED = identifier('sealed rows');

/**
 * Runs rows.sql once, checks what it gave against the model's description, and writes it as Parquet (zstd) in canonical
 * order: by predicted_at, entity, and then every column, missing last. rows.sql may give rows in any order, and sums
 * that differ between threads: what is sealed here is what every later step reads.
 *
 * `predicted_at`: a DATE is its midnight (UTC). `known_at`: a DATE is the *next* midnight, since what is known on a day
 * is known when the day is over; NULL is not known yet. Rows of the same entity and time are allowed.
 *
 * @returns rowsHash: sha256 over names, types and values in that order, column by column; it depends neither on
 *          threads, nor on the order rows came in, nor on how Parquet writes them
 * @throws {UserError} for everything that is wrong with rows.sql or with what it gave
 */
export async function sealRows(
  db: Database,
  { sql, spec, to }: SealOptions,
): Promise<{ rows: number; rowsHash: string }> {
  const given = await describeQuery(db, sql, spec);
  const columns = plan(given, spec);
  try {
    await db.run(`CREATE OR REPLACE TEMP TABLE ${GIVEN} AS\n${sql}`);
  } catch (error) {
    throw refused(error, db, spec, 1);
  }
  await checkValues(db, GIVEN, columns, spec);
  const order = columns.map(({ name }) => `${identifier(name)} ASC NULLS LAST`);
  const selected = columns.map(({ name, sealed }) => `${sealed} AS ${identifier(name)}`);
  await db.run(
    `CREATE OR REPLACE TEMP TABLE ${SEALED} AS SELECT * FROM (SELECT ${selected.join(', ')} FROM ${GIVEN}) ORDER BY ${order.join(', ')}`,
  );
  await db.run(`DROP TABLE ${GIVEN}`);
  const { rows, rowsHash } = await hashRows(db, columns);
  const path = to.replaceAll("'", "''");
  await db.run(`COPY ${SEALED} TO '${path}' (FORMAT parquet, COMPRESSION zstd)`);
  await db.run(`DROP TABLE ${SEALED}`);
  return { rows, rowsHash };
}

/** Columns of rows.sql, which must be one SELECT. */
async function describeQuery(db: Database, sql: string, spec: SealOptions['spec']): Promise<TypedColumn[]> {
  const file = spec.rows.sql;
  const notOneSelect = (found: string) =>
    explained('RowsSql', {
      what: `${file} must be one SELECT.`,
      found,
      expected: `one statement that begins with SELECT or WITH, reads ${Object.keys(spec.sources).join(', ')} and gives ${ROW_COLUMNS.join(', ')} and the inputs`,
      next: `correct ${file}, and apply the project again`,
    });
  if (withoutComments(sql).trim() === '') throw notOneSelect('no statement');
  try {
    const statements = await db.connection.extractStatements(sql);
    if (statements.count !== 1) throw notOneSelect(`${statements.count} statements`);
    const statement = await statements.prepare(0);
    try {
      const type = statement.statementType;
      if (type !== StatementType.SELECT || /^\s*(describe|desc|show|summarize)\b/i.test(withoutComments(sql)))
        throw notOneSelect(
          `a statement that begins with ${/[a-z]+/i.exec(withoutComments(sql))?.[0].toUpperCase() ?? '?'}`,
        );
      if (statement.parameterCount > 0)
        throw notOneSelect(`a parameter, $${statement.parameterName(1)}, that nobody fills`);
    } finally {
      statement.destroySync();
    }
    return await db.describe(sql);
  } catch (error) {
    if (error instanceof UserError) throw error;
    // Preparing again gives the position, which extracting loses.
    const pointed = await db.connection.prepare(sql).then(
      (statement) => (statement.destroySync(), error),
      (again: unknown) => again,
    );
    throw refused(pointed, db, spec, 0);
  }
}

function withoutComments(sql: string): string {
  return sql.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/--[^\n]*/g, ' ');
}

function refused(error: unknown, db: Database, spec: SealOptions['spec'], linesAbove: number): unknown {
  if (error instanceof UserError) return error;
  const { text, line } = messageOf(error, db.hide, linesAbove);
  const isAccess = text.startsWith('Permission Error');
  return explained('RowsSql', {
    what: `${spec.rows.sql}${line === undefined ? '' : `, line ${line}`}: ${isAccess ? 'it reads something other than the sources.' : 'DuckDB refused it.'}`,
    found: text.replaceAll('\n', '\n            '),
    expected: `one SELECT over the source${Object.keys(spec.sources).length === 1 ? '' : 's'} ${Object.keys(spec.sources).join(', ')}${isAccess ? ' and nothing else: no files, no network, no settings' : ''}`,
    next: isAccess
      ? `name the file under sources in model.yaml, read it by that name in ${spec.rows.sql}, and apply the project again`
      : `correct ${spec.rows.sql}, and apply the project again`,
  });
}

/** Which columns are sealed, in their order, and how; every mistake at once. */
function plan(given: readonly TypedColumn[], spec: SealOptions['spec']): SealedColumn[] {
  const file = spec.rows.sql;
  const names = given.map(({ name }) => name.toLowerCase());
  const twice = names.filter((name, i) => names.indexOf(name) !== i);
  if (twice.length > 0)
    throw explained('RowsSql', {
      what: `${file} gives ${[...new Set(twice)].join(', ')} more than once.`,
      found: `columns ${names.join(', ')}`,
      expected: 'each column once',
      next: `rename one with AS, or leave it out, in ${file}, and apply the project again`,
    });
  const wanted = [...ROW_COLUMNS, ...Object.keys(spec.inputs)];
  const missing = wanted.filter((name) => !names.includes(name));
  if (missing.length > 0) {
    const spare = names.filter((name) => !wanted.includes(name));
    const issues = missing.map((name) => ({
      at: `${file}: ${name}`,
      found: 'no such column',
      expected: `a column ${name}${(ROW_COLUMNS as readonly string[]).includes(name) ? '' : `, since inputs.${name} is in model.yaml`}.${didYouMean(name, spare)}`,
    }));
    throw explained('RowsSql', {
      what: `${file} does not give ${missing.length === 1 ? 'a column' : `${missing.length} columns`} that the model needs.`,
      found: `columns ${names.join(', ')}`,
      expected: issues.map((issue) => issue.expected).join('\n            '),
      next: `add ${missing.length === 1 ? 'it' : 'them'} to ${file} with AS, or correct the name in model.yaml, and apply the project again`,
      issues,
    });
  }
  const condition = spec.backtest?.where ?? '';
  const kept = given.filter(
    ({ name }) => !wanted.includes(name.toLowerCase()) && new RegExp(`\\b${escaped(name)}\\b`, 'i').test(condition),
  );
  const issues: Issue[] = [];
  const order = [
    'predicted_at',
    'entity',
    'label',
    'known_at',
    ...Object.keys(spec.inputs),
    ...kept.map(({ name }) => name),
  ];
  const sealed = order.map((name) => {
    const column = given.find((one) => one.name.toLowerCase() === name.toLowerCase())!;
    return sealedColumn(name, column, spec, issues);
  });
  if (issues.length > 0)
    throw explained('RowsSql', {
      what: `${file} gives ${issues.length === 1 ? 'a column' : `${issues.length} columns`} of the wrong type.`,
      found: issues.map((issue) => `${issue.at} is ${issue.found}`).join('\n            '),
      expected: issues.map((issue) => `${issue.at}: ${issue.expected}`).join('\n            '),
      next: `cast in ${file}, such as ${issues[0]!.at}::${castFor(issues[0]!.at, spec)}, or correct the type in model.yaml, and apply the project again`,
      issues,
    });
  return sealed;
}

function castFor(name: string, spec: SealOptions['spec']): string {
  if (name === 'predicted_at' || name === 'known_at') return 'TIMESTAMP';
  if (name === 'label') return { binary: 'BOOLEAN', multiclass: 'VARCHAR', regression: 'DOUBLE' }[spec.task];
  const type = spec.inputs[name]?.type ?? 'string';
  return {
    number: 'DOUBLE',
    integer: 'INTEGER',
    boolean: 'BOOLEAN',
    string: 'VARCHAR',
    date: 'DATE',
    timestamp: 'TIMESTAMP',
  }[type];
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** One column in memory at a time. Doubles by their bits, texts by length and characters. */
async function hashRows(db: Database, columns: readonly SealedColumn[]): Promise<{ rows: number; rowsHash: string }> {
  const hash = createHash('sha256');
  let rows = 0;
  for (const { name } of columns) {
    const read = await db.columns(`SELECT ${identifier(name)} FROM ${SEALED}`);
    rows = read.rows;
    const values = read.columns[name]!;
    hash.update(`${name} ${values instanceof Float64Array ? 'double' : 'text'} ${rows}\n`);
    if (values instanceof Float64Array) {
      // Every NaN has the same bits here: it is made by one SQL literal.
      hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      continue;
    }
    for (let from = 0; from < rows; from += BLOCK)
      hash.update(
        values
          .slice(from, from + BLOCK)
          .map((text) => (text === null ? '~' : `${text.length}:${text}`))
          .join(''),
      );
  }
  return { rows, rowsHash: hash.digest('hex') };
}

const BLOCK = 8192;

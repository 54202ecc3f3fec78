import { createHash } from 'node:crypto';
import {
  didYouMean,
  personalNames,
  ROW_COLUMNS,
  type Issue,
  type ModelSpec,
  type PiiHasher,
} from '../schemas/index.ts';
import type { Database, TypedColumn } from './database.ts';
import { explained } from './explain.ts';
import { describeSelect, refusedSelect, type PersonsQuery } from './one-select.ts';
import { identifier } from './quote.ts';
import { checkValues, keyed, sealedColumn, type SealedColumn } from './sealed-column.ts';

export interface SealOptions {
  /** The text of rows.sql. */
  sql: string;
  /** With the run's overrides: its backtest's condition decides which columns beside the inputs are kept. */
  spec: Pick<ModelSpec, 'rows' | 'label' | 'task' | 'inputs' | 'sources' | 'rollout' | 'backtest'>;
  /** Needed where the entity or an input is personal: of these only the hash is sealed. */
  pii?: PiiHasher;
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
 * is known when the day is over; NULL is not known yet; rows.sql may call it otherwise (label.knownAt). Rows of the same
 * entity and time are allowed.
 *
 * @returns rowsHash: sha256 over names, types and values in that order, column by column; it depends neither on
 *          threads, nor on the order rows came in, nor on how Parquet writes them
 * @throws {UserError} for everything that is wrong with rows.sql or with what it gave
 */
export async function sealRows(
  db: Database,
  { sql, spec, to, pii }: SealOptions,
): Promise<{ rows: number; rowsHash: string }> {
  const query = rowsQuery(sql, spec);
  const given = await describeSelect(db, query);
  const columns = plan(given, spec);
  try {
    await db.run(`CREATE OR REPLACE TEMP TABLE ${GIVEN} AS\n${sql}`);
  } catch (error) {
    throw refusedSelect(error, db, query, 1);
  }
  await checkValues(db, GIVEN, columns, spec, personalNames(spec));
  const order = columns.map(({ name }) => `${identifier(name)} ASC NULLS LAST`);
  const selected = columns.map(({ name, sealed }) => `${sealed} AS ${identifier(name)}`);
  const isHashed = columns.some(({ hashed }) => hashed);
  if (isHashed && !pii) throw new Error('sealRows: personal columns, and nothing to hash them with');
  await db.run(
    `CREATE OR REPLACE TEMP TABLE ${SEALED} AS SELECT * FROM (SELECT ${selected.join(', ')} FROM ${GIVEN}) ORDER BY ${order.join(', ')}`,
    ...(isHashed ? [keyed(pii!)] : []),
  );
  await db.run(`DROP TABLE ${GIVEN}`);
  const { rows, rowsHash } = await hashRows(db, columns);
  const path = to.replaceAll("'", "''");
  await db.run(`COPY ${SEALED} TO '${path}' (FORMAT parquet, COMPRESSION zstd)`);
  await db.run(`DROP TABLE ${SEALED}`);
  return { rows, rowsHash };
}

const rowsQuery = (sql: string, spec: SealOptions['spec']): PersonsQuery => ({
  sql,
  file: spec.rows.sql,
  sources: Object.keys(spec.sources),
  gives: `${ROW_COLUMNS.join(', ')} and the inputs`,
  type: 'RowsSql',
  personal: personalNames(spec).size > 0,
});

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
  const { knownAt } = spec.label;
  const ofRows = ROW_COLUMNS.map((name) => (name === 'known_at' ? knownAt : name));
  const wanted = [...ofRows, ...Object.keys(spec.inputs)];
  const whyWanted = (name: string) => {
    if (name in spec.inputs) return `, since inputs.${name} is in model.yaml`;
    return name === knownAt && name !== 'known_at' ? ', since label.knownAt in model.yaml names it' : '';
  };
  const missing = wanted.filter((name) => !names.includes(name));
  if (missing.length > 0) {
    const spare = names.filter((name) => !wanted.includes(name));
    const issues = missing.map((name) => ({
      at: `${file}: ${name}`,
      found: 'no such column',
      expected: `a column ${name}${whyWanted(name)}.${didYouMean(name, spare)}`,
    }));
    throw explained('RowsSql', {
      what: `${file} does not give ${missing.length === 1 ? 'a column' : `${missing.length} columns`} that the model needs.`,
      found: `columns ${names.join(', ')}`,
      expected: issues.map((issue) => issue.expected).join('\n            '),
      next: `add ${missing.length === 1 ? 'it' : 'them'} to ${file} with AS, or correct the name in model.yaml, and apply the project again`,
      issues,
    });
  }
  const ours = ['predicted_at', 'entity', 'label', 'known_at', ...Object.keys(spec.inputs)];
  const condition = spec.backtest?.where ?? '';
  const kept = given
    .map(({ name }) => name)
    .filter((name) => !ours.includes(name.toLowerCase()) && new RegExp(`\\b${escaped(name)}\\b`, 'i').test(condition));
  const personal = kept.filter((name) => personalNames(spec).has(name.toLowerCase()));
  if (personal.length > 0)
    throw explained('RowsSql', {
      what: `backtest.where uses ${personal.join(', ')}, which ${personal.length === 1 ? 'is' : 'are'} personal and no input, so that it would be kept as it is.`,
      found: condition,
      expected: 'a condition over columns that are not personal',
      next: `give a column to ask for in ${file}, such as ${personal[0]} LIKE '...' AS is_ours, use it in backtest.where, and apply the project again`,
    });
  const issues: Issue[] = [];
  const sealed = [...ours, ...kept].map((name) => {
    const givenName = name === 'known_at' ? knownAt : name.toLowerCase();
    const column = given.find((one) => one.name.toLowerCase() === givenName)!;
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
  if (name === 'predicted_at' || name === spec.label.knownAt) return 'TIMESTAMP';
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

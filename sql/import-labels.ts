import { resolve } from 'node:path';
import {
  didYouMean,
  personalNames,
  UserError,
  type Issue,
  type LabelValue,
  type ModelSpec,
  type PiiHasher,
  type Resolution,
} from '../schemas/index.ts';
import type { Database, TypedColumn } from './database.ts';
import { explained } from './explain.ts';
import { describeSelect, refusedSelect, type PersonsQuery } from './one-select.ts';
import { identifier, literal } from './quote.ts';
import { checkValues, keyed, sealedColumn, type SealedColumn } from './sealed-column.ts';

export interface ImportOptions {
  /** The text of label.import.sql. */
  sql: string;
  spec: ModelSpec;
  /** Needed where the entity is personal: its labels are known by its hash only. */
  pii?: PiiHasher;
  /** What was known then, ISO 8601. */
  until: string;
  /** Parquet files of what was imported before. */
  imported: readonly string[];
  /** Of this import, greater than all before. */
  n: number;
}

/** A label of an entity at a time, as it was found. */
export interface FoundLabel {
  labelId: string;
  entity: string;
  happenedMs: number;
  happenedResolution: Resolution;
  value: LabelValue;
  knownMs: number;
  /** The label that said something else about the same before. */
  supersedes?: string;
}

const GIVEN = identifier('given labels');
const SEALED = identifier('sealed labels');
const KNOWN = identifier('known labels');
const FOUND = identifier('found labels');
const COLUMNS = ['entity', 'happened_at', 'label'] as const;

/**
 * Runs the SQL that imports labels, checks what it gave, and finds what was not imported before: labels of an entity and a
 * time that are new, and those whose value has changed. A row without a label, or not known yet, is passed over; so is one
 * that was imported and is not there any more. Of several rows for one entity and time the one known last counts.
 *
 * A label's id follows from the model, the entity, the time, the value and what it supersedes: who finds it again gives
 * it the same.
 *
 * @throws {UserError} for everything that is wrong with the SQL or with what it gave
 */
export async function findLabels(
  db: Database,
  o: ImportOptions,
): Promise<{ rows: number; labels: number; corrections: number }> {
  const { spec, pii, n } = o;
  const { columns, resolution } = await takeGiven(db, o);
  const isHashed = columns.some(({ hashed }) => hashed);
  if (isHashed && !pii) throw new Error('findLabels: the entity is personal, and there is nothing to hash it with');
  const of = (name: string) => columns.find((column) => column.name === name)!.sealed;
  await db.run(
    `CREATE OR REPLACE TEMP TABLE ${SEALED} AS SELECT ${of('entity')} AS entity, epoch_ms(${of('happened_at')}) AS happened_ms,
       ${of('label')}::VARCHAR AS value, epoch_ms(${of('known_at')}) AS known_ms FROM ${GIVEN}`,
    ...(isHashed ? [keyed(pii!)] : []),
  );
  const [given] = await db.rowsOf(`SELECT count(*) AS rows FROM ${GIVEN}`);
  await db.run(`DROP TABLE ${GIVEN}`);
  await db.run(
    `CREATE OR REPLACE TEMP TABLE ${KNOWN} AS SELECT DISTINCT * FROM (
       FROM ${SEALED} WHERE value IS NOT NULL AND known_ms <= ${Date.parse(o.until)}
       QUALIFY rank() OVER (PARTITION BY entity, happened_ms ORDER BY known_ms DESC) = 1)`,
  );
  await db.run(`DROP TABLE ${SEALED}`);
  await refuseContradictions(db, spec);

  await db.run(
    `CREATE OR REPLACE TEMP VIEW ${BEFORE} AS ${
      o.imported.length === 0
        ? `SELECT NULL::VARCHAR AS entity, NULL::BIGINT AS happened_ms, NULL::VARCHAR AS value, NULL::VARCHAR AS label_id, NULL::INTEGER AS n WHERE false`
        : `FROM read_parquet([${o.imported.map((path) => literal(resolve(path))).join(', ')}])
             QUALIFY row_number() OVER (PARTITION BY entity, happened_ms ORDER BY n DESC) = 1`
    }`,
  );
  // Lengths keep apart what else could run together.
  const identity = [
    literal(spec.name),
    'k.happened_ms',
    `coalesce(b.label_id, '')`,
    'length(k.entity)',
    'k.entity',
    'k.value',
  ];
  await db.run(
    `CREATE OR REPLACE TEMP TABLE ${FOUND} AS
     SELECT row_number() OVER (ORDER BY k.known_ms, k.entity, k.happened_ms) - 1 AS i, k.*, b.label_id AS supersedes,
       'import:' || left(sha256(concat_ws('/', ${identity.join(', ')})), 40) AS label_id, ${n} AS n
     FROM ${KNOWN} AS k LEFT JOIN ${BEFORE} AS b USING (entity, happened_ms)
     WHERE b.value IS NULL OR b.value <> k.value`,
  );
  await db.run(`DROP TABLE ${KNOWN}`);
  await db.run(`ALTER TABLE ${FOUND} ADD COLUMN resolution VARCHAR DEFAULT '${resolution}'`);
  const [found] = await db.rowsOf(`SELECT count(*) AS labels, count(supersedes) AS corrections FROM ${FOUND}`);
  return { rows: Number(given!.rows), labels: Number(found!.labels), corrections: Number(found!.corrections) };
}

const BEFORE = identifier('labels imported before');

/** What findLabels found, in the order in which it was known, so many at a time. */
export async function* readFoundLabels(db: Database, spec: ModelSpec, atOnce: number): AsyncGenerator<FoundLabel[]> {
  for (let from = 0; ; from += atOnce) {
    const { rows, columns } = await db.columns(
      `SELECT label_id, entity, happened_ms, resolution, value, known_ms, supersedes FROM ${FOUND}
       WHERE i >= ${from} AND i < ${from + atOnce} ORDER BY i`,
    );
    if (rows === 0) return;
    const text = (name: string, i: number) => columns[name]![i] as string;
    yield Array.from({ length: rows }, (_, i) => ({
      labelId: text('label_id', i),
      entity: text('entity', i),
      happenedMs: columns['happened_ms']![i] as number,
      happenedResolution: text('resolution', i) as Resolution,
      value: valueOf(text('value', i), spec),
      knownMs: columns['known_ms']![i] as number,
      ...(columns['supersedes']![i] !== null && { supersedes: text('supersedes', i) }),
    }));
  }
}

const valueOf = (text: string, { task }: ModelSpec): LabelValue =>
  task === 'binary' ? text === 'true' : task === 'regression' ? Number(text) : text;

/**
 * Writes what findLabels found as Parquet, for the imports to come.
 * @param o.whole  with all that was imported before
 */
export async function writeFoundLabels(db: Database, o: { to: string; whole: boolean }): Promise<void> {
  const columns = 'entity, happened_ms, value, label_id, n';
  const found = `SELECT ${columns} FROM ${FOUND}`;
  const all = `${found} UNION ALL SELECT ${columns} FROM ${BEFORE} ANTI JOIN ${FOUND} USING (entity, happened_ms)`;
  await db.run(
    `COPY (SELECT * FROM (${o.whole ? all : found}) ORDER BY entity, happened_ms) TO ${literal(resolve(o.to))} (FORMAT parquet, COMPRESSION zstd)`,
  );
}

/** Runs the SQL, and keeps the rows that say something. */
async function takeGiven(
  db: Database,
  { sql, spec }: ImportOptions,
): Promise<{ columns: SealedColumn[]; resolution: Resolution }> {
  const { knownAt } = spec.label;
  const file = spec.label.import!.sql;
  const query: PersonsQuery = {
    sql,
    file,
    sources: Object.keys(spec.sources),
    gives: [...COLUMNS, knownAt].join(', '),
    type: 'LabelsSql',
    personal: personalNames(spec).size > 0,
  };
  const given = await describeSelect(db, query);
  const columns = plan(given, spec);
  const names = columns.map((column) => identifier(column.given));
  const [label, known] = ['label', 'known_at'].map((name) => columns.find((column) => column.name === name)!);
  const says = `${identifier(label!.given)} IS NOT NULL AND ${identifier(known!.given)} IS NOT NULL`;
  try {
    await db.run(`CREATE OR REPLACE TEMP TABLE ${GIVEN} AS SELECT ${names.join(', ')} FROM (\n${sql}\n) WHERE ${says}`);
  } catch (error) {
    throw refusedSelect(error, db, query, 1);
  }
  // Its messages are about rows.sql, as the description calls it.
  const asRows = { ...spec, rows: { ...spec.rows, sql: file } };
  await checkValues(db, GIVEN, columns, asRows, personalNames(spec)).catch((error: unknown) => {
    throw error instanceof UserError ? new UserError(query.type, error.message, error.issues) : error;
  });
  const isDay = given.find(({ name }) => name.toLowerCase() === 'happened_at')!.kind === 'date';
  return { columns, resolution: isDay ? 'day' : 'instant' };
}

/** The four columns and how they are sealed; every mistake at once. */
function plan(given: readonly TypedColumn[], spec: ModelSpec): SealedColumn[] {
  const { knownAt } = spec.label;
  const file = spec.label.import!.sql;
  const names = given.map(({ name }) => name.toLowerCase());
  const wanted = [...COLUMNS, knownAt];
  const next = `correct ${file}, and apply the project again`;
  const twice = wanted.filter((name) => names.indexOf(name) !== names.lastIndexOf(name));
  const missing = wanted.filter((name) => !names.includes(name));
  if (twice.length > 0 || missing.length > 0) {
    const spare = names.filter((name) => !wanted.includes(name));
    const issues: Issue[] = [
      ...twice.map((name) => ({ at: `${file}: ${name}`, found: 'the column twice', expected: 'each column once' })),
      ...missing.map((name) => ({
        at: `${file}: ${name}`,
        found: 'no such column',
        expected: `a column ${name}.${didYouMean(name, spare)}`,
      })),
    ];
    throw explained('LabelsSql', {
      what: `${file} does not give the columns that labels need.`,
      found: `columns ${names.join(', ')}`,
      expected: issues.map(({ at, expected }) => `${at}: ${expected}`).join('\n            '),
      next,
      issues,
    });
  }
  const issues: Issue[] = [];
  const asRows = { ...spec, rows: { ...spec.rows, sql: file } };
  const columns = (['entity', 'happened_at', 'label', 'known_at'] as const).map((name) => {
    const column = given.find((one) => one.name.toLowerCase() === (name === 'known_at' ? knownAt : name))!;
    return name === 'happened_at' ? happenedAt(column, file, issues) : sealedColumn(name, column, asRows, issues);
  });
  if (issues.length > 0)
    throw explained('LabelsSql', {
      what: `${file} gives ${issues.length === 1 ? 'a column' : `${issues.length} columns`} of the wrong type.`,
      found: issues.map((issue) => `${issue.at} is ${issue.found}`).join('\n            '),
      expected: issues.map((issue) => `${issue.at}: ${issue.expected}`).join('\n            '),
      next: `cast in ${file}; ${next}`,
      issues,
    });
  return columns;
}

function happenedAt(column: TypedColumn, file: string, issues: Issue[]): SealedColumn {
  const name = identifier(column.name);
  if (!['date', 'timestamp', 'null'].includes(column.kind))
    issues.push({ at: 'happened_at', found: column.type, expected: 'DATE or TIMESTAMP: when the outcome happened' });
  return {
    name: 'happened_at',
    given: column.name,
    sealed: `${name}::TIMESTAMP`,
    hashed: false,
    refuses: [
      {
        when: `${name} IS NULL`,
        expected: 'a time in every row that has a label: when the outcome happened',
        next: `in ${file}, leave such rows out (WHERE happened_at IS NOT NULL)`,
      },
      {
        when: `${name} IS NOT NULL AND NOT isfinite(${name}::TIMESTAMP)`,
        expected: 'calendar dates and times',
        next: `in ${file}, leave such rows out (WHERE isfinite(happened_at))`,
      },
    ],
  };
}

/** Two values that became known at once: nothing says which is true. */
async function refuseContradictions(db: Database, spec: ModelSpec): Promise<void> {
  const file = spec.label.import!.sql;
  const twice = `FROM ${KNOWN} GROUP BY entity, happened_ms HAVING count(*) > 1`;
  const [counted] = await db.rowsOf(`SELECT count(*) AS keys FROM (SELECT 1 ${twice})`);
  const keys = Number(counted!.keys);
  if (keys === 0) return;
  const [first] = await db.rowsOf(
    `SELECT entity, happened_ms, string_agg(value, ' and ' ORDER BY value) AS "values" ${twice} ORDER BY entity, happened_ms LIMIT 1`,
  );
  const { entity, happened_ms: happenedMs, values } = first as { entity: string; happened_ms: number; values: string };
  const isPersonal = personalNames(spec).size > 0;
  throw explained('LabelsSql', {
    what: `${file} gives several labels for one entity and time, known at the same time.`,
    found: `${keys.toLocaleString('en-US')} such ${keys === 1 ? 'case' : 'cases'}${
      isPersonal
        ? ''
        : `; for ${spec.rows.entity} ${entity.slice(0, 40)} at ${new Date(happenedMs).toISOString()}: ${values.slice(0, 80)}`
    }`,
    expected: 'one label for each entity, happened_at and known_at',
    next: `decide in ${file} which one is true, or give the time at which each was known; then apply the project again`,
  });
}

import { isPiiInput, PII_HASH, type Input, type Issue, type ModelSpec, type PiiHasher } from '../schemas/index.ts';
import { isNumeric } from './column-kind.ts';
import { DuckDBBlobValue } from '@duckdb/node-api';
import type { Database, TypedColumn } from './database.ts';
import { explained } from './explain.ts';
import { identifier, literal } from './quote.ts';

/** How one column of rows.sql is sealed, and what no value of it may be. */
export interface SealedColumn {
  name: string;
  /** What rows.sql calls it. */
  given: string;
  /** Expression over what rows.sql gave. */
  sealed: string;
  /** The expression takes the key, as {@link keyed} gives it. */
  hashed: boolean;
  refuses: Refusal[];
}

interface Refusal {
  /** Condition that is true of a value that cannot stay. */
  when: string;
  /** In words: what must be true of all. */
  expected: string;
  next: string;
}

type Spec = Pick<ModelSpec, 'rows' | 'task' | 'inputs'>;
type Sealing = Pick<SealedColumn, 'sealed'> & { hashed?: boolean; refuses?: Refusal[] };

/** Plans one column; a type that does not fit is added to the issues. */
export function sealedColumn(name: string, column: TypedColumn, spec: Spec, issues: Issue[]): SealedColumn {
  const planned = planFor(name, column, spec);
  const named = { name, given: column.name };
  if ('sealed' in planned)
    return { ...named, sealed: planned.sealed, hashed: planned.hashed ?? false, refuses: planned.refuses ?? [] };
  issues.push({ at: column.name.toLowerCase(), found: column.type, expected: planned.expected });
  return { ...named, sealed: identifier(column.name), hashed: false, refuses: [] };
}

function planFor(name: string, column: TypedColumn, spec: Spec): Sealing | { expected: string } {
  if (name === 'entity') {
    const text = asText(column);
    if (!text) return { expected: 'text or a whole number: the key of what is predicted about' };
    const refuses = [isNull(column, spec, 'entity', 'the key of what is predicted about')];
    return spec.rows.entityPii ? { sealed: hash(text), hashed: true, refuses } : { sealed: text, refuses };
  }
  if (name === 'predicted_at') {
    const time = asTime(column, '');
    if (!time) return { expected: 'DATE or TIMESTAMP: when the prediction is made' };
    const refuses = [isNull(column, spec, 'predicted_at', 'the time when the prediction is made'), isInfinite(column)];
    return { sealed: time, refuses };
  }
  if (name === 'known_at') {
    const time = asTime(column, ' + INTERVAL 1 DAY');
    if (!time) return { expected: 'DATE or TIMESTAMP: when the label was known' };
    return { sealed: time, refuses: column.kind === 'null' ? [] : [isInfinite(column)] };
  }
  if (name === 'label') return asLabel(column, spec);
  const input = spec.inputs[name];
  return input ? asInput(column, input) : beside(column);
}

function asLabel(column: TypedColumn, { task, rows }: Spec): Sealing | { expected: string } {
  const name = identifier(column.name);
  if (task === 'multiclass') {
    const text = asText(column);
    return text ? { sealed: text } : { expected: 'text or a whole number: the name of the class' };
  }
  if (task === 'regression') {
    const number = asNumber(column);
    return number ? { sealed: number, refuses: endless(column) } : { expected: 'a number' };
  }
  if (column.kind === 'boolean' || column.kind === 'null') return { sealed: `${name}::BOOLEAN` };
  const expected = 'BOOLEAN, or numbers that are 0 or 1; NULL where it is not known';
  const next = `in ${rows.sql}, make it a condition, such as ${column.name} = 'yes' AS label`;
  if (isNumeric(column.kind))
    return {
      sealed: `${column.kind === 'float' ? `CASE WHEN NOT isnan(${name}) THEN ${name} END` : name}::BOOLEAN`,
      refuses: [notZeroOrOne(column, expected, next)],
    };
  // A text is refused by its values: they say which condition is meant.
  if (column.kind === 'text')
    return { sealed: `NULL::BOOLEAN`, refuses: [{ when: `${name} IS NOT NULL`, expected, next }] };
  return { expected };
}

function asInput(column: TypedColumn, input: Input): Sealing | { expected: string } {
  const name = identifier(column.name);
  const isEmpty = column.kind === 'null';
  switch (input.type) {
    case 'number':
    case 'integer': {
      const number = asNumber(column);
      if (!number) return { expected: `a number, since inputs.${column.name} is of type ${input.type}` };
      const whole: Refusal = {
        when: `isfinite(${name}::DOUBLE) AND ${name}::DOUBLE <> trunc(${name}::DOUBLE)`,
        expected: `whole numbers, since inputs.${column.name} is of type integer`,
        next: `make it type: number in model.yaml, or round it in SQL`,
      };
      const canBeBroken = column.kind === 'float' || column.kind === 'decimal';
      return {
        sealed: number,
        refuses: [...endless(column), ...(input.type === 'integer' && canBeBroken ? [whole] : [])],
      };
    }
    case 'boolean':
      if (column.kind === 'boolean' || isEmpty) return { sealed: `${name}::BOOLEAN` };
      if (column.kind !== 'integer')
        return { expected: `BOOLEAN, or 0 and 1, since inputs.${column.name} is of type boolean` };
      return {
        sealed: `${name}::BOOLEAN`,
        refuses: [
          notZeroOrOne(
            column,
            `0 or 1, since inputs.${column.name} is of type boolean`,
            'make it type: integer in model.yaml, or a condition in SQL',
          ),
        ],
      };
    case 'string': {
      const text = asText(column);
      if (!text) return { expected: `text, since inputs.${column.name} is of type string` };
      if (!isPiiInput(input)) return { sealed: text };
      return { sealed: hash(`nullif(${text}, '')`), hashed: true, refuses: personalLimits(column, text, input) };
    }
    case 'date': {
      const time = asTime(column, '');
      if (!time) return { expected: `DATE, since inputs.${column.name} is of type date` };
      const withHour: Refusal = {
        when: `isfinite(${name}::TIMESTAMP) AND ${name}::TIMESTAMP <> date_trunc('day', ${name}::TIMESTAMP)`,
        expected: `dates without a time of day, since inputs.${column.name} is of type date`,
        next: `make it type: timestamp in model.yaml, or cast it in SQL with ::DATE`,
      };
      return {
        sealed: `${name}::DATE`,
        refuses: isEmpty ? [] : [isInfinite(column), ...(column.kind === 'timestamp' ? [withHour] : [])],
      };
    }
    case 'timestamp': {
      const time = asTime(column, '');
      if (!time) return { expected: `TIMESTAMP, since inputs.${column.name} is of type timestamp` };
      return { sealed: time, refuses: isEmpty ? [] : [isInfinite(column)] };
    }
  }
}

/** HMAC-SHA-256 as a PiiHasher has it. The key is bound beside the SQL, so that no error can quote it. */
function hash(text: string): string {
  const digest = `sha256($pii_outer::BLOB || unhex(sha256($pii_inner::BLOB || encode(${text}))))`;
  return `${literal(PII_HASH.prefix)} || left(${digest}, ${PII_HASH.hexDigits})`;
}

/** The values that SQL with hashed columns is run with. */
export function keyed(pii: PiiHasher): Record<string, DuckDBBlobValue> {
  const { inner, outer } = pii.pads();
  return { pii_inner: new DuckDBBlobValue(inner), pii_outer: new DuckDBBlobValue(outer) };
}

/** A hash cannot be held against limits any more, as all other inputs are when they are decoded. */
function personalLimits({ name }: TypedColumn, text: string, input: Input & { type: 'string' }): Refusal[] {
  const next = (field: string) => `widen inputs.${name}.${field}, or have rows.sql leave these rows out or mend them`;
  return [
    {
      // Bytes first, which are counted faster.
      when: `strlen(${text}) > ${input.maxLength} AND length(${text}) > ${input.maxLength}`,
      expected: `texts of at most ${input.maxLength} characters`,
      next: next('maxLength'),
    },
    ...(input.values
      ? [
          {
            when: `${text} <> '' AND ${text} NOT IN (${input.values.map(literal).join(', ')})`,
            expected: `one of the ${input.values.length} texts in inputs.${name}.values`,
            next: next('values'),
          },
        ]
      : []),
  ];
}

/** A column that only a backtest's condition looks at keeps its type. */
function beside(column: TypedColumn): Sealing | { expected: string } {
  if (column.kind === 'other')
    return { expected: 'numbers, BOOLEAN, DATE, TIMESTAMP or VARCHAR, since backtest.where uses it' };
  if (column.kind === 'float') return { sealed: asNumber(column)! };
  if (column.kind === 'null') return { sealed: `${identifier(column.name)}::VARCHAR` };
  return {
    sealed: column.type === 'UUID' ? `${identifier(column.name)}::VARCHAR` : identifier(column.name),
    ...(column.kind === 'date' || column.kind === 'timestamp' ? { refuses: [isInfinite(column)] } : {}),
  };
}

/** A double without NaN (missing is NULL at rest) and without negative zero. */
function asNumber({ name, kind }: TypedColumn): string | undefined {
  const column = identifier(name);
  if (kind === 'float') return `CASE WHEN NOT isnan(${column}) THEN ${column}::DOUBLE + 0.0::DOUBLE END`;
  return isNumeric(kind) || kind === 'null' ? `${column}::DOUBLE` : undefined;
}

/** Whole doubles as JSON writes them: a key 12.0 is the text 12. */
function asText({ name, kind }: TypedColumn): string | undefined {
  const column = identifier(name);
  if (kind === 'float')
    return `CASE WHEN isnan(${column}) THEN NULL WHEN ${column} = trunc(${column}) AND abs(${column}) < 9e15 THEN ${column}::BIGINT::VARCHAR ELSE ${column}::VARCHAR END`;
  return ['text', 'integer', 'decimal', 'boolean', 'null'].includes(kind) ? `${column}::VARCHAR` : undefined;
}

function asTime({ name, kind }: TypedColumn, dateShift: string): string | undefined {
  const column = identifier(name);
  if (kind === 'date') return `${column}::TIMESTAMP${dateShift}`;
  return kind === 'timestamp' || kind === 'null' ? `${column}::TIMESTAMP` : undefined;
}

function isNull({ name, kind }: TypedColumn, { rows }: Spec, called: string, meaning: string): Refusal {
  const column = identifier(name);
  return {
    when: kind === 'float' ? `(${column} IS NULL OR isnan(${column}))` : `${column} IS NULL`,
    expected: `a value in every row: ${meaning}`,
    next: `in ${rows.sql}, leave such rows out (WHERE ${called} IS NOT NULL), or look at the join that gives them`,
  };
}

function isInfinite({ name }: TypedColumn): Refusal {
  return {
    when: `NOT isfinite(${identifier(name)}::TIMESTAMP)`,
    expected: 'calendar dates and times, or NULL where it is not known',
    next: `in SQL, make it NULL: CASE WHEN isfinite(${name}) THEN ${name} END`,
  };
}

function endless({ name, kind }: TypedColumn): Refusal[] {
  if (kind !== 'float') return [];
  return [
    {
      when: `isinf(${identifier(name)})`,
      expected: 'finite numbers, or NULL where there is none',
      next: `in SQL, make it NULL, such as by nullif on what it is divided by`,
    },
  ];
}

function notZeroOrOne({ name, kind }: TypedColumn, expected: string, next: string): Refusal {
  const column = identifier(name);
  return { when: `${column} NOT IN (0, 1)${kind === 'float' ? ` AND NOT isnan(${column})` : ''}`, expected, next };
}

const SHOWN = 5;
/** What stands in a message for personal values. */
export const PERSONAL = '(personal)';

/**
 * Looks at every value once.
 * @param personal  names of columns of which no value is shown
 * @throws {UserError} for the first column that holds what it may not, with the count and a few of the values
 */
export async function checkValues(
  db: Database,
  table: string,
  columns: readonly SealedColumn[],
  spec: Spec,
  personal: ReadonlySet<string>,
): Promise<void> {
  const refusals = columns.flatMap(({ name, given, hashed, refuses }) =>
    refuses.map((refusal) => ({ name: given, hidden: hashed || personal.has(name), ...refusal })),
  );
  if (refusals.length === 0) return;
  const counts = refusals.map(({ when }, i) => `count(*) FILTER (WHERE ${when}) AS f${i}`);
  const [counted] = await db.rowsOf(`SELECT count(*) AS rows, ${counts.join(', ')} FROM ${table}`);
  const broken = refusals
    .map((refusal, i) => ({ ...refusal, count: Number(counted![`f${i}`]) }))
    .filter(({ count }) => count > 0);
  const first = broken[0];
  if (!first) return;
  const values = await db.rowsOf(
    `SELECT DISTINCT ${identifier(first.name)}::VARCHAR AS value FROM ${table} WHERE ${first.when} ORDER BY value LIMIT ${SHOWN + 1}`,
  );
  const shown = values
    .slice(0, SHOWN)
    .map(({ value }) => (value === null ? 'NULL' : first.hidden ? PERSONAL : (value as string).slice(0, 40)));
  const grouped = (n: unknown) => Number(n).toLocaleString('en-US');
  throw explained('RowsSql', {
    what: `${spec.rows.sql}: ${first.name} has values that cannot be used.`,
    found: `${[...new Set(shown)].join(', ')}${values.length > SHOWN && !first.hidden ? ', and others' : ''}, in ${grouped(first.count)} of ${grouped(counted!.rows)} rows`,
    expected: first.expected,
    next: `${first.next}; then apply the project again`,
    issues: broken.map(({ name, expected, count }) => ({
      at: `${spec.rows.sql}: ${name}`,
      found: `${grouped(count)} rows`,
      expected,
    })),
  });
}

import { didYouMean, type Expectation, type ExpectationCounts, type ModelSpec } from '../schemas/index.ts';
import { isNumeric } from './column-kind.ts';
import type { Database, TypedColumn } from './database.ts';
import { identifier, literal } from './quote.ts';
import { PERSONAL } from './sealed-column.ts';

const EXAMPLES = 3;

/**
 * Counts the rows that break each expectation: one pass over each source, and a few examples for those that some break.
 *
 * NULL breaks `not_null` alone. NaN is a missing number that is not NULL: it breaks `not_null`, `between` and `in_set`.
 * Of values that repeat, `unique` counts all but one of each.
 *
 * @param db        sources as tables of their names
 * @param personal  names of columns of which no value is shown
 * @returns         in the order of `spec.expectations`
 */
export async function measureExpectations(
  db: Database,
  spec: Pick<ModelSpec, 'sources' | 'expectations'>,
  personal: ReadonlySet<string>,
): Promise<ExpectationCounts[]> {
  const answers = new Map<Expectation, ExpectationCounts>();
  for (const source of Object.keys(spec.sources)) {
    const mine = spec.expectations.filter((expectation) => (expectation.on ?? Object.keys(spec.sources)[0]) === source);
    if (mine.length === 0) continue;
    const columns = await db.describe(`SELECT * FROM ${identifier(source)}`);
    const questions = mine.map((expectation) => ask(expectation, columns));
    const counted = questions.map((question, i) => ('count' in question ? `${question.count} AS f${i}` : `0 AS f${i}`));
    const [counts] = await db.rowsOf(`SELECT count(*) AS rows, ${counted.join(', ')} FROM ${identifier(source)}`);
    const rows = Number(counts!.rows);
    const shown = { source, columns, knownAt: spec.sources[source]!.knownAt, personal };
    for (const [i, question] of questions.entries()) {
      const failed = Number(counts![`f${i}`]);
      answers.set(
        mine[i]!,
        'uncountable' in question
          ? { source, rows, uncountable: question.uncountable, examples: [] }
          : { source, rows, failed, examples: failed > 0 ? await examples(db, shown, question) : [] },
      );
    }
  }
  return spec.expectations.map((expectation) => answers.get(expectation)!);
}

type Question = { count: string; column?: string; breaks?: string; repeats?: string } | { uncountable: string };

function ask(expectation: Expectation, columns: readonly TypedColumn[]): Question {
  if (expectation.expect === 'row_count_between') {
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = expectation;
    return { count: `greatest(${min} - count(*), count(*) - ${max}, 0)` };
  }
  const column = columns.find(({ name }) => name.toLowerCase() === expectation.column);
  if (!column)
    return {
      uncountable: `there is no column ${expectation.column}.${didYouMean(
        expectation.column,
        columns.map(({ name }) => name),
      )}`,
    };
  const name = identifier(column.name);
  if (expectation.expect === 'exists') return { count: '0' };
  if (expectation.expect === 'unique')
    return {
      count: `count(${name}) - count(DISTINCT ${name})`,
      column: column.name,
      repeats: `SELECT ${name} FROM source WHERE ${name} IS NOT NULL GROUP BY ${name} HAVING count(*) > 1`,
    };
  const isNaN = column.kind === 'float' ? `isnan(${name})` : 'false';
  if (expectation.expect === 'not_null') return broken(column.name, `(${name} IS NULL OR ${isNaN})`);
  const wanted = expectation.expect === 'in_set' ? expectation.values : [expectation.min, expectation.max];
  const limits = wanted.map((value) => (value === undefined ? undefined : comparable(value, column)));
  const impossible = limits.findIndex((limit) => limit === null);
  if (impossible >= 0)
    return {
      uncountable: `column ${column.name} is ${column.type}, which cannot be compared with ${JSON.stringify(wanted[impossible])}; ${EXPECTED[column.kind]}`,
    };
  if (expectation.expect === 'in_set')
    return broken(column.name, `(${name} IS NOT NULL AND ${compared(column)} NOT IN (${limits.join(', ')}))`);
  const [min, max] = limits;
  const outside = [
    ...(min === undefined ? [] : [`${compared(column)} < ${min}`]),
    ...(max === undefined ? [] : [`${compared(column)} > ${max}`]),
    isNaN,
  ];
  return broken(column.name, `(${name} IS NOT NULL AND (${outside.join(' OR ')}))`);
}

function broken(column: string, breaks: string): Question {
  return { count: `count(*) FILTER (WHERE ${breaks})`, column, breaks };
}

const EXPECTED: Record<TypedColumn['kind'], string> = {
  integer: 'write numbers',
  decimal: 'write numbers',
  float: 'write numbers',
  boolean: 'write true or false',
  date: 'write dates, such as "2016-07-01"',
  timestamp: 'write times, such as "2016-07-01T12:00:00Z"',
  text: 'write texts, in quotes where they look like numbers',
  null: 'all of it is NULL',
  other: 'such a column can only exist, or be not_null',
};

/** The column as it is compared: enums and UUIDs by their text. */
function compared({ name, kind }: TypedColumn): string {
  if (kind === 'text') return `${identifier(name)}::VARCHAR`;
  return kind === 'timestamp' || kind === 'date' ? `${identifier(name)}::TIMESTAMP` : identifier(name);
}

/** A value of model.yaml as an SQL literal of the column's kind; null where it is of another kind. */
function comparable(value: string | number | boolean, { kind }: TypedColumn): string | null {
  if (typeof value === 'number') return isNumeric(kind) && Number.isFinite(value) ? `${value}::DOUBLE` : null;
  if (typeof value === 'boolean') return kind === 'boolean' ? String(value) : null;
  if (kind === 'text') return literal(value);
  if (kind !== 'date' && kind !== 'timestamp') return null;
  // A time without a zone is UTC, as everywhere in model.yaml.
  const instant = Date.parse(
    /Z|[+-]\d{2}:?\d{2}$|^\d{4}-\d{2}-\d{2}$/.test(value) ? value : `${value.replace(' ', 'T')}Z`,
  );
  return Number.isNaN(instant) ? null : `TIMESTAMP '${new Date(instant).toISOString().slice(0, 23).replace('T', ' ')}'`;
}

/** A few of the rows: what tells which they are, and what is wrong with them. Of personal columns whether they are NULL. */
async function examples(
  db: Database,
  {
    source,
    columns,
    knownAt,
    personal,
  }: { source: string; columns: readonly TypedColumn[]; knownAt?: string | undefined; personal: ReadonlySet<string> },
  question: Exclude<Question, { uncountable: string }>,
): Promise<Record<string, unknown>[]> {
  if (question.column === undefined) return [];
  const isPersonal = (column: string) => personal.has(column.toLowerCase());
  const names = columns.map(({ name: column }) => column).filter((column) => !isPersonal(column));
  const ids = names.filter((column) => /(^|_)id$/i.test(column)).slice(0, 2);
  const told = names.filter((column) => column === knownAt);
  const shown = [...new Set([...(ids.length > 0 ? ids : names.slice(0, 1)), ...told, question.column])].map((column) =>
    isPersonal(column)
      ? `CASE WHEN ${identifier(column)} IS NOT NULL THEN ${literal(PERSONAL)} END AS ${identifier(column)}`
      : identifier(column),
  );
  const name = identifier(question.column);
  const condition =
    question.breaks ??
    `${name} IN (SELECT ${name} FROM (${question.repeats!.replace('FROM source', `FROM ${identifier(source)}`)}) ORDER BY ${name} LIMIT ${EXAMPLES})`;
  return db.rowsOf(
    `SELECT ${shown.join(', ')} FROM ${identifier(source)} WHERE ${condition}` +
      `${question.breaks ? '' : ` ORDER BY ${identifier(source)}.${name}`} LIMIT ${EXAMPLES}`,
  );
}

import { StatementType } from '@duckdb/node-api';
import { UserError } from '../schemas/index.ts';
import type { Database, TypedColumn } from './database.ts';
import { explained, messageOf, withoutValues, type DuckDBMessage } from './explain.ts';

/** SQL that a person wrote into a model project. */
export interface PersonsQuery {
  sql: string;
  /** Its file, as model.yaml names it. */
  file: string;
  /** The tables that it may read. */
  sources: readonly string[];
  /** The columns that it must give, in words. */
  gives: string;
  /** Of the errors that it makes. */
  type: string;
  /** Its data are personal: what DuckDB says while it runs, which may quote a value, is not shown. */
  personal: boolean;
}

/**
 * The columns of what must be one SELECT over the sources.
 * @throws {UserError} where it is something else, or DuckDB refuses it; with the line
 */
export async function describeSelect(db: Database, query: PersonsQuery): Promise<TypedColumn[]> {
  const { sql, file, sources, gives, type } = query;
  const notOneSelect = (found: string) =>
    explained(type, {
      what: `${file} must be one SELECT.`,
      found,
      expected: `one statement that begins with SELECT or WITH, reads ${sources.join(', ')} and gives ${gives}`,
      next: `correct ${file}, and apply the project again`,
    });
  if (withoutComments(sql).trim() === '') throw notOneSelect('no statement');
  try {
    const statements = await db.connection.extractStatements(sql);
    if (statements.count !== 1) throw notOneSelect(`${statements.count} statements`);
    const statement = await statements.prepare(0);
    try {
      const isSelect = statement.statementType === StatementType.SELECT;
      if (!isSelect || /^\s*(describe|desc|show|summarize)\b/i.test(withoutComments(sql)))
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
    throw refusal(query, messageOf(pointed, db.hide));
  }
}

function withoutComments(sql: string): string {
  return sql.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/--[^\n]*/g, ' ');
}

/**
 * What DuckDB said against a person's SQL while it ran, for that person.
 * @param linesAbove  lines that we put above it
 */
export function refusedSelect(error: unknown, db: Database, query: PersonsQuery, linesAbove: number): unknown {
  if (error instanceof UserError) return error;
  const message = messageOf(error, db.hide, linesAbove);
  return refusal(query, query.personal ? withoutValues(message) : message);
}

function refusal({ file, sources, type }: PersonsQuery, { text, line }: DuckDBMessage): UserError {
  const isAccess = text.startsWith('Permission Error');
  return explained(type, {
    what: `${file}${line === undefined ? '' : `, line ${line}`}: ${isAccess ? 'it reads something other than the sources.' : 'DuckDB refused it.'}`,
    found: text.replaceAll('\n', '\n            '),
    expected: `one SELECT over the source${sources.length === 1 ? '' : 's'} ${sources.join(', ')}${isAccess ? ' and nothing else: no files, no network, no settings' : ''}`,
    next: isAccess
      ? `name the file under sources in model.yaml, read it by that name in ${file}, and apply the project again`
      : `correct ${file}, and apply the project again`,
  });
}

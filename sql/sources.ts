import { didYouMean, type Issue, type Source } from '../schemas/index.ts';
import { openDatabase, type Database, type DatabaseOptions } from './database.ts';
import { readable } from './describe-file.ts';
import { explained } from './explain.ts';
import type { FileFormat } from './format.ts';
import { identifier } from './quote.ts';
import { scan } from './scan.ts';

/** One source of a model and the files that it consists of. */
export interface SourceData {
  name: string;
  parts: { path: string; format: FileFormat; gzip: boolean }[];
}

/**
 * Opens a database in which each source is a table of its name, and nothing else can be read.
 *
 * Parquet is a view over the files. CSV and NDJSON are loaded once, since every look at such a file parses it anew.
 *
 * @throws {UserError} naming the source whose files cannot be read
 */
export async function openSources(
  sources: readonly SourceData[],
  o: Omit<DatabaseOptions, 'files'> = {},
): Promise<Database> {
  const files = sources.flatMap(({ name, parts }) => parts.map(({ path }) => ({ path, name: `source ${name}` })));
  const db = await openDatabase({ ...o, files });
  try {
    for (const { name, parts } of sources) {
      const kind = parts[0]!.format === 'parquet' ? 'VIEW' : 'TABLE';
      // What stands in a text file is told, if at all, where it is ingested: here nobody knows what is personal.
      await readable(db, { ...parts[0]!, source: name, personal: kind === 'TABLE' }, async () =>
        db.run(`CREATE ${kind} ${identifier(name)} AS SELECT * FROM ${await scan(parts)}`),
      );
    }
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * Holds the columns that model.yaml names for a source (`knownAt`, `knownLater`, `pii`) against those that its data has.
 * @throws {UserError} naming every one that is not there, with the nearest names
 */
export function checkSourceColumns(
  name: string,
  source: Pick<Source, 'knownAt' | 'knownLater' | 'pii'>,
  columns: readonly { name: string }[],
): void {
  const names = columns.map((column) => column.name);
  const known = new Set(names.map((column) => column.toLowerCase()));
  const named = [
    ...(source.knownAt === undefined ? [] : [{ at: `sources.${name}.knownAt`, column: source.knownAt }]),
    ...source.knownLater.map((column, i) => ({ at: `sources.${name}.knownLater[${i}]`, column })),
    ...source.pii.map((column, i) => ({ at: `sources.${name}.pii[${i}]`, column })),
  ];
  const issues: Issue[] = named
    .filter(({ column }) => !known.has(column))
    .map(({ at, column }) => ({ at, found: column, expected: `a column of ${name}.${didYouMean(column, names)}` }));
  if (issues.length === 0) return;
  throw explained('NoSuchColumn', {
    what: `model.yaml names ${issues.length === 1 ? 'a column that' : `${issues.length} columns that`} the data of source ${name} does not have.`,
    found: issues.map(({ at, found }) => `${at}: ${found}`).join(', '),
    expected: `columns of ${name}: ${names.join(', ')}.${didYouMean(issues[0]!.found, names)}`,
    next: 'correct the name in model.yaml, and apply the project again',
    issues,
  });
}

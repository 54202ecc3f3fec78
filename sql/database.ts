import { DuckDBInstance, type DuckDBConnection, type DuckDBType, type DuckDBValue } from '@duckdb/node-api';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { UserError, type Column, type Columns } from '../schemas/index.ts';
import { asDouble, columnKind, type ColumnKind } from './column-kind.ts';
import { explained, outOfRoom } from './explain.ts';
import { literal } from './quote.ts';
import { doublesOf, TextReader } from './vectors.ts';

export interface DatabaseOptions {
  /** Default: at most four. */
  threads?: number;
  /** Default: a quarter of the machine's memory, between 512 MB and 4 GB. What does not fit is spilled. */
  memoryLimitMb?: number;
  /** The only files that its SQL may read, and what a person calls them. */
  files?: readonly (string | { path: string; name: string })[];
  /** A folder that it may write into. */
  writable?: string;
  /** Where its own folder for spilling is made; default: the system's. */
  tempDirectory?: string;
}

export interface TypedColumn {
  name: string;
  /** As DuckDB calls it. */
  type: string;
  kind: ColumnKind;
}

export interface TypedColumns extends Columns {
  names: string[];
  types: string[];
}

/**
 * Opens DuckDB in memory: bounded, in UTC, without extensions, and with no way to the outside but `files` and
 * `writable`; its settings are locked, so that SQL written by anybody can be run in it.
 */
export async function openDatabase(o: DatabaseOptions = {}): Promise<Database> {
  const directory = mkdtempSync(join(resolve(o.tempDirectory ?? tmpdir()), 'gauntlet-duckdb-'));
  try {
    const memoryMb = o.memoryLimitMb ?? Math.round(Math.min(4096, Math.max(512, totalmem() / 4e6)));
    const instance = await DuckDBInstance.create(':memory:', {
      threads: String(o.threads ?? Math.min(4, availableParallelism())),
      memory_limit: `${memoryMb}MB`,
      temp_directory: directory,
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      allow_community_extensions: 'false',
      allow_persistent_secrets: 'false',
    });
    const connection = await instance.connect();
    const files = (o.files ?? []).map((file) => (typeof file === 'string' ? { path: file, name: file } : file));
    const paths = files.map(({ path }) => literal(resolve(path)));
    await connection.run("SET TimeZone = 'UTC'");
    await connection.run(`SET allowed_paths = [${paths.join(', ')}]`);
    await connection.run(`SET allowed_directories = [${o.writable === undefined ? '' : literal(resolve(o.writable))}]`);
    await connection.run('SET enable_external_access = false');
    await connection.run('SET lock_configuration = true');
    const hide = new Map(
      files.filter(({ path, name }) => path !== name).map(({ path, name }) => [resolve(path), name]),
    );
    hide.set(directory, 'temporary files');
    return new Database(instance, connection, directory, hide);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** One DuckDB in memory with one connection: its queries run one after the other, each on all its threads. */
export class Database {
  /** Paths of this machine that no message shows, and what to call them. */
  readonly hide: ReadonlyMap<string, string>;
  readonly connection: DuckDBConnection;
  readonly #instance: DuckDBInstance;
  readonly #directory: string;

  constructor(
    instance: DuckDBInstance,
    connection: DuckDBConnection,
    directory: string,
    hide: ReadonlyMap<string, string>,
  ) {
    this.#instance = instance;
    this.connection = connection;
    this.#directory = directory;
    this.hide = hide;
  }

  /** @throws {UserError} when the disk or the memory is full; DuckDB's own Error for all else */
  async run(sql: string, values?: Record<string, DuckDBValue>): Promise<void> {
    await this.#room(() => this.connection.run(sql, values));
  }

  /** The columns that a query would give, without running it. */
  async describe(sql: string): Promise<TypedColumn[]> {
    const statement = await this.connection.prepare(sql);
    try {
      return Array.from({ length: statement.columnCount }, (_, i) => {
        const type: DuckDBType = statement.columnType(i);
        return { name: statement.columnName(i), type: String(type), kind: columnKind(type) };
      });
    } finally {
      statement.destroySync();
    }
  }

  /**
   * All rows of a query, column by column, in the query's order: numbers and booleans as doubles, DATE as days,
   * TIMESTAMP as seconds since 1970 (UTC), missing NaN; all other texts as strings, missing null.
   *
   * @throws {UserError} naming the column whose type has no place in such a table, or that holds an infinite date
   */
  async columns(sql: string): Promise<TypedColumns> {
    const described = await this.describe(sql);
    for (const { name, type, kind } of described)
      if (kind === 'other')
        throw explained('ColumnType', {
          what: `Column ${name} has a type that cannot be used.`,
          found: type,
          expected: 'numbers, BOOLEAN, DATE, TIMESTAMP or VARCHAR',
          next: `cast it in SQL, such as ${name}::VARCHAR, or leave it out`,
        });
    const aliases = described.map((_, i) => `c${i}`);
    const selected = described.map(({ kind }, i) => asDouble(kind, aliases[i]!) ?? `${aliases[i]}::VARCHAR`);
    const texts = described.map(({ kind }) => (kind === 'text' || kind === 'null' ? new TextReader() : undefined));
    const textColumns: (string | null)[][] = described.map(() => []);
    const doubles: Float64Array[][] = described.map(() => []);
    let rows = 0;
    await this.#room(async () => {
      const result = await this.connection.stream(
        `SELECT ${selected.join(', ')} FROM (\n${sql}\n) AS t(${aliases.join(', ')})`,
      );
      for (let chunk; (chunk = await result.fetchChunk()) && chunk.rowCount > 0; rows += chunk.rowCount)
        for (const [i, reader] of texts.entries())
          if (reader) reader.append(chunk, i, textColumns[i]!);
          else doubles[i]!.push(doublesOf(chunk, i).slice());
    });
    const columns: Record<string, Column> = {};
    described.forEach(({ name, kind }, i) => {
      columns[name] = texts[i] ? textColumns[i]! : joined(doubles[i]!, rows);
      if ((kind === 'date' || kind === 'timestamp') && (columns[name] as Float64Array).includes(Infinity))
        throw explained('InfiniteDate', {
          what: `Column ${name} holds an infinite date.`,
          found: 'infinity',
          expected: 'calendar dates and times, or NULL where it is not known',
          next: `in SQL, make it NULL: CASE WHEN isfinite(${name}) THEN ${name} END`,
        });
    });
    return { rows, names: described.map(({ name }) => name), types: described.map(({ type }) => type), columns };
  }

  /** A few rows for people: plain JSON, dates and times as text. */
  async rowsOf(sql: string): Promise<Record<string, unknown>[]> {
    const rows = await this.#room(async () => (await this.connection.run(sql)).getRowObjects());
    return rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)])));
  }

  /** Whether a view or table of this name is there. */
  async has(table: string): Promise<boolean> {
    const found = await this.rowsOf(`SELECT 1 FROM information_schema.tables WHERE table_name = ${literal(table)}`);
    return found.length > 0;
  }

  /** Stops the query that is running: it fails with an Error. */
  interrupt(): void {
    this.connection.interrupt();
  }

  close(): void {
    this.connection.closeSync();
    this.#instance.closeSync();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #room<R>(work: () => Promise<R>): Promise<R> {
    try {
      return await work();
    } catch (error) {
      throw (error instanceof UserError ? undefined : outOfRoom(error)) ?? error;
    }
  }
}

function joined(pieces: readonly Float64Array[], length: number): Float64Array {
  const whole = new Float64Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** One value as JSON has it. */
function plain(value: DuckDBValue): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  const text = String(value);
  return /^-?\d+\.\d+$/.test(text) && value.constructor.name === 'DuckDBDecimalValue' ? Number(text) : text;
}

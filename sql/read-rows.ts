import { StatementType } from '@duckdb/node-api';
import { resolve } from 'node:path';
import { UserError, type Column, type ModelSpec, type TrainingRows } from '../schemas/index.ts';
import { openDatabase, type Database } from './database.ts';
import { explained, messageOf } from './explain.ts';
import { identifier, literal } from './quote.ts';

/**
 * Reads sealed rows, in their order: strings as text, dates as days, times as seconds since 1970, booleans as 0 and 1.
 *
 * @param o.where  an SQL condition over the columns of rows.sql, for backtests; rows for which it is NULL stay out
 * @throws {UserError} when the condition is not one, naming what is wrong and the columns that there are
 */
export async function readRows(
  file: string,
  spec: Pick<ModelSpec, 'inputs'>,
  o: { where?: string } = {},
): Promise<TrainingRows> {
  const db = await openDatabase({ files: [{ path: file, name: 'the sealed rows' }] });
  try {
    await db.run(`CREATE VIEW rows AS SELECT * FROM read_parquet(${literal(resolve(file))})`);
    if (o.where !== undefined) await checkCondition(db, o.where);
    const wanted = ['entity', 'predicted_at', 'known_at', 'label', ...Object.keys(spec.inputs)];
    const condition = o.where === undefined ? '' : ` WHERE (\n${o.where}\n)`;
    const read = `SELECT ${wanted.map(identifier).join(', ')} FROM rows${condition}`;
    const { rows, columns } = await db.columns(read).catch(async (error: unknown) => {
      // What prepares can still fail on a value: '12a'::INT.
      if (o.where === undefined || error instanceof UserError) throw error;
      throw badCondition(o.where, messageOf(error, db.hide, 2).text, await names(db));
    });
    const inputs: Record<string, Column> = {};
    for (const name of Object.keys(spec.inputs)) inputs[name] = columns[name]!;
    return {
      rows,
      entity: columns.entity as string[],
      predictedAt: columns.predicted_at as Float64Array,
      knownAt: columns.known_at as Float64Array,
      label: columns.label!,
      inputs: { rows, columns: inputs },
    };
  } finally {
    db.close();
  }
}

/** One expression that is true or false, and nothing that closes our parenthesis and goes on. */
async function checkCondition(db: Database, where: string): Promise<void> {
  const known = await names(db);
  const notOne = (found: string) => badCondition(where, found, known);
  let described;
  try {
    const statements = await db.connection.extractStatements(`SELECT\n${where}\nFROM rows`);
    if (statements.count !== 1) throw notOne(`${statements.count} statements`);
    const statement = await statements.prepare(0);
    const type = statement.statementType;
    statement.destroySync();
    if (type !== StatementType.SELECT) throw notOne('another statement');
    described = await db.describe(`SELECT (\n${where}\n) FROM rows`);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw notOne(messageOf(error, db.hide, 1).text);
  }
  if (described.length !== 1 || (described[0]!.kind !== 'boolean' && described[0]!.kind !== 'null'))
    throw notOne(`a value of type ${described.map(({ type }) => type).join(', ')}`);
}

async function names(db: Database): Promise<string[]> {
  return (await db.describe('SELECT * FROM rows')).map(({ name }) => name);
}

function badCondition(where: string, found: string, names: readonly string[]): UserError {
  return explained('BadCondition', {
    what: `backtest.where is not a condition: ${where}`,
    found: found.replaceAll('\n', '\n            '),
    expected: `an SQL condition over ${names.join(', ')}`,
    next: 'correct backtest.where in model.yaml, or in the run; a column that it uses must come from rows.sql',
  });
}

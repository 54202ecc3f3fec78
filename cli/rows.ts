import type { Client } from '../api/client.ts';
import { exampleRows } from '../api/example-rows.ts';
import { createBar } from './bar.ts';
import { UserError } from '../schemas/problem.ts';

export type Row = Record<string, unknown>;

/** A real row that the served version keeps to warm itself with. */
export async function exampleRow(client: Client, model: string): Promise<Row> {
  const { champion } = await client.model(model);
  if (champion === undefined)
    throw new UserError('NothingServes', `${model} serves no version yet: gauntlet train ${model} --promote`);
  return exampleRows(await client.version(model, champion))[0]!;
}

/** Well under what one request may carry, in rows and in bytes. */
const ROWS_PER_REQUEST = 200;

/**
 * One answer a row, in order, with the version and revision that gave it: they may change under a long file.
 *
 * @throws {UserError} naming rows by their place in the whole file, counted from 0
 */
export async function predictRows(client: Client, model: string, rows: Row[]): Promise<Row[]> {
  const bar = createBar();
  const answers: Row[] = [];
  for (let from = 0; from < rows.length; from += ROWS_PER_REQUEST) {
    const batch = rows.slice(from, from + ROWS_PER_REQUEST);
    const { predictions, version, revision } = await client.predictRows(model, batch).catch((error: unknown) => {
      throw error instanceof UserError ? counted(error, from) : error;
    });
    answers.push(...predictions.map((prediction) => ({ ...prediction, version, revision })));
    if (rows.length > ROWS_PER_REQUEST) bar.set(answers.length, rows.length, `${answers.length}/${rows.length} rows`);
  }
  bar.clear();
  return answers;
}

const counted = ({ type, message, issues }: UserError, from: number): UserError =>
  new UserError(
    type,
    message,
    issues.map((issue) => ({
      ...issue,
      at: issue.at.replace(/^rows\[(\d+)\]/, (_, i: string) => `rows[${Number(i) + from}]`),
    })),
  );

/** One JSON object a line; empty lines do not count. */
export function parseRows(text: string, file: string): Row[] {
  const rows = text
    .split('\n')
    .map((line, i) => ({ line: line.trim(), at: `${file} line ${i + 1}` }))
    .filter(({ line }) => line !== '')
    .map(({ line, at }) => parseRow(line, at));
  if (rows.length === 0) throw new UserError('NoRows', `${file} has no rows: give one JSON object a line.`);
  return rows;
}

export function parseRow(text: string, at: string): Row {
  let because = 'it is JSON, but no object';
  try {
    const row: unknown = JSON.parse(text);
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Row;
  } catch (error) {
    because = (error as Error).message;
  }
  throw new UserError(
    'RowInvalid',
    `${at} is not a JSON object (${because}): ${text.length > 60 ? `${text.slice(0, 60)}…` : text}. A row is {"input": value, ...}.`,
  );
}

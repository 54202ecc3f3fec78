import { Answer, Label, ShadowScore, UserError, type LabelValue, type Issue } from '../schemas/index.ts';
import type { Database } from './database.ts';
import { createOutcomes, labelTargets, type LabelTerms } from './outcomes.ts';
import { LONGEST_LINE_BYTES } from './prediction-log.ts';
import { literal } from './quote.ts';

/** A record of a request, and the file that it is in. */
export interface Sighting {
  model: string;
  kind: 'answer' | 'shadow' | 'label';
  row: number;
  path: string;
  /** Of an answer: when it was given, and the time that it is about. */
  answeredMs?: number;
  eventMs?: number;
}

/**
 * Where the records of a request are, of whatever model: each file's, so one that was written twice is found twice.
 *
 * @param files  gzipped JSON lines of all models, and Parquet of one model each
 */
export async function findRequest(
  db: Database,
  requestId: string,
  files: { raw: readonly string[]; parquet: readonly { model: string; path: string }[] },
): Promise<Sighting[]> {
  const id = literal(requestId);
  const queries: string[] = [];
  if (files.raw.length > 0)
    queries.push(`
      SELECT json ->> '$.model' AS model, json ->> '$.kind' AS kind, coalesce(TRY_CAST(json ->> '$.row' AS BIGINT), 0) AS "row",
        filename AS path, ${number('answeredMs')}, ${number('eventMs')}
      FROM read_ndjson_objects([${files.raw.map(literal).join(', ')}], ignore_errors = true, compression = 'gzip',
        filename = true, maximum_object_size = ${LONGEST_LINE_BYTES})
      WHERE contains(json::VARCHAR, ${id}) AND (json ->> '$.requestId') = ${id}`);
  const models = new Map<string, string[]>();
  for (const { model, path } of files.parquet) models.set(model, [...(models.get(model) ?? []), path]);
  for (const [model, paths] of models)
    queries.push(`
      SELECT ${literal(model)} AS model, kind, coalesce("row", 0) AS "row", filename AS path, ${ms('answered_at')} AS "answeredMs",
        ${ms('event_at')} AS "eventMs"
      FROM read_parquet([${paths.map(literal).join(', ')}], filename = true, union_by_name = true) WHERE request_id = ${id}`);
  if (queries.length === 0) return [];
  const rows = await db.rowsOf(
    `SELECT * FROM (${queries.join(' UNION ALL ')}) WHERE model IS NOT NULL AND kind IN ('answer', 'shadow', 'label') ORDER BY model, "answeredMs", "row"`,
  );
  return rows.map(present) as unknown as Sighting[];
}

/**
 * Answers of the views that `createLogViews` made of one request, by row.
 *
 * @throws {UserError} if a record is not what its schema says
 */
export async function readAnswers(db: Database, model: string): Promise<Answer[]> {
  const rows = await db.rowsOf(`
    SELECT ${SCORED}, event_by AS "eventBy", event_resolution AS "eventResolution", ${ms('answered_at')} AS "answeredMs",
      project_n, project_hash, inputs, looked_up, assigned, assigned_version AS "assignedVersion", reason, propensity,
      cache_hit AS "cacheHit"
    FROM answers ORDER BY "row"`);
  return rows.map(({ project_n: n, project_hash: hash, inputs, looked_up: lookedUp, ...row }) => {
    const record = {
      kind: 'answer',
      v: 1,
      model,
      ...scored(row),
      project: { n, hash },
      ...(inputs !== null && { inputs: JSON.parse(inputs as string) as unknown }),
      ...(lookedUp !== null && { lookedUp: JSON.parse(lookedUp as string) as unknown }),
    };
    const read = Answer.safeParse(record);
    if (read.success) return read.data;
    const issues = read.error.issues.map(({ path, message }): Issue => {
      return { at: path.map(String).join('.'), found: 'something else', expected: message };
    });
    throw new UserError(
      'BrokenRecord',
      `The answer's record in the log of ${model} cannot be read (${issues[0]!.at}: ${issues[0]!.expected}): it comes from another release, or was altered.`,
      issues,
    );
  });
}

/** What shadows said to one row. */
export async function readShadowScores(db: Database, model: string, row: number): Promise<ShadowScore[]> {
  const rows = await db.rowsOf(
    `SELECT ${SCORED}, ${ms('scored_at')} AS "scoredMs" FROM shadow_scores WHERE "row" = ${row} ORDER BY version`,
  );
  return rows.flatMap((one) => {
    const read = ShadowScore.safeParse({ kind: 'shadow', v: 1, model, ...scored(one) });
    return read.success ? [read.data] : [];
  });
}

export interface Outcome {
  state: 'labelled' | 'pending' | 'overdue' | 'absent';
  /** As the task has it; null where nothing is known. */
  label: LabelValue | null;
  labelId?: string;
  knownMs?: number;
  /** Every label that this answer ever had, corrections and withdrawals included, in the order in which they were known. */
  labels: Label[];
}

/** What came true of one row, as far as is known: `createOutcomes` over the views of one request. */
export async function readOutcome(
  db: Database,
  model: string,
  row: number,
  terms: LabelTerms,
  asOf: Date,
): Promise<Outcome> {
  await createOutcomes(db, terms, asOf);
  const [outcome] = await db.rowsOf(
    `SELECT state, label, label_id AS "labelId", ${ms('known_at')} AS "knownMs" FROM outcomes WHERE "row" = ${row}`,
  );
  const { byRequest, byEntity } = labelTargets(terms);
  const labels = await db.rowsOf(`
    WITH RECURSIVE of_answer AS (
      SELECT h.* FROM labels AS h JOIN answers AS a ON (${byRequest}) OR (${byEntity}) WHERE a."row" = ${row}
      UNION
      SELECT l.* FROM labels AS l JOIN of_answer AS o ON l.supersedes = o.label_id)
    SELECT label_id AS "labelId", request_id AS "requestId", "row", entity, ${ms('happened_at')} AS "happenedMs",
      happened_resolution AS "happenedResolution", value, value_kind, ${ms('known_at')} AS "knownMs",
      ${ms('received_at')} AS "receivedMs", supersedes, "by", source, boot, seq
    FROM of_answer ORDER BY known_at, received_at, label_id`);
  const { label, ...rest } = outcome as Record<string, unknown> & Pick<Outcome, 'label'>;
  return {
    ...(present(rest) as unknown as Omit<Outcome, 'label' | 'labels'>),
    label: terms.task === 'binary' && label !== null ? label === 1 : label,
    labels: labels.flatMap(({ value, value_kind, ...one }) => {
      const read = Label.safeParse({
        kind: 'label',
        v: 1,
        model,
        ...present(one),
        value: labelValue(value as string | null, value_kind as string),
      });
      return read.success ? [read.data] : [];
    }),
  };
}

const number = (field: string): string => `TRY_CAST(json ->> '$.${field}' AS DOUBLE) AS "${field}"`;
const ms = (column: string): string => `epoch_us(${column}) / 1000`;

const SCORED = `request_id AS "requestId", "row", version, revision, unit, entity, ${ms('event_at')} AS "eventMs",
  ${ms('matures_at')} AS "maturesMs", to_json(scores)::VARCHAR AS scores, prediction, latency_ms AS "latencyMs",
  graph_ms AS "graphMs", failed_version, failed_why, failed_detail, boot, seq`;

/** Columns that answers and shadow scores share, as the record has them. */
function scored(row: Record<string, unknown>): Record<string, unknown> {
  const { scores: text, prediction, failed_version: version, failed_why: why, failed_detail: detail, ...rest } = row;
  const scores = text === null ? undefined : (JSON.parse(text as string) as number[]);
  return {
    ...present(rest),
    maturesMs: row['maturesMs'],
    ...(scores && { output: { scores, prediction: predictionOf(scores, prediction as string) } }),
    ...(version !== null && { failed: { version, why, detail } }),
  };
}

/** Of several scores it is a class, of one a boolean or a number. */
const predictionOf = (scores: readonly number[], text: string): LabelValue =>
  scores.length > 1 ? text : labelValue(text, text === 'true' || text === 'false' ? 'boolean' : 'number')!;

function labelValue(text: string | null, kind: string): LabelValue | null {
  if (text === null || kind === 'withdrawn') return null;
  if (kind === 'boolean') return text === 'true';
  return kind === 'number' ? Number(text) : text;
}

const present = (row: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));

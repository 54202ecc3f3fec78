import { decodeRows, shown } from '../../onnx/index.ts';
import type { Issue, ModelVersion, Output } from '../../schemas/index.ts';
import { ProblemError } from '../problem.ts';
import { entityOf, predictionOf, type Entity, type Prediction } from './answer.ts';
import type { Current } from './follower.ts';

export const MAX_ROWS = 1000;
/** As decodeRows: enough to mend a request by, and never an answer larger than the request. */
const MAX_ISSUES = 100;

type Answered = Prediction | { error: string };

/** What a request asks: its rows, and whether they came as one row or as many. */
interface Asked {
  many: boolean;
  rows: unknown[];
}

/**
 * The answer's body to a request's JSON value, all of it by one version.
 *
 * @throws {ProblemError} 422 naming every field that is wrong; 500 where the only row has no finite answer
 */
export async function predict(
  { model, revision }: Current,
  body: unknown,
  nowMs: number,
  id: string,
): Promise<Record<string, unknown>> {
  const { version } = model;
  const { many, rows } = rowsOf(body, version);
  const decoded = decodeRows(version.inputs, rows, { extra: [version.entity] });
  const entities = rows.map((row, i) =>
    entityOf(row, version.entity, many ? `rows[${i}].${version.entity}` : version.entity),
  );
  const issues = entities.flatMap(({ issue }) => issue ?? []);
  if (!decoded.ok) {
    const alone = many && rows.length === 1;
    issues.unshift(...(alone ? decoded.issues.map((issue) => inList(issue, rows[0])) : decoded.issues));
  }
  if (!decoded.ok || issues.length > 0) throw invalid(version, issues);

  const predictedAt = new Float64Array(rows.length).fill(nowMs / 1000);
  const outputs = await model.use((onnx) => onnx.predict(decoded.columns, predictedAt));
  const stamp = { model: version.model, version: version.n, revision: revision.n, requestId: id };
  if (many)
    return {
      predictions: outputs.map((output, i) => withEntity(version, entities[i]!.entity, answered(version, output))),
      ...stamp,
    };
  const answer = answered(version, outputs[0]!);
  if ('error' in answer) throw notFinite(version, answer.error);
  return withEntity(version, entities[0]!.entity, { ...answer, ...stamp });
}

const answered = (version: ModelVersion, output: Output | { failed: string }): Answered =>
  'failed' in output ? { error: output.failed } : predictionOf(version, output);

/** The echo comes first, so that an entity that is named like a field of ours cannot hide it. */
const withEntity = (version: ModelVersion, entity: Entity | undefined, answer: object): Record<string, unknown> =>
  entity === undefined ? { ...answer } : { [version.entity]: entity, ...answer };

function rowsOf(body: unknown, version: ModelVersion): Asked {
  const expected = `one row as a JSON object, or {"rows": [...]} with 1 to ${MAX_ROWS} rows`;
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw invalid(version, [{ at: 'body', found: shown(body), expected }]);
  if (!Object.hasOwn(body, 'rows') || 'rows' in version.inputs || version.entity === 'rows')
    return { many: false, rows: [body] };
  const { rows, ...rest } = body as { rows: unknown };
  if (!Array.isArray(rows) || rows.length === 0 || rows.length > MAX_ROWS) {
    const found = Array.isArray(rows) ? `${rows.length} rows` : shown(rows);
    throw invalid(version, [{ at: 'rows', found, expected: `an array of 1 to ${MAX_ROWS} rows` }]);
  }
  const besides = Object.keys(rest);
  if (besides.length > 0)
    throw invalid(
      version,
      besides.slice(0, MAX_ISSUES).map((name) => ({
        at: name.slice(0, 64),
        found: 'a field beside rows',
        expected: 'only rows: fields belong inside a row',
      })),
    );
  return { many: true, rows };
}

/** decodeRows names a lone row `row` and its fields by themselves; in a list it has a place. */
const inList = (issue: Issue, row: unknown): Issue => ({
  ...issue,
  at: typeof row === 'object' && row !== null && !Array.isArray(row) ? `rows[0].${issue.at}` : 'rows[0]',
});

const invalid = (version: ModelVersion, issues: Issue[]): ProblemError =>
  new ProblemError({
    status: 422,
    type: 'invalid-request',
    title: 'The request does not fit the model',
    detail: `${issues.length === 1 ? 'One thing is' : `${issues.length} things are`} wrong for ${version.model} version ${version.n}: ${issues
      .slice(0, 3)
      .map(({ at, found, expected }) => `${at}: found ${found}, expected ${expected}`)
      .join('; ')}${issues.length > 3 ? '; ...' : ''}.`,
    issues,
    next: 'GET /openapi.json has the schema and an example.',
  });

const notFinite = (version: ModelVersion, because: string): ProblemError =>
  new ProblemError({
    status: 500,
    type: 'no-finite-answer',
    title: 'The model gave no finite answer',
    detail: `${version.model} version ${version.n}: ${because}. The request is valid; the fault is the model's.`,
    next: `Keep this request and tell the model's owner; this brings back the version before: gauntlet rollback ${version.model} --reason "no finite answer"`,
  });

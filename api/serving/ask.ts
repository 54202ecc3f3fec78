import { decodeRows, shown } from '../../onnx/index.ts';
import {
  hashedNames,
  type Columns,
  type Issue,
  type ModelVersion,
  type PiiHasher,
  type RawRow,
} from '../../schemas/index.ts';
import { ProblemError } from '../problem.ts';
import { entityOf, type Entity } from './answer.ts';

export const MAX_ROWS = 1000;
/** As decodeRows: enough to mend a request by, and never an answer larger than the request. */
const MAX_ISSUES = 100;

/** One row of a request, read and found right. */
export interface AskedRow {
  /** As it came: it is echoed. */
  entity?: Entity;
  /** As it is kept: text, hashed where it is personal. */
  entityKey?: string;
  /** What traffic is split by, hashed where it is personal. */
  unit: string;
}

/** What a request asks. */
export class Asked {
  /** Whether the rows came as a list. */
  readonly many: boolean;
  readonly rows: AskedRow[];
  /** Decoded by the champion's inputs. */
  readonly columns: Columns;
  private readonly version: ModelVersion;
  private readonly given: readonly unknown[];

  constructor(version: ModelVersion, many: boolean, given: readonly unknown[], rows: AskedRow[], columns: Columns) {
    this.version = version;
    this.many = many;
    this.given = given;
    this.rows = rows;
    this.columns = columns;
  }

  /** The inputs of row i as they came, personal ones hashed: how they are kept. */
  inputs(i: number): RawRow {
    const given = this.given[i] as RawRow;
    const { hashed } = termsOf(this.version);
    const kept: RawRow = {};
    for (const name in this.version.inputs) {
      const value = given[name];
      if (value === undefined) continue;
      kept[name] = hashed.has(name) ? (this.columns.columns[name]![i] as string | null) : value;
    }
    return kept;
  }
}

/**
 * Reads a request's JSON value by the champion's inputs.
 *
 * @param pii  needed where the version has personal values, which its load has made sure of
 * @throws {ProblemError} 422 naming every field that is wrong
 */
export function ask(version: ModelVersion, body: unknown, requestId: string, pii?: PiiHasher): Asked {
  const { many, rows } = rowsOf(body, version);
  const decoded = decodeRows(version.inputs, rows, { extra: termsOf(version).extra, ...(pii && { personal: pii }) });
  const issues: Issue[] = [];
  const read = rows.map((row, i) => rowOf(version, row, many ? `rows[${i}].` : '', requestId, pii, issues));
  if (!decoded.ok) {
    const alone = many && rows.length === 1;
    issues.unshift(...(alone ? decoded.issues.map((issue) => inList(issue, rows[0])) : decoded.issues));
  }
  if (!decoded.ok || issues.length > 0) throw invalid(version, issues);
  return new Asked(version, many, rows, read, decoded.columns);
}

function rowOf(
  version: ModelVersion,
  row: unknown,
  place: string,
  requestId: string,
  pii: PiiHasher | undefined,
  issues: Issue[],
): AskedRow {
  const { hashed } = termsOf(version);
  const { entity: name } = version;
  const read: AskedRow = { unit: requestId };
  const { entity, issue } = entityOf(row, name, place + name, hashed.has(name));
  if (issue) issues.push(issue);
  if (entity !== undefined) {
    read.entity = entity;
    read.entityKey = hashed.has(name) ? pii!.hash(String(entity)) : String(entity);
  }
  const unit = version.serving?.unit;
  if (unit === undefined) return read;
  const own = entityOf(row, unit, place + unit, hashed.has(unit));
  if (own.entity !== undefined) read.unit = hashed.has(unit) ? pii!.hash(String(own.entity)) : String(own.entity);
  else if (!own.issue)
    issues.push({ at: place + unit, found: 'nothing', expected: 'text or a number: traffic is split by it' });
  if (own.issue && unit !== name) issues.push(own.issue);
  return read;
}

interface Terms {
  /** Fields of a row beside the inputs. */
  extra: string[];
  /** Names whose values are kept as hashes only. */
  hashed: ReadonlySet<string>;
}

const terms = new WeakMap<ModelVersion, Terms>();

function termsOf(version: ModelVersion): Terms {
  let known = terms.get(version);
  if (!known) {
    const { inputs, entity } = version;
    const { unit, unitPii = false, entityPii = false } = version.serving ?? {};
    known = {
      extra: unit === undefined ? [entity] : [entity, unit],
      hashed: hashedNames({ inputs, rows: { entity, entityPii }, rollout: { unit, unitPii } }),
    };
    terms.set(version, known);
  }
  return known;
}

function rowsOf(body: unknown, version: ModelVersion): { many: boolean; rows: unknown[] } {
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

import { didYouMean, type Column, type Columns, type Input, type InputSchema, type Issue } from '../schemas/index.ts';
import { decodePresent, decodeValue, shown } from './decode-value.ts';
import type { Personal } from './pii.ts';

/** Enough to mend a request by; a batch of ten thousand bad rows must not make an answer larger than itself. */
const MAX_ISSUES = 100;

/**
 * Decodes the rows of a request, all or nothing.
 *
 * Every input must be there unless it is `optional`, and may be null only if it is `nullable`. Fields that are neither
 * inputs nor among `extra` are issues, as are fields that only an object's prototype has.
 *
 * @param rows       what came, one object a row
 * @param o.extra    names that may be there beside the inputs, such as the entity key; they are left alone
 * @param o.personal how personal inputs come, as {@link decodeValue} takes it
 * @returns columns for the graph, or at most 100 issues; `at` is `field` for one row, else `rows[3].field`
 */
export function decodeRows(
  inputs: InputSchema,
  rows: unknown[],
  o: { extra?: string[]; personal?: Personal } = {},
): { ok: true; columns: Columns } | { ok: false; issues: Issue[] } {
  const fields = fieldsOf(inputs);
  const extra = o.extra ?? [];
  const issues: Issue[] = [];
  const columns: Record<string, Column> = {};
  for (const [name, { type }] of fields)
    columns[name] = type === 'string' ? Array<string | null>(rows.length).fill(null) : new Float64Array(rows.length);
  for (const [i, row] of rows.entries()) {
    if (issues.length >= MAX_ISSUES) break;
    const place = rows.length === 1 ? '' : `rows[${i}].`;
    if (typeof row !== 'object' || row === null || Array.isArray(row)) {
      issues.push({ at: rows.length === 1 ? 'row' : `rows[${i}]`, found: shown(row), expected: 'an object of fields' });
      continue;
    }
    for (const field in row)
      if (!fields.has(field) && !extra.includes(field))
        issues.push({
          at: place + short(field),
          found: 'a field that is not known',
          expected: knownField(field, [...Object.keys(inputs), ...extra]),
        });
    for (const [name, input] of fields) {
      const value = Object.hasOwn(row, name) ? (row as Record<string, unknown>)[name] : undefined;
      const present = value === '' ? undefined : decodePresent(input, value, o.personal);
      // As nearly every value is.
      if (present !== undefined) {
        columns[name]![i] = present as never;
        continue;
      }
      const decoded = decodeValue(input, value, o.personal);
      if ('value' in decoded) columns[name]![i] = decoded.value as never;
      else issues.push({ at: place + name, ...decoded });
    }
  }
  if (issues.length > 0) return { ok: false, issues: issues.slice(0, MAX_ISSUES) };
  return { ok: true, columns: { rows: rows.length, columns } };
}

const maps = new WeakMap<InputSchema, Map<string, Input>>();

/** A version's inputs are asked for with every request. */
function fieldsOf(inputs: InputSchema): Map<string, Input> {
  let known = maps.get(inputs);
  if (!known) maps.set(inputs, (known = new Map(Object.entries(inputs))));
  return known;
}

function knownField(field: string, names: string[]): string {
  return didYouMean(short(field), names).trim() || `one of ${names.join(', ')}`;
}

function short(field: string): string {
  return field.length > 64 ? `${field.slice(0, 64)}…` : field;
}

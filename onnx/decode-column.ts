import { UserError, type Column, type Input, type Issue } from '../schemas/index.ts';
import { decodeValue, describeInput, isWithinTimes, shown } from './decode-value.ts';
import type { Personal } from './pii.ts';

const MAX_EXAMPLES = 5;

/**
 * Decodes one column of training rows by the rules that requests obey, so that a model never learns from a row that it
 * would refuse. Dates may be texts or days, timestamps texts or seconds, booleans 0 and 1; a whole number where a text is
 * wanted is its digits (identifiers are often stored so).
 *
 * @param name       of the input, for messages
 * @param values     as SQL gave them; not changed
 * @param o.rowName  what to call a row in messages, so that a person finds it; default its place, from 1
 * @param o.personal how values of a personal input come, as {@link decodeValue} takes it
 * @param o.hide     no message shows a value, although the input is not hashed
 * @throws {UserError} with the number of rows that break a rule, and a few of them
 */
export function decodeColumn(
  name: string,
  input: Input,
  values: Column,
  o: { rowName?: (i: number) => string; personal?: Personal; hide?: boolean } = {},
): Column {
  const { rowName = (i: number) => `row ${i + 1}` } = o;
  const decoded: Column =
    input.type === 'string' ? Array.from<string | null>({ length: values.length }) : new Float64Array(values.length);
  const issues: Issue[] = [];
  let refused = 0;
  for (let i = 0; i < values.length; i++) {
    const result = decodeStored(input, values[i]!, o.personal);
    if ('value' in result) decoded[i] = result.value as never;
    else if (++refused <= MAX_EXAMPLES)
      issues.push({
        at: `${rowName(i)}, ${name}`,
        found: o.hide && result.found !== 'null' ? shown(values[i], true) : result.found,
        expected: result.expected,
      });
  }
  if (refused === 0) return decoded;
  const missing = issues.some(({ found }) => found === 'null');
  const remedy = missing
    ? `Set nullable: true in inputs.${name}, or have rows.sql leave these rows out or fill them; then apply the project again.`
    : `Widen inputs.${name}, or have rows.sql leave these rows out or mend them; then apply the project again.`;
  throw new UserError(
    'BadTrainingRows',
    `${name}: ${refused} of ${values.length} training rows would be refused as requests. ` +
      `For example ${issues[0]!.at.slice(0, -`, ${name}`.length)} has ${issues[0]!.found}; expected ${issues[0]!.expected}. ${remedy}`,
    issues,
  );
}

/** An optional input may be missing here: a request may leave it out. */
function decodeStored(
  input: Input,
  value: number | string | null,
  personal?: Personal,
): ReturnType<typeof decodeValue> {
  if (value === null || Number.isNaN(value) || value === '')
    return input.nullable || input.optional
      ? { value: input.type === 'string' ? null : NaN }
      : { found: 'null', expected: describeInput(input) };
  if (typeof value === 'number') {
    if (input.type === 'boolean' && (value === 0 || value === 1)) return { value };
    if (input.type === 'string' && Number.isInteger(value)) return decodeValue(input, String(value), personal);
    if (input.type === 'date' || input.type === 'timestamp') {
      const whole = input.type === 'timestamp' || Number.isInteger(value);
      if (whole && isWithinTimes(input, value)) return { value };
      const unit = input.type === 'date' ? 'days' : 'seconds';
      return { found: `${shown(value)}, taken as ${unit} since 1970`, expected: describeInput(input) };
    }
  }
  return decodeValue(input, value, personal);
}

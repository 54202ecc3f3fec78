import { describe, expect, it } from 'vitest';
import { decodeColumn, decodeRows } from '../../onnx/index.ts';
import { Input, InputSchema } from '../../schemas/index.ts';

const INPUTS = InputSchema.parse({
  lead_time: { type: 'integer', min: 0, max: 800 },
  adr: { type: 'number', min: 0, nullable: true },
  score: { type: 'number', optional: true },
  repeated: { type: 'boolean' },
  hotel: { type: 'string', values: ['City', 'Resort'] },
  agent: { type: 'string', maxLength: 5, nullable: true },
  arrival_date: { type: 'date', min: '2015-07-01', max: '2017-08-31' },
  booked_at: { type: 'timestamp' },
});
const GOOD = {
  lead_time: 14,
  adr: 99.5,
  score: 1,
  repeated: true,
  hotel: 'City',
  agent: '9',
  arrival_date: '2017-03-01',
  booked_at: '2017-02-15T10:00:00Z',
};

function issuesOf(change: Record<string, unknown>) {
  const result = decodeRows(INPUTS, [{ ...GOOD, ...change }]);
  return result.ok ? [] : result.issues;
}

describe('a request row', () => {
  it('becomes one value in each column: days, seconds, 0 and 1, NaN or null where missing', () => {
    const { agent: _agent, score: _score, ...rest } = GOOD;
    const result = decodeRows(INPUTS, [GOOD, { ...rest, agent: null, adr: null }]);
    expect(result).toEqual({
      ok: true,
      columns: {
        rows: 2,
        columns: {
          lead_time: Float64Array.of(14, 14),
          adr: Float64Array.of(99.5, NaN),
          score: Float64Array.of(1, NaN),
          repeated: Float64Array.of(1, 1),
          hotel: ['City', 'City'],
          agent: ['9', null],
          arrival_date: Float64Array.of(17_226, 17_226),
          booked_at: Float64Array.of(1_487_152_800, 1_487_152_800),
        },
      },
    });
  });

  it('counts the characters of a text as people do, one beyond 65,535 once', () => {
    expect(issuesOf({ agent: '🦆'.repeat(5) })).toEqual([]);
    expect(issuesOf({ agent: '🦆'.repeat(6) })).toMatchObject([{ at: 'agent' }]);
  });

  it.each([
    [{ lead_time: 'soon' }, 'lead_time', '"soon" (a string)', 'a whole number from 0 to 800'],
    [{ lead_time: 1.5 }, 'lead_time', '1.5 (a number)', 'a whole number from 0 to 800'],
    [{ lead_time: -1 }, 'lead_time', '-1 (a number)', 'a whole number from 0 to 800'],
    [{ lead_time: 801 }, 'lead_time', '801 (a number)', 'a whole number from 0 to 800'],
    [{ lead_time: null }, 'lead_time', 'null', 'a whole number from 0 to 800'],
    [{ lead_time: undefined }, 'lead_time', 'nothing', 'a whole number from 0 to 800'],
    [{ lead_time: [1] }, 'lead_time', 'a list', 'a whole number from 0 to 800'],
    [{ adr: JSON.parse('1e400') as number }, 'adr', 'Infinity (a number)', 'a number of at least 0, or null'],
    [{ adr: {} }, 'adr', 'an object', 'a number of at least 0, or null'],
    [{ score: null }, 'score', 'null', 'a number'],
    [{ repeated: 1 }, 'repeated', '1 (a number)', 'true or false'],
    [{ repeated: 'true' }, 'repeated', '"true" (a string)', 'true or false'],
    [{ hotel: 'Citi' }, 'hotel', '"Citi" (a string)', 'one of "City", "Resort"'],
    [{ hotel: '' }, 'hotel', '"" (a string)', 'one of "City", "Resort"'],
    [{ agent: 9 }, 'agent', '9 (a number)', 'a string of 1 to 5 characters, or null'],
    [{ agent: 'x'.repeat(99) }, 'agent', `"${'x'.repeat(40)}…" (a string)`, 'a string of 1 to 5 characters, or null'],
    [
      { arrival_date: '2017-02-30' },
      'arrival_date',
      '"2017-02-30" (a string)',
      'a date such as 2017-03-01 from 2015-07-01 to 2017-08-31',
    ],
    [
      { arrival_date: '2017-09-01' },
      'arrival_date',
      '"2017-09-01" (a string)',
      'a date such as 2017-03-01 from 2015-07-01 to 2017-08-31',
    ],
    [
      { arrival_date: 17_226 },
      'arrival_date',
      '17226 (a number)',
      'a date such as 2017-03-01 from 2015-07-01 to 2017-08-31',
    ],
    [{ booked_at: 'now' }, 'booked_at', '"now" (a string)', 'a time such as 2017-03-01T12:00:00Z'],
    [{ leadtime: 1 }, 'leadtime', 'a field that is not known', 'Did you mean lead_time?'],
    [{ zzzzzzzz: 1 }, 'zzzzzzzz', 'a field that is not known', `one of ${Object.keys(INPUTS).join(', ')}`],
  ])('%j is refused in words', (change, at, found, expected) => {
    expect(issuesOf(change)).toEqual([{ at, found, expected }]);
  });

  it('is not helped by what only a prototype has', () => {
    const inputs = InputSchema.parse({ constructor_id: { type: 'number' } });
    const row: unknown = JSON.parse('{"__proto__": {"constructor_id": 1}, "constructor": 2, "toString": 3}');
    const result = decodeRows(inputs, [row]);
    expect(result.ok ? [] : result.issues.map(({ at, found }) => `${at}: ${found}`)).toEqual([
      '__proto__: a field that is not known',
      'constructor: a field that is not known',
      'toString: a field that is not known',
      'constructor_id: nothing',
    ]);
    const inherited = decodeRows(inputs, [Object.create({ constructor_id: 1 }) as unknown]);
    expect(inherited.ok).toBe(false);
  });

  it('may carry the names that the caller allows', () => {
    expect(decodeRows(INPUTS, [{ ...GOOD, booking_id: 7 }], { extra: ['booking_id'] }).ok).toBe(true);
  });

  it('is named by its number where there are several, and must be an object', () => {
    const result = decodeRows(INPUTS, [GOOD, { ...GOOD, lead_time: 'soon' }, 5, null, []]);
    expect(result.ok ? [] : result.issues).toEqual([
      { at: 'rows[1].lead_time', found: '"soon" (a string)', expected: 'a whole number from 0 to 800' },
      { at: 'rows[2]', found: '5 (a number)', expected: 'an object of fields' },
      { at: 'rows[3]', found: 'null', expected: 'an object of fields' },
      { at: 'rows[4]', found: 'a list', expected: 'an object of fields' },
    ]);
  });

  it('of ten thousand bad ones gives a hundred issues', () => {
    const result = decodeRows(
      INPUTS,
      Array.from({ length: 10_000 }, () => ({})),
    );
    expect(result.ok ? 0 : result.issues.length).toBe(100);
  });
});

describe('a training column', () => {
  const input = (given: Record<string, unknown>) => Input.parse(given);

  it.each([
    [input({ type: 'date' }), ['2017-03-01'], Float64Array.of(17_226)],
    [input({ type: 'date' }), Float64Array.of(17_226), Float64Array.of(17_226)],
    [input({ type: 'timestamp' }), ['1970-01-01T00:01:00Z'], Float64Array.of(60)],
    [input({ type: 'boolean', nullable: true }), Float64Array.of(1, 0, NaN), Float64Array.of(1, 0, NaN)],
    [input({ type: 'string', optional: true }), ['a', null, ''], ['a', null, null]],
    [input({ type: 'string' }), Float64Array.of(9), ['9']],
  ])('%j takes %j', (given, values, decoded) => expect(decodeColumn('c', given, values)).toEqual(decoded));

  it.each([
    [
      input({ type: 'number', min: 0 }),
      Float64Array.of(1, -6.38, -1),
      'c: 2 of 3 training rows would be refused as requests. For example row 2 has -6.38 (a number); expected a number of at least 0. ' +
        'Widen inputs.c, or have rows.sql leave these rows out or mend them; then apply the project again.',
    ],
    [
      input({ type: 'number' }),
      Float64Array.of(NaN),
      'c: 1 of 1 training rows would be refused as requests. For example row 1 has null; expected a number. ' +
        'Set nullable: true in inputs.c, or have rows.sql leave these rows out or fill them; then apply the project again.',
    ],
    [
      input({ type: 'date' }),
      Float64Array.of(1_456_000_000),
      'c: 1 of 1 training rows would be refused as requests. For example row 1 has 1456000000 (a number), taken as days since 1970; ' +
        'expected a date such as 2017-03-01. Widen inputs.c, or have rows.sql leave these rows out or mend them; then apply the project again.',
    ],
  ])('%j refuses %j, so that no model learns from rows that it would not answer', (given, values, message) => {
    expect(() => decodeColumn('c', given, values)).toThrow(message);
  });

  it('shows at most five of the rows that it refuses', () => {
    const halves = new Float64Array(100).fill(0.5);
    const rows = [1, 2, 3, 4, 5].map((i) => expect.objectContaining({ at: `row ${i}, c` }) as unknown);
    expect(() => decodeColumn('c', input({ type: 'integer' }), halves)).toThrow(
      expect.objectContaining({ issues: rows }) as Error,
    );
  });
});

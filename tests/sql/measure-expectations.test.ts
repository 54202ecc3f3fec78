import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { judgeExpectation } from '../../policies/index.ts';
import { Expectation, type ExpectationResult } from '../../schemas/index.ts';
import { measureExpectations, openSources, type Database } from '../../sql/index.ts';
import { temporaryFolder, writeTable } from './folder.ts';

const folder = temporaryFolder();
let db: Database;

beforeAll(async () => {
  const bookings = folder.file('bookings.parquet');
  await writeTable(
    bookings,
    `SELECT * FROM (VALUES
      (1, 10, DATE '2016-01-01', 'city', true, 1.5::DOUBLE, 'a'::ENUM('a', 'b')),
      (2, 20, DATE '2016-01-02', 'resort', false, 'nan'::DOUBLE, 'b'),
      (2, NULL, NULL, NULL, NULL, NULL, NULL),
      (4, 900, DATE '2019-01-01', 'city', true, -1.0::DOUBLE, 'a'))
     AS t(booking_id, lead_time, booked_on, hotel, cancelled, price, kind)`,
  );
  const agents = folder.file('agents.parquet');
  await writeTable(agents, `SELECT 7 AS agent_id, [1] AS list`);
  db = await openSources([
    { name: 'bookings', parts: [{ path: bookings, format: 'parquet', gzip: false }] },
    { name: 'agents', parts: [{ path: agents, format: 'parquet', gzip: false }] },
  ]);
});
afterAll(() => db.close());

it('shows no value of a personal column, only whether it is NULL, and tells rows by other columns', async () => {
  const sources = { bookings: { file: 'b', knownAt: 'booked_on', knownLater: [], pii: [] } };
  const expectations = [
    { expect: 'in_set', column: 'hotel', values: ['city'] },
    { expect: 'not_null', column: 'hotel' },
    { expect: 'unique', column: 'booking_id' },
  ].map((one) => Expectation.parse(one));
  const counts = await measureExpectations(
    db,
    { sources, expectations },
    new Set(['hotel', 'booking_id', 'booked_on']),
  );
  expect(counts.map(({ failed, examples }) => ({ failed, examples }))).toEqual([
    { failed: 1, examples: [{ lead_time: 20, hotel: '(personal)' }] },
    { failed: 1, examples: [{ lead_time: null, hotel: null }] },
    {
      failed: 1,
      examples: [
        { lead_time: 20, booking_id: '(personal)' },
        { lead_time: null, booking_id: '(personal)' },
      ],
    },
  ]);
});

async function judged(expectation: object): Promise<ExpectationResult> {
  const parsed = Expectation.parse({ on: 'bookings', ...expectation });
  const sources = {
    bookings: { file: 'b', knownAt: 'booked_on', knownLater: [], pii: [] },
    agents: { file: 'a', knownLater: [], pii: [] },
  };
  const [counts] = await measureExpectations(db, { sources, expectations: [parsed] }, new Set());
  return judgeExpectation(parsed, counts!);
}

describe('expectations on real columns', () => {
  it.each([
    [{ expect: 'exists', column: 'hotel' }, true, 0],
    [{ expect: 'exists', column: 'hotels' }, false, 0],
    [{ expect: 'not_null', column: 'booking_id' }, true, 0],
    [{ expect: 'not_null', column: 'lead_time' }, false, 1],
    [{ expect: 'not_null', column: 'price' }, false, 2],
    [{ expect: 'not_null', column: 'list', on: 'agents' }, true, 0],
    [{ expect: 'unique', column: 'booking_id' }, false, 1],
    [{ expect: 'unique', column: 'lead_time' }, true, 0],
    [{ expect: 'between', column: 'lead_time', min: 0, max: 900 }, true, 0],
    [{ expect: 'between', column: 'lead_time', min: 0, max: 800 }, false, 1],
    [{ expect: 'between', column: 'lead_time', min: 10.5 }, false, 1],
    [{ expect: 'between', column: 'price', min: -5 }, false, 1],
    [{ expect: 'between', column: 'booked_on', min: '2016-01-01', max: '2016-12-31T12:00:00Z' }, false, 1],
    [{ expect: 'between', column: 'booked_on', max: '2019-01-01' }, true, 0],
    [{ expect: 'between', column: 'booked_on', max: 2019 }, false, 0],
    [{ expect: 'between', column: 'hotel', min: 'a', max: 'p' }, false, 1],
    [{ expect: 'between', column: 'cancelled', min: 0 }, false, 0],
    [{ expect: 'in_set', column: 'hotel', values: ['city', 'resort'] }, true, 0],
    [{ expect: 'in_set', column: 'hotel', values: ['city'] }, false, 1],
    [{ expect: 'in_set', column: 'kind', values: ['a', 'b'] }, true, 0],
    [{ expect: 'in_set', column: 'kind', values: ['a', 'z'] }, false, 1],
    [{ expect: 'in_set', column: 'cancelled', values: [true] }, false, 1],
    [{ expect: 'in_set', column: 'lead_time', values: [10, 20, 900] }, true, 0],
    [{ expect: 'in_set', column: 'price', values: [1.5, -1] }, false, 1],
    [{ expect: 'in_set', column: 'lead_time', values: ['10'] }, false, 0],
    [{ expect: 'row_count_between', min: 4, max: 4 }, true, 0],
    [{ expect: 'row_count_between', min: 10 }, false, 6],
    [{ expect: 'row_count_between', max: 1 }, false, 3],
  ])('%o passes: %s, broken by %i', async (expectation, passed, failed) => {
    expect(await judged(expectation)).toMatchObject({ passed, failed });
  });

  it('says count and share, and shows failing rows by their id, time and the column', async () => {
    expect(await judged({ expect: 'between', column: 'lead_time', min: 0, max: 800 })).toEqual({
      expectation: 'between(lead_time, 0, 800) on bookings',
      passed: false,
      failed: 1,
      rows: 4,
      because: '1 of 4 rows (25 %) are outside',
      examples: [{ booking_id: 4, booked_on: '2019-01-01', lead_time: 900 }],
    });
  });

  it('shows the rows that share a value', async () => {
    const { examples } = await judged({ expect: 'unique', column: 'booking_id' });
    expect(examples).toEqual([
      { booking_id: 2, booked_on: '2016-01-02' },
      { booking_id: 2, booked_on: null },
    ]);
  });

  it('a column that is not there fails with the nearest name, whatever is expected of it', async () => {
    for (const expectation of [
      { expect: 'exists', column: 'lead_tme' },
      { expect: 'between', column: 'lead_tme', min: 0 },
      { expect: 'unique', column: 'lead_tme' },
    ])
      expect((await judged(expectation)).because).toBe('there is no column lead_tme. Did you mean lead_time?');
  });

  it('limits that do not fit the column are explained', async () => {
    expect((await judged({ expect: 'between', column: 'hotel', min: 1 })).because).toBe(
      'column hotel is VARCHAR, which cannot be compared with 1; write texts, in quotes where they look like numbers',
    );
  });

  it('answers come in the order of the expectations, over several sources', async () => {
    const expectations = [
      { expect: 'exists', on: 'agents', column: 'agent_id' },
      { expect: 'exists', on: 'bookings', column: 'hotel' },
      { expect: 'row_count_between', on: 'agents', min: 1 },
    ].map((expectation) => Expectation.parse(expectation));
    const sources = {
      bookings: { file: 'b', knownLater: [], pii: [] },
      agents: { file: 'a', knownLater: [], pii: [] },
    };
    const counts = await measureExpectations(db, { sources, expectations }, new Set());
    expect(counts.map(({ source, rows }) => [source, rows])).toEqual([
      ['agents', 1],
      ['bookings', 4],
      ['agents', 1],
    ]);
  });
});

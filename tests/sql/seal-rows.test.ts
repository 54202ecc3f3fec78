import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelSpec } from '../../schemas/index.ts';
import { openSources, readRows, sealRows, type Database } from '../../sql/index.ts';
import { expectGoldenError } from '../golden/errors.ts';
import { temporaryFolder, writeTable } from './folder.ts';

const folder = temporaryFolder();
const to = folder.file('rows.parquet');
let db: Database;

const open = async (threads: number, order = '') => {
  const path = folder.file(`bookings${threads}.parquet`);
  await writeTable(
    path,
    `SELECT i AS id, DATE '2016-01-01' + (i % 500)::INT AS day, TIMESTAMP '2016-01-01 10:00:00' + INTERVAL (i) MINUTE AS made,
      CASE WHEN i % 11 = 0 THEN NULL ELSE (i * 7919) % 1000 / 8.0 END AS price, CASE WHEN i % 5 = 0 THEN NULL ELSE 'room ' || (i % 9) END AS room,
      i % 3 = 0 AS cancelled, i % 4 AS kind, 'yes' AS answer, 'a'::ENUM('a') AS letter, 'infinity'::DATE AS never, i::DOUBLE AS agent
     FROM range(20000) AS r(i) ${order}`,
  );
  return openSources([{ name: 'bookings', parts: [{ path, format: 'parquet', gzip: false }] }], {
    threads,
    writable: folder.path,
  });
};
beforeAll(async () => {
  db = await open(2);
});
afterAll(() => db.close());

function model(o: { inputs?: object; task?: string; backtest?: object } = {}): ModelSpec {
  return ModelSpec.parse({
    apiVersion: 'gauntlet/v1',
    name: 'bookings',
    owner: 'us',
    description: 'test',
    task: 'binary',
    sources: { bookings: { file: 'bookings.parquet' } },
    rows: { entity: 'booking_id' },
    inputs: { price: { type: 'number', nullable: true }, room: { type: 'string', nullable: true } },
    ...o,
  });
}

const SQL = 'SELECT id AS entity, day AS predicted_at, cancelled AS label, day AS known_at, price, room FROM bookings';
/** rows.sql with some of its columns given otherwise. */
const given = (columns: Record<string, string>, where = '') =>
  `SELECT ${Object.entries({
    entity: 'id',
    predicted_at: 'day',
    label: 'cancelled',
    known_at: 'day',
    price: 'price',
    room: 'room',
    ...columns,
  })
    .map(([name, sql]) => `${sql} AS ${name}`)
    .join(', ')} FROM bookings ${where}`;
const seal = (sql: string, spec = model()) => sealRows(db, { sql, spec, to });

describe('sealRows', () => {
  it('gives back what rows.sql gave, typed, in order of prediction time and entity', async () => {
    const spec = model({
      inputs: {
        price: { type: 'number', nullable: true },
        room: { type: 'string', nullable: true },
        cancelled_before: { type: 'boolean' },
        arrives: { type: 'date' },
        made_at: { type: 'timestamp' },
        agent: { type: 'string' },
        count: { type: 'integer' },
      },
    });
    const sql = given(
      {
        cancelled_before: 'cancelled',
        arrives: 'day + INTERVAL 2 DAY',
        made_at: 'made',
        agent: 'agent',
        count: 'kind',
      },
      'WHERE id < 2000',
    );
    expect(await seal(sql, spec)).toMatchObject({ rows: 2000 });
    const read = await readRows(to, spec);
    expect(read.rows).toBe(2000);
    const days = [...read.predictedAt];
    expect(days).toEqual([...days].sort((a, b) => a - b));
    // Entities are texts, so 1000 comes before 500.
    expect(read.entity.slice(0, 4)).toEqual(['0', '1000', '1500', '500']);
    const row = read.entity.indexOf('503');
    const day = Date.parse('2016-01-04') / 1000;
    expect(read.predictedAt[row]).toBe(day);
    expect(read.label[row]).toBe(0);
    const inputs = Object.fromEntries(Object.entries(read.inputs.columns).map(([name, column]) => [name, column[row]]));
    expect(inputs).toEqual({
      price: ((503 * 7919) % 1000) / 8,
      room: 'room 8',
      cancelled_before: 0,
      arrives: day / 86_400 + 2,
      made_at: Date.parse('2016-01-01T10:00:00Z') / 1000 + 503 * 60,
      agent: '503',
      count: 3,
    });
    expect(Object.keys(read.inputs.columns)).toEqual(Object.keys(spec.inputs));
    expect(read.inputs.columns.room![read.entity.indexOf('505')]).toBeNull();
    expect(read.inputs.columns.price![read.entity.indexOf('11')]).toBeNaN();
  });

  it('what is known on a day is known at the next midnight; a time is known at that time', async () => {
    await seal(given({}, 'WHERE id = 3'));
    expect((await readRows(to, model())).knownAt[0]).toBe(Date.parse('2016-01-05') / 1000);
    await seal(given({ known_at: `day + INTERVAL 1 HOUR` }, 'WHERE id = 3'));
    expect((await readRows(to, model())).knownAt[0]).toBe(Date.parse('2016-01-04T01:00:00Z') / 1000);
  });

  it('a label or its time may be NULL: not known', async () => {
    await seal(given({ label: 'NULL', known_at: 'NULL::DATE' }, 'WHERE id < 2'));
    const read = await readRows(to, model());
    expect(read.label).toEqual(Float64Array.of(NaN, NaN));
    expect(read.knownAt).toEqual(Float64Array.of(NaN, NaN));
  });

  it('the hash depends neither on threads, nor on the order of the source, nor on repetition', async () => {
    const { rowsHash } = await seal(SQL);
    expect((await seal(`${SQL} ORDER BY hash(id)`)).rowsHash).toBe(rowsHash);
    for (const order of ['', 'ORDER BY hash(i + 1)']) {
      const other = await open(1, order);
      expect((await sealRows(other, { sql: SQL, spec: model(), to })).rowsHash).toBe(rowsHash);
      other.close();
    }
  });

  it('the hash changes with one value, one row, or one name', async () => {
    const { rowsHash } = await seal(SQL);
    const others = [
      given({ price: 'CASE WHEN id = 777 THEN price + 1e-9 ELSE price END' }),
      given({ room: `CASE WHEN id = 5 THEN '' ELSE room END` }),
      given({}, 'WHERE id <> 19999'),
    ];
    const hashes = [rowsHash];
    for (const sql of others) hashes.push((await seal(sql)).rowsHash);
    const renamed = model({ inputs: { price: { type: 'number' }, chamber: { type: 'string' } } });
    hashes.push((await seal(given({ chamber: 'room' }), renamed)).rowsHash);
    expect(new Set(hashes).size).toBe(5);
  });

  it('texts cannot run into each other in the hash', async () => {
    const two = (a: string, b: string) =>
      given({ room: `CASE WHEN id = 0 THEN '${a}' ELSE '${b}' END` }, 'WHERE id IN (0, 500)');
    expect((await seal(two('ab', 'c'))).rowsHash).not.toBe((await seal(two('a', 'bc'))).rowsHash);
  });

  it('keeps a further column only if the backtest asks for it, and never as an input', async () => {
    const sql = given({ lead: 'kind', other: 'kind' });
    const spec = model({ backtest: { until: '2017-01-01', where: 'lead <= 1' } });
    await seal(sql, spec);
    const read = await readRows(to, spec, { where: 'lead <= 1' });
    expect(read.rows).toBe(10_000);
    expect(Object.keys(read.inputs.columns)).toEqual(['price', 'room']);
    await expect(readRows(to, spec, { where: 'other <= 1' })).rejects.toThrow('"other" not found');
  });

  it('runs rows.sql once: a random number is sealed as it came', async () => {
    const spec = model({ inputs: { price: { type: 'number' } } });
    await seal(given({ price: 'random()' }), spec);
    const [a, b] = [await readRows(to, spec), await readRows(to, spec)];
    expect(a.inputs.columns.price).toEqual(b.inputs.columns.price);
  });

  it('allows several rows of one entity and time', async () => {
    expect((await seal(given({ entity: '1', predicted_at: `DATE '2016-01-01'` }))).rows).toBe(20_000);
  });

  it('labels: numbers for a regression, texts and whole numbers for classes, 0 and 1 for binary', async () => {
    const regression = model({ task: 'regression' });
    await seal(given({ label: 'price' }, 'WHERE id IN (1, 11)'), regression);
    expect((await readRows(to, regression)).label).toEqual(Float64Array.of((7919 % 1000) / 8, NaN));
    const multiclass = model({ task: 'multiclass' });
    await seal(given({ label: 'kind::DOUBLE' }, 'WHERE id < 2'), multiclass);
    expect((await readRows(to, multiclass)).label).toEqual(['0', '1']);
    await seal(given({ label: 'letter' }, 'WHERE id < 1'), multiclass);
    expect((await readRows(to, multiclass)).label).toEqual(['a']);
    await seal(given({ label: 'cancelled::INT' }, 'WHERE id < 2'));
    expect((await readRows(to, model())).label).toEqual(Float64Array.of(1, 0));
  });
});

describe('what is wrong with rows.sql is explained', () => {
  const spec = (type: string) => model({ inputs: { price: { type: 'number' }, extra: { type } } });
  it.each<[name: string, sql: string, spec?: ModelSpec]>([
    ['rows-sql-two-statements', `${SQL}; DROP TABLE bookings`],
    ['rows-sql-not-select', 'CREATE TABLE mine AS SELECT 1'],
    ['rows-sql-describe', 'DESCRIBE bookings'],
    ['rows-sql-empty', '-- nothing yet\n'],
    ['rows-sql-parameter', `${SQL} WHERE id = $1`],
    ['rows-sql-syntax', 'SELECT id AS entity,\n  day AS predicted_at,,\nFROM bookings'],
    ['rows-sql-unclosed', 'SELECT (1'],
    ['rows-sql-no-column', '-- Grain: a booking\nSELECT id AS entity,\n  lead_time\nFROM bookings'],
    ['rows-sql-no-table', 'SELECT *\nFROM booking'],
    [
      'rows-sql-cast',
      `SELECT id AS entity, day AS predicted_at, cancelled AS label, day AS known_at,\n  price,\n  answer::INT AS room\nFROM bookings`,
    ],
    ['rows-sql-reads-file', `SELECT * FROM bookings,\n  read_csv('/etc/hostname')`],
    ['rows-sql-getenv', `SELECT getenv('HOME') AS entity FROM bookings`],
    [
      'rows-sql-missing-columns',
      'SELECT id AS entity, day AS predicted, cancelled AS label, prices: price FROM bookings',
    ],
    [
      'rows-sql-twice',
      `SELECT id AS entity, day AS predicted_at, cancelled AS label, day AS known_at, price, room, price FROM bookings`,
    ],
    ['rows-sql-types', given({ price: 'answer', predicted_at: 'id' })],
    ['rows-sql-text-date', given({ extra: `'2016-01-01'` }), spec('date')],
    ['rows-sql-date-with-hour', given({ extra: 'made' }), spec('date')],
    ['rows-sql-not-whole', given({ extra: 'price' }), spec('integer')],
    ['rows-sql-infinite-date', given({ extra: 'never' }), spec('date')],
    ['rows-sql-infinite-number', given({ extra: `'infinity'::DOUBLE` }), spec('number')],
    ['rows-sql-null-entity', given({ entity: 'CASE WHEN id % 2 = 0 THEN id END' })],
    ['rows-sql-null-time', given({ predicted_at: 'CASE WHEN id > 0 THEN day END' })],
    ['rows-sql-label-text', given({ label: `'answer ' || (id % 7)` })],
    ['rows-sql-label-numbers', given({ label: 'kind' })],
    ['rows-sql-label-date', given({ label: 'day' })],
    ['rows-sql-label-regression', given({ label: 'room' }), model({ task: 'regression' })],
  ])('%s', async (name, sql, description) => {
    const error = await expectGoldenError(name, () => seal(sql, description));
    expect(error.message).not.toContain(folder.path);
  });
});

describe('readRows', () => {
  it.each([
    ['where-column', 'lead_tme <= 180'],
    ['where-syntax', 'price <='],
    ['where-not-boolean', 'price + 1'],
    ['where-escapes', 'true) OR (1 = 1'],
    ['where-two-statements', 'true; SELECT 1'],
    ['where-value', `room::INT > 1`],
  ])('%s is explained', async (name, where) => {
    await seal(SQL);
    await expectGoldenError(name, () => readRows(to, model(), { where }));
  });

  it('leaves out rows for which the condition is NULL', async () => {
    await seal(SQL);
    expect((await readRows(to, model(), { where: 'price >= 0 -- all that have one' })).rows).toBe(
      20_000 - Math.ceil(20_000 / 11),
    );
  });
});

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { piiHasher } from '../../onnx/index.ts';
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

function model(
  o: { inputs?: object; task?: string; backtest?: object; rows?: object; label?: object; sources?: object } = {},
): ModelSpec {
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

describe('label.knownAt', () => {
  it('names the column that is sealed as known_at', async () => {
    const spec = model({
      label: { knownAt: 'done_at' },
      backtest: { until: '2017-01-01', where: 'done_at > made_at' },
    });
    const sql = given({ known_at: `'an old column'`, done_at: 'day', made_at: 'made' }, 'WHERE id = 3');
    await seal(sql, spec);
    expect((await readRows(to, spec)).knownAt[0]).toBe(Date.parse('2016-01-05') / 1000);
    expect((await readRows(to, spec, { where: 'done_at < made_at' })).rows).toBe(0);
  });

  it('is named where it is missing, or of a type that is no time', async () => {
    const spec = model({ label: { knownAt: 'done_at' } });
    await expectGoldenError('rows-sql-known-at-missing', () => seal(SQL, spec));
    await expectGoldenError('rows-sql-known-at-type', () => seal(given({ done_at: 'kind' }), spec));
  });
});

describe('what is personal', () => {
  const pii = piiHasher('a secret of text, 30 bytes long')!;
  const personal = (o: Parameters<typeof model>[0] = {}) =>
    model({
      rows: { entity: 'guest', entityPii: true },
      inputs: {
        email: { type: 'string', pii: true, nullable: true },
        phone: { type: 'string', pii: true },
        room: { type: 'string', nullable: true },
      },
      ...o,
    });
  let people: Database;
  beforeAll(async () => {
    const path = folder.file('people.parquet');
    await writeTable(
      path,
      `SELECT i AS id, DATE '2016-01-01' + (i % 500)::INT AS day, i % 3 = 0 AS cancelled, i / 8.0 AS price, 'room ' || (i % 9) AS room,
        'guest ' || i AS guest, 351000000 + i AS phone, 'P' || i AS passport,
        CASE i WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'Zoë 🦆 O''Hara' ELSE 'guest' || i || '@example.com' END AS email
       FROM range(2000) AS r(i)`,
    );
    people = await openSources([{ name: 'bookings', parts: [{ path, format: 'parquet', gzip: false }] }], {
      writable: folder.path,
    });
  });
  afterAll(() => people.close());
  const sql = (columns: Record<string, string> = {}) =>
    given({ entity: 'guest', email: 'email', phone: 'phone', ...columns });
  const sealPersonal = (text = sql(), spec = personal(), key = pii) =>
    sealRows(people, { sql: text, spec, to, pii: key });

  it.each(['a secret of text, 30 bytes long', '00112233445566778899aabbccddeeff', 'k'.repeat(100)])(
    'is sealed as the hash that requests get, under %s',
    async (secret) => {
      const hasher = piiHasher(secret)!;
      await sealPersonal(sql(), personal(), hasher);
      const read = await readRows(to, personal());
      expect(read.rows).toBe(2000);
      const row = (id: number) => read.entity.indexOf(hasher.hash(`guest ${id}`));
      const { email, phone, room } = read.inputs.columns;
      expect([0, 1].map((id) => email![row(id)])).toEqual([null, null]);
      expect(email![row(2)]).toBe(hasher.hash(`Zoë 🦆 O'Hara`));
      for (let id = 3; id < 2000; id++) expect(email![row(id)]).toBe(hasher.hash(`guest${id}@example.com`));
      for (let id = 0; id < 2000; id++) expect(phone![row(id)]).toBe(hasher.hash(String(351_000_000 + id)));
      expect(room![row(8)]).toBe('room 8');
      const bytes = readFileSync(to);
      for (const raw of ['guest', '@example', '3510000', 'Zoë']) expect(bytes.includes(raw)).toBe(false);
    },
  );

  it('the hash of the rows is another under another key', async () => {
    const { rowsHash } = await sealPersonal();
    expect((await sealPersonal()).rowsHash).toBe(rowsHash);
    expect((await sealPersonal(sql(), personal(), piiHasher('another secret of text'))).rowsHash).not.toBe(rowsHash);
  });

  it('is held against the limits of its input before it is hashed, a character beyond 65,535 counted once', async () => {
    const limited = (email: object) =>
      personal({ inputs: { email: { type: 'string', pii: true, nullable: true, ...email } } });
    const texts = (...all: string[]) =>
      sql({ email: `CASE id ${all.map((t, i) => `WHEN ${i} THEN '${t}'`).join(' ')} END` });
    await sealPersonal(texts('🦆🦆', 'four', 'Zoë!', ''), limited({ maxLength: 4 }));
    await expect(sealPersonal(texts('🦆🦆🦆'), limited({ maxLength: 2 }))).rejects.toThrow('at most 2 characters');
    await sealPersonal(texts('a', `b''c`, ''), limited({ values: ['a', `b'c`] }));
    for (const [name, input] of [
      ['rows-sql-personal-too-long', { maxLength: 10 }],
      ['rows-sql-personal-values', { values: ['guest3@example.com', 'guest4@example.com'] }],
    ] as const) {
      const error = await expectGoldenError(name, () => sealPersonal(sql(), limited(input)));
      expect(error.message).not.toMatch(/guest\d/);
    }
  });

  it.each<[name: string, sql: string, spec?: ModelSpec]>([
    ['rows-sql-personal-cast', sql({ room: 'email::INT' })],
    ['rows-sql-personal-error', sql({ room: 'CASE WHEN id = 7 THEN error(email) END' })],
    ['rows-sql-personal-null', sql({ entity: 'CASE WHEN id > 3 THEN guest END' })],
    [
      'rows-sql-personal-number',
      sql({ age: 'id / 2.0' }),
      personal({
        sources: { bookings: { file: 'bookings.parquet', pii: ['age', 'email', 'phone'] } },
        inputs: { email: { type: 'string', pii: true }, age: { type: 'integer' } },
      }),
    ],
    [
      'rows-sql-personal-where',
      sql({ passport: 'passport' }),
      personal({
        sources: { bookings: { file: 'bookings.parquet', pii: ['passport'] } },
        backtest: { until: '2017-01-01', where: `passport like 'P%'` },
      }),
    ],
  ])('%s shows no value', async (name, text, spec) => {
    const error = await expectGoldenError(name, () => sealPersonal(text, spec));
    expect(JSON.stringify([error.message, error.issues])).not.toMatch(/guest ?\d|@example|Zoë/);
  });

  it('is never sealed as it is because somebody forgot the key', async () => {
    await expect(sealRows(people, { sql: sql(), spec: personal(), to })).rejects.toThrow('nothing to hash them with');
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

import { existsSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { DuckDBInstance } from '@duckdb/node-api';
import { openDatabase, type Database } from '../../sql/index.ts';
import { TextReader } from '../../sql/vectors.ts';
import { expectGoldenError } from '../golden/errors.ts';
import { temporaryFolder, writeTable } from './folder.ts';

const folder = temporaryFolder();

async function withDatabase<R>(work: (db: Database) => Promise<R>, files: string[] = []): Promise<R> {
  const db = await openDatabase({ files, tempDirectory: folder.path });
  try {
    return await work(db);
  } finally {
    db.close();
  }
}

describe('openDatabase', () => {
  const secret = folder.file('secret.csv', 'a\n1\n');
  it.each([
    `SELECT * FROM read_csv('${secret}')`,
    `SELECT * FROM '${secret}'`,
    `SELECT content FROM read_text('/etc/hostname')`,
    `SELECT * FROM glob('/etc/*')`,
    `SELECT * FROM sniff_csv('${secret}')`,
    `COPY (SELECT 1) TO '${folder.path}/written.csv'`,
    `ATTACH '${folder.path}/written.duckdb'`,
    `EXPORT DATABASE '${folder.path}/written'`,
    'INSTALL httpfs',
    'LOAD httpfs',
    `SELECT getenv('HOME')`,
    'SET enable_external_access = true',
    "SET allowed_directories = ['/']",
    'SET threads = 64',
    "CREATE SECRET s (TYPE s3, KEY_ID 'k', SECRET 's')",
    `SELECT * FROM read_csv('https://example.com/a.csv')`,
  ])('refuses %s', async (sql) => {
    await withDatabase(async (db) => {
      await expect(db.run(sql)).rejects.toThrow(/Permission Error|locked|does not exist/);
    });
    expect(readdirSync(folder.path).filter((name) => name.startsWith('written'))).toEqual([]);
  });

  it('reads the files that it was given', async () => {
    const read = await withDatabase((db) => db.columns(`SELECT * FROM read_csv('${secret}')`), [secret]);
    expect(read).toMatchObject({ rows: 1, names: ['a'], types: ['BIGINT'] });
  });

  it('says nothing of this machine in its settings for a person', async () => {
    await withDatabase(async (db) => {
      const [row] = await db.rowsOf(
        `SELECT current_setting('TimeZone') AS zone, current_setting('threads') AS threads`,
      );
      expect(row!.zone).toBe('UTC');
      expect(JSON.stringify(row)).not.toContain(hostname());
    });
  });

  it('spills what does not fit its memory, and leaves nothing behind', async () => {
    const before = readdirSync(folder.path).length;
    const db = await openDatabase({ memoryLimitMb: 40, threads: 2, tempDirectory: folder.path });
    await db.run(`CREATE TABLE big AS SELECT hash(i) AS h, 'text number ' || i AS t FROM range(1000000) AS r(i)`);
    const [row] = await db.rowsOf('SELECT count(*) AS n FROM (SELECT * FROM big ORDER BY h LIMIT 900000)');
    expect(row).toEqual({ n: 900_000 });
    db.close();
    expect(readdirSync(folder.path).length).toBe(before);
  });
});

describe('columns', () => {
  it('reads every type that has a place in a table of ours', async () => {
    await withDatabase(async (db) => {
      const { rows, columns } = await db.columns(`SELECT
        1::TINYINT AS a, 2::UBIGINT AS b, 170141183460469231731687303715884105727::HUGEINT AS c, 12.34::DECIMAL(9, 2) AS d,
        1.5::FLOAT AS e, true AS f, DATE '1970-01-03' AS g, TIMESTAMP '1970-01-01 00:00:01.5' AS h,
        TIMESTAMP_S '1970-01-01 00:00:02' AS i, TIMESTAMP_MS '1970-01-01 00:00:03.25' AS j, TIMESTAMP_NS '1970-01-01 00:00:04' AS k,
        TIMESTAMPTZ '1970-01-01 02:00:00+02' AS l, 'x'::ENUM('x', 'y') AS m, 'text' AS n,
        '00000000-0000-0000-0000-000000000001'::UUID AS o, NULL AS p, DATE '1969-12-31' AS q`);
      expect(rows).toBe(1);
      const values = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[0]]));
      expect(values).toEqual({
        a: 1, b: 2, c: 2 ** 127, d: 12.34, e: 1.5, f: 1, g: 2, h: 1.5, i: 2, j: 3.25, k: 4, l: 0,
        m: 'x', n: 'text', o: '00000000-0000-0000-0000-000000000001', p: values.p, q: -1,
      }); // prettier-ignore
      expect(values.p === null || Number.isNaN(values.p)).toBe(true);
    });
  });

  it('reads NULL as NaN or null', async () => {
    await withDatabase(async (db) => {
      const types = ['INTEGER', 'DOUBLE', 'DECIMAL(9, 2)', 'BOOLEAN', 'DATE', 'TIMESTAMP', 'TIMESTAMPTZ'];
      const { columns } = await db.columns(
        `SELECT ${types.map((type, i) => `NULL::${type} AS c${i}`).join(', ')}, NULL::VARCHAR AS text`,
      );
      types.forEach((_, i) => expect(columns[`c${i}`]![0]).toBeNaN());
      expect(columns.text).toEqual([null]);
    });
  });

  it('keeps the order of the query and all its rows over many chunks', async () => {
    await withDatabase(async (db) => {
      const { rows, columns } = await db.columns(
        `SELECT i, CASE WHEN i % 7 = 0 THEN NULL ELSE 'name ' || (i % 1000) END AS t FROM range(50000) AS r(i) ORDER BY i DESC`,
      );
      expect(rows).toBe(50_000);
      const wrong = Array.from({ length: rows }, (_, row) => row).filter((row) => {
        const i = 49_999 - row;
        return columns.i![row] !== i || columns.t![row] !== (i % 7 === 0 ? null : `name ${i % 1000}`);
      });
      expect(wrong).toEqual([]);
    });
  });

  it('takes columns of one name apart, and SQL that ends in a comment', async () => {
    await withDatabase(async (db) => {
      expect((await db.columns('SELECT 1 AS x, 2 AS y -- the end')).columns).toEqual({
        x: Float64Array.of(1),
        y: Float64Array.of(2),
      });
    });
  });

  it('refuses a type that has no place, naming the column', async () => {
    await withDatabase((db) => expectGoldenError('column-type', () => db.columns('SELECT [1, 2] AS sizes, 1 AS a')));
  });

  it.each(['DATE', 'TIMESTAMP'])('refuses an infinite %s', async (type) => {
    await withDatabase((db) =>
      expect(db.columns(`SELECT '-infinity'::${type} AS until UNION ALL SELECT NULL`)).rejects.toThrow(
        'Column until holds an infinite date.',
      ),
    );
  });

  it('reads 119,390 rows of 24 columns well under a second of its own time', async () => {
    const file = folder.file('wide.parquet');
    const numbers = Array.from({ length: 16 }, (_, i) => `(i * ${i + 1}) % 977 AS n${i}`);
    const texts = Array.from({ length: 8 }, (_, i) => `'value ' || (i % ${10 * (i + 1)}) AS t${i}`);
    await writeTable(file, `SELECT ${[...numbers, ...texts].join(', ')} FROM range(119390) AS r(i)`);
    await withDatabase(
      async (db) => {
        const before = process.cpuUsage();
        const { rows } = await db.columns(`SELECT * FROM '${file}'`);
        const seconds = process.cpuUsage(before).user / 1e6;
        console.log(`119,390 x 24 read in ${seconds.toFixed(2)} s CPU`);
        expect(rows).toBe(119_390);
        expect(seconds).toBeLessThan(3);
      },
      [file],
    );
  });
});

describe('TextReader', () => {
  it('gives the same texts as the client: short, long, empty, missing, beyond ASCII, sharing hashes', async () => {
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const sql = `SELECT CASE i % 6 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'é' || i WHEN 3 THEN repeat('long ', i % 40)
      WHEN 4 THEN chr(32 + (i % 50000)::INT) WHEN 5 THEN 'twelve bytes'[1:1 + (i % 12)] || (i % 50) END AS t FROM range(300000) AS r(i)`;
    const expected = (await (await connection.run(sql)).getColumns())[0]!;
    const reader = new TextReader();
    const read: (string | null)[] = [];
    const stream = await connection.stream(sql);
    for (let chunk; (chunk = await stream.fetchChunk()) && chunk.rowCount > 0;) reader.append(chunk, 0, read);
    expect(read.length).toBe(300_000);
    expect(read.findIndex((text, i) => text !== expected[i])).toBe(-1);
    connection.closeSync();
    instance.closeSync();
  });
});

it('the folder of a closed database is gone', async () => {
  const db = await openDatabase({ tempDirectory: folder.path });
  const [name] = readdirSync(folder.path).filter((entry) => entry.startsWith('gauntlet-duckdb-'));
  expect(name).toBeDefined();
  db.close();
  expect(existsSync(`${folder.path}/${name}`)).toBe(false);
});

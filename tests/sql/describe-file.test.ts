import { readFileSync, mkdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { checkSourceColumns, describeFile, formatOf, openSources, type FileFormat } from '../../sql/index.ts';
import { expectGoldenError } from '../golden/errors.ts';
import { temporaryFolder, writeTable } from './folder.ts';

const folder = temporaryFolder();
const hide = { [folder.path]: '<folder>' };
const as = (name: string, format: FileFormat, gzip = false) => ({
  path: folder.file(name),
  format,
  gzip,
  source: 'bookings',
  file: name,
});

const CSV = 'id,booked_on,price,who\n1,2016-01-02,12.5,ann\n2,2016-01-03,,bob\n';
const NDJSON =
  '{"id":1,"booked_on":"2016-01-02","price":12.5,"who":"ann"}\n{"id":2,"booked_on":"2016-01-03","price":null,"who":"bob"}\n';
const columns = [
  { name: 'id', type: 'BIGINT' },
  { name: 'booked_on', type: 'DATE' },
  { name: 'price', type: 'DOUBLE' },
  { name: 'who', type: 'VARCHAR' },
];

describe('describeFile', () => {
  it('reads Parquet, CSV and NDJSON alike, compressed or not', async () => {
    folder.file('a.csv', CSV);
    folder.file('a.csv.gz', gzipSync(CSV));
    folder.file('a.ndjson', NDJSON);
    folder.file('a.ndjson.gz', gzipSync(NDJSON));
    await writeTable(folder.file('a.parquet'), `SELECT * FROM read_csv('${folder.file('a.csv')}')`);
    for (const file of [
      as('a.csv', 'csv'),
      as('a.csv.gz', 'csv', true),
      as('a.ndjson', 'ndjson'),
      as('a.ndjson.gz', 'ndjson', true),
      as('a.parquet', 'parquet'),
    ])
      expect([file.file, await describeFile(file)]).toEqual([file.file, { rows: 2, columns }]);
  });

  it('takes a CSV of texts alone by its header', async () => {
    folder.file('texts.csv', 'name,town\nann,Rome\n');
    expect((await describeFile(as('texts.csv', 'csv'))).columns.map(({ name }) => name)).toEqual(['name', 'town']);
  });

  it('a text in a late row makes a text column, not a failure', async () => {
    folder.file('late.csv', `a\n${'1\n'.repeat(50_000)}x\n`);
    expect(await describeFile(as('late.csv', 'csv'))).toEqual({
      rows: 50_001,
      columns: [{ name: 'a', type: 'VARCHAR' }],
    });
  });

  it('names a file that is missing', () =>
    expectGoldenError('source-missing', () => describeFile(as('nowhere.parquet', 'parquet')), hide));

  it('names a file of no bytes', () => {
    folder.file('zero.csv', '');
    return expectGoldenError('source-no-bytes', () => describeFile(as('zero.csv', 'csv')), hide);
  });

  it('names a table without rows', () => {
    folder.file('header.csv', 'id,price\n');
    return expectGoldenError('source-no-rows', () => describeFile(as('header.csv', 'csv')), hide);
  });

  it('names a Parquet file that is truncated', async () => {
    await writeTable(folder.file('whole.parquet'), 'SELECT i, hash(i) AS h FROM range(10000) AS r(i)');
    const whole = readFileSync(folder.file('whole.parquet'));
    folder.file('half.parquet', whole.subarray(0, whole.length >> 1));
    await expectGoldenError('source-truncated-parquet', () => describeFile(as('half.parquet', 'parquet')), hide);
  });

  it('names a gzip file that is truncated', async () => {
    const whole = gzipSync(
      `id,h\n${Array.from({ length: 20_000 }, (_, i) => `${i},${Math.imul(i, 2_654_435_761)}`).join('\n')}\n`,
    );
    folder.file('half.csv.gz', whole.subarray(0, whole.length >> 1));
    await expectGoldenError('source-truncated-gzip', () => describeFile(as('half.csv.gz', 'csv', true)), hide);
  });

  it('names a CSV whose last row is cut off', async () => {
    folder.file(
      'cut.csv',
      `${CSV.repeat(1)}${Array.from({ length: 100 }, (_, i) => `${i + 3},2016-02-01,1.5,cy`).join('\n')}\n103,2016-0`,
    );
    await expectGoldenError('source-truncated-csv', () => describeFile(as('cut.csv', 'csv')), hide);
  });

  it('names an NDJSON file whose last row is cut off', async () => {
    folder.file('cut.ndjson', `${NDJSON}{"id":3,"booked_`);
    await expectGoldenError('source-truncated-ndjson', () => describeFile(as('cut.ndjson', 'ndjson')), hide);
  });

  it('names a file of another format than its name says', async () => {
    folder.file('text.parquet', CSV);
    await expectGoldenError('source-not-parquet', () => describeFile(as('text.parquet', 'parquet')), hide);
    await writeTable(folder.file('b.csv'), 'SELECT 1 AS a');
    await expectGoldenError('source-not-csv', () => describeFile(as('b.csv', 'csv')), hide);
    folder.file('page.csv', '<!DOCTYPE html>\n<html>not found</html>\n');
    await expect(describeFile(as('page.csv', 'csv'))).rejects.toThrow('a page of HTML or XML');
    folder.file('plain.csv.gz', CSV);
    await expect(describeFile(as('plain.csv.gz', 'csv', true))).rejects.toThrow('is not compressed by gzip');
    mkdirSync(folder.file('folder.parquet'));
    await expect(describeFile(as('folder.parquet', 'parquet'))).rejects.toThrow('a folder');
  });
});

it('formatOf reads the format from the name, and refuses a name that says none', async () => {
  expect(formatOf('s', 'data/a.CSV.gz')).toEqual({ format: 'csv', gzip: true });
  expect(formatOf('s', 'a.jsonl')).toEqual({ format: 'ndjson', gzip: false });
  await expectGoldenError('source-format', () => formatOf('bookings', 'bookings.xlsx'));
});

it('checkSourceColumns names every column of model.yaml that the data lacks', async () => {
  const source = { knownAt: 'booked', knownLater: ['who', 'parking'], pii: [] };
  await expectGoldenError('source-columns', () => checkSourceColumns('bookings', source, columns));
  checkSourceColumns('bookings', { knownAt: 'booked_on', knownLater: ['who'], pii: [] }, columns);
});

it('openSources names the source whose file cannot be read, and shows no path', async () => {
  const path = folder.file('broken.parquet', 'PAR1 but nothing else');
  await expectGoldenError('source-broken', () =>
    openSources([{ name: 'bookings', parts: [{ path, format: 'parquet', gzip: false }] }]),
  );
});

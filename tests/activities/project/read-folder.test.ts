import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { readProjectFolder } from '../../../activities/project/read-folder.ts';
import { expectGoldenError } from '../../golden/errors.ts';

const base = mkdtempSync(join(tmpdir(), 'gauntlet-test-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const dir = join(base, 'bookings');
const yaml = (file: string, sql = 'rows.sql') => `apiVersion: gauntlet/v1
name: bookings
owner: us
description: test
task: binary
sources:
  bookings: { file: ${JSON.stringify(file)} }
rows: { entity: id, sql: ${JSON.stringify(sql)} }
inputs:
  price: { type: number }
`;
const write = (name: string, content: string) => writeFileSync(join(dir, name), content);

beforeEach(() => {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(join(dir, 'data'), { recursive: true });
  write('model.yaml', yaml('data/bookings.csv'));
  write('rows.sql', 'SELECT 1');
  write('data/bookings.csv', 'id\n1\n');
  write('README.md', 'not part of the project');
});

describe('readProjectFolder', () => {
  it('reads model.yaml and the files that it names, and no others', async () => {
    const { spec, files } = await readProjectFolder(dir);
    expect(spec.name).toBe('bookings');
    expect([...files.keys()]).toEqual(['model.yaml', 'rows.sql', 'data/bookings.csv']);
    expect(files.get('rows.sql')).toEqual(new TextEncoder().encode('SELECT 1'));
    expect(files.get('data/bookings.csv')).toMatchObject({ file: expect.stringContaining('bookings.csv') as string });
  });

  it('reads the SQL that imports labels, where model.yaml has it', async () => {
    const label = (is: string) => `${yaml('data/bookings.csv')}label: { event: it is cancelled, import: ${is} }\n`;
    write('model.yaml', label('{ sql: truth.sql }'));
    await expectGoldenError('folder-missing-labels-sql', () => readProjectFolder(dir));
    write('truth.sql', 'SELECT 2');
    expect((await readProjectFolder(dir)).files.get('truth.sql')).toEqual(new TextEncoder().encode('SELECT 2'));
    write('model.yaml', label('{}'));
    write('labels.sql', 'SELECT 3');
    const { files } = await readProjectFolder(dir);
    expect([...files.keys()]).toEqual(['model.yaml', 'rows.sql', 'labels.sql', 'data/bookings.csv']);
    write('model.yaml', label('{ sql: ../secret.sql }'));
    await expect(readProjectFolder(dir)).rejects.toMatchObject({ type: 'PathOutside' });
  });

  it('takes a folder that is itself a link, and links within it', async () => {
    symlinkSync(dir, join(base, 'link'));
    symlinkSync(join(dir, 'data/bookings.csv'), join(dir, 'same.csv'));
    write('model.yaml', yaml('same.csv'));
    expect((await readProjectFolder(join(base, 'link'))).files.has('same.csv')).toBe(true);
  });

  it.each(['../secret.csv', 'data/../../secret.csv', '/etc/hostname', 'C:\\data.csv', '.', 'data\\x.csv'])(
    'refuses the path %s',
    async (path) => {
      writeFileSync(join(base, 'secret.csv'), 'a\n1\n');
      write('model.yaml', yaml(path));
      await expect(readProjectFolder(dir)).rejects.toMatchObject({ type: 'PathOutside' });
    },
  );

  it('refuses links that lead out, and says which', async () => {
    writeFileSync(join(base, 'secret.csv'), 'a\n1\n');
    symlinkSync(join(base, 'secret.csv'), join(dir, 'out.csv'));
    write('model.yaml', yaml('out.csv', '../rows.sql'));
    await expectGoldenError('folder-path-outside', () => readProjectFolder(dir));
  });

  it('refuses a model.yaml that is a link out', async () => {
    writeFileSync(join(base, 'elsewhere.yaml'), yaml('data/bookings.csv'));
    rmSync(join(dir, 'model.yaml'));
    symlinkSync(join(base, 'elsewhere.yaml'), join(dir, 'model.yaml'));
    await expect(readProjectFolder(dir)).rejects.toMatchObject({ type: 'PathOutside' });
  });

  it('names every file that is missing, with the nearest name', async () => {
    write('model.yaml', yaml('booking.csv', 'row.sql'));
    write('bookings.csv', 'id\n1\n');
    await expectGoldenError('folder-missing-files', () => readProjectFolder(dir));
  });

  it('a folder in place of a file is named', async () => {
    write('model.yaml', yaml('data'));
    await expect(readProjectFolder(dir)).rejects.toThrow('data is not a file');
  });

  it('says at once when a file is of no format that can be read', async () => {
    write('bookings.xlsx', 'x');
    write('model.yaml', yaml('bookings.xlsx'));
    await expect(readProjectFolder(dir)).rejects.toMatchObject({ type: 'UnknownFormat' });
  });

  it('says when there is no folder, or no model.yaml in it', async () => {
    await expectGoldenError('folder-none', () => readProjectFolder(join(base, 'nowhere')), { [base]: '<folder>' });
    rmSync(join(dir, 'model.yaml'));
    write('model.yml', yaml('data/bookings.csv'));
    await expectGoldenError('folder-no-model-yaml', () => readProjectFolder(dir));
  });
});

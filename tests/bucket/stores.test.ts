import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openStores, type Stores } from '../../bucket/index.ts';
import { encodeRecord } from '../../bucket/records.ts';
import { ModelVersion } from '../../schemas/index.ts';
import { causeOf, dataset, look, project, run, sha, version } from './examples.ts';

let root: string;
let folder: string;
let stores: Stores;
let folders = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gauntlet-stores-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(async () => {
  folder = join(root, String(folders++));
  stores = await openStores({ bucket: `file:${folder}/bucket`, home: join(folder, 'home') });
});
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('objects', () => {
  it('are stored once, by their hash, from memory or from a file', async () => {
    const file = join(folder, 'body');
    await writeFile(file, 'body');
    const expected = { sha256: hashOf('body'), bytes: 4 };
    expect(await stores.objects.put(bytes('body'))).toEqual(expected);
    expect(await stores.objects.put({ file })).toEqual(expected);
    expect(await readdir(join(folder, 'bucket', 'objects'))).toEqual([expected.sha256]);
    expect(new TextDecoder().decode(await stores.objects.read(expected.sha256))).toBe('body');
    expect(await readFile(await stores.objects.file(expected.sha256), 'utf8')).toBe('body');
  });

  it('of no bytes are objects too', async () => {
    const { sha256 } = await stores.objects.put(bytes(''));
    expect(await stores.objects.put(bytes(''))).toEqual({ sha256, bytes: 0 });
    expect((await stores.objects.read(sha256)).length).toBe(0);
  });

  it('are not copied where the bucket is a folder', async () => {
    const { sha256 } = await stores.objects.put(bytes('body'));
    expect(await stores.objects.file(sha256)).toBe(join(folder, 'bucket', 'objects', sha256));
  });

  it('that are absent are told in words', async () => {
    const absent = { name: 'UserError', type: 'NoSuchObject', message: expect.stringContaining(sha('a')) };
    await expect(stores.objects.read(sha('a'))).rejects.toMatchObject(absent);
    await expect(stores.objects.file(sha('a'))).rejects.toMatchObject(absent);
  });

  it('that are damaged are never given', async () => {
    await mkdir(join(folder, 'bucket', 'objects'));
    await writeFile(join(folder, 'bucket', 'objects', hashOf('body')), 'not the body');
    const corrupt = { type: 'CorruptObject', message: expect.stringContaining(`objects/${hashOf('body')}`) };
    await expect(stores.objects.read(hashOf('body'))).rejects.toMatchObject(corrupt);
    await expect(stores.objects.file(hashOf('body'))).rejects.toMatchObject(corrupt);
    await expect(stores.objects.put(bytes('body'))).rejects.toMatchObject(corrupt);
  });
});

describe('projects', () => {
  it('are numbered from 1, and the newest is the one with the highest number', async () => {
    expect(await stores.projects.newest('churn')).toBeUndefined();
    for (let n = 1; n <= 11; n++) expect((await stores.projects.create(project(sha('a')))).n).toBe(n);
    expect((await stores.projects.newest('churn'))?.n).toBe(11);
    expect((await stores.projects.at('churn', 2))?.n).toBe(2);
    expect(await stores.projects.at('churn', 12)).toBeUndefined();
  });

  it('are found by hash, the newest of it', async () => {
    for (const digit of ['a', 'b', 'a', 'c']) await stores.projects.create(project(sha(digit)));
    expect((await stores.projects.byHash('churn', sha('a')))?.n).toBe(3);
    expect(await stores.projects.byHash('churn', sha('d'))).toBeUndefined();
  });

  it('of all models are known by name, in order', async () => {
    for (const model of ['churn-weekly', 'churn', 'abuse'])
      await stores.projects.create({ ...project(sha('a')), model });
    expect(await stores.projects.models()).toEqual(['abuse', 'churn', 'churn-weekly']);
  });

  it('applied at once get different numbers, and the same project at once one number', async () => {
    const digits = ['a', 'b', 'c', 'd', 'e', 'f'];
    const created = await Promise.all(digits.map((digit) => stores.projects.create(project(sha(digit)))));
    expect(created.map(({ n }) => n).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
    const same = await Promise.all(digits.map(() => stores.projects.create(project(sha('0')))));
    expect(new Set(same.map(({ n }) => n))).toEqual(new Set([7]));
  });
});

describe('datasets', () => {
  it('the first record of a hash stands', async () => {
    expect((await stores.datasets.create(dataset('first'))).source).toBe('first');
    expect((await stores.datasets.create(dataset('second'))).source).toBe('first');
    expect((await stores.datasets.read('customers', sha('2')))?.source).toBe('first');
    expect(await stores.datasets.read('customers', sha('3'))).toBeUndefined();
  });
});

describe('runs', () => {
  it('are recorded once', async () => {
    await stores.runs.create(run('20261124-a'));
    const again = await stores.runs.create({ ...run('20261124-a'), seed: 8 });
    expect(again.seed).toBe(7);
    expect((await stores.runs.read('churn', '20261124-a'))?.seed).toBe(7);
    expect(await stores.runs.read('churn', 'none')).toBeUndefined();
  });

  it('are listed newest first, of one model or all, and no checkpoint among them', async () => {
    for (const [id, model] of [
      ['20261124-a', 'churn'],
      ['20261126-a', 'fraud'],
      ['20261125-a', 'churn'],
    ] as const)
      await stores.runs.create(run(id, model));
    await stores.runs.writeCheckpoint('churn', '20261127-a', 1, bytes('state'));
    const ids = async (...args: Parameters<Stores['runs']['list']>) =>
      (await stores.runs.list(...args)).map(({ id }) => id);
    expect(await ids()).toEqual(['20261126-a', '20261125-a', '20261124-a']);
    expect(await ids('churn')).toEqual(['20261125-a', '20261124-a']);
    expect(await ids(undefined, 2)).toEqual(['20261126-a', '20261125-a']);
  });

  it('the last checkpoint is the one with the highest number, until they are removed', async () => {
    expect(await stores.runs.lastCheckpoint('churn', 'r')).toBeUndefined();
    for (const n of [2, 10, 9]) await stores.runs.writeCheckpoint('churn', 'r', n, bytes(`state ${n}`));
    await stores.runs.writeCheckpoint('churn', 'r/final', 11, bytes('state 11'));
    await stores.runs.create(run('r'));
    const last = await stores.runs.lastCheckpoint('churn', 'r');
    expect([last?.n, new TextDecoder().decode(last?.bytes)]).toEqual([10, 'state 10']);
    expect((await stores.runs.lastCheckpoint('churn', 'r/final'))?.n).toBe(11);
    await stores.runs.removeCheckpoints('churn', 'r');
    expect(await stores.runs.lastCheckpoint('churn', 'r')).toBeUndefined();
    expect(await stores.runs.lastCheckpoint('churn', 'r/final')).toBeUndefined();
    expect(await stores.runs.read('churn', 'r')).toBeDefined();
  });
});

describe('versions', () => {
  it('are numbered from 1; the same cause again is the same version', async () => {
    expect((await stores.versions.create(version('a'))).n).toBe(1);
    expect((await stores.versions.create(version('b'))).n).toBe(2);
    expect((await stores.versions.create({ ...version('a'), createdAt: '2026-11-25T00:00:00.000Z' })).n).toBe(1);
    expect((await stores.versions.newest('churn'))?.run).toBe('b');
    expect((await stores.versions.list('churn')).map(({ n }) => n)).toEqual([2, 1]);
    expect(await stores.versions.read('churn', 3)).toBeUndefined();
    expect(await stores.versions.newest('fraud')).toBeUndefined();
  });

  it('made at once get different numbers, and of one cause at once one number', async () => {
    const runs = ['a', 'b', 'c', 'd', 'e'];
    const created = await Promise.all(runs.map((id) => stores.versions.create(version(id))));
    expect(created.map(({ n }) => n).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5]);
    const same = await Promise.all(runs.map(() => stores.versions.create(version('f'))));
    expect(same.map(({ n }) => n)).toEqual([6, 6, 6, 6, 6]);
  });
});

describe('looks', () => {
  it('lie under model, time and kind; who repeats one is given what is there', async () => {
    const first = await stores.looks.create(look('2026-11-24T10:00:00Z'));
    expect(first.key).toBe('looks/churn/20261124T100000.000Z-gate.json');
    const again = await stores.looks.create(look('2026-11-24T10:00:00.000Z', 'another reason'));
    expect(again).toEqual(first);
    expect(await stores.looks.read(first.key)).toEqual(first.look);
    const later = await stores.looks.create(look('2026-11-25T10:00:00Z'));
    expect((await stores.looks.list('churn')).map(({ key }) => key)).toEqual([later.key, first.key]);
  });
});

describe('a record', () => {
  it('is the same bytes in whatever order it was put together', () => {
    const record = { ...version('a'), n: 1, cause: causeOf('a') };
    const shuffled = Object.fromEntries(Object.entries(record).reverse()) as typeof record;
    shuffled.cause = { step: record.cause.step, runId: record.cause.runId, workflowId: record.cause.workflowId };
    expect(encodeRecord(ModelVersion, shuffled)).toEqual(encodeRecord(ModelVersion, record));
  });

  it('keeps the order of inputs, which is the order in the graph', async () => {
    const { visits, age } = version('a').inputs;
    await stores.versions.create({ ...version('a'), inputs: { visits: visits!, age: age! } });
    await stores.versions.create({ ...version('b'), inputs: { age: age!, visits: visits! } });
    expect(Object.keys((await stores.versions.read('churn', 1))!.inputs)).toEqual(['visits', 'age']);
    expect(Object.keys((await stores.versions.read('churn', 2))!.inputs)).toEqual(['age', 'visits']);
  });

  it('with a figure that is not a number is never written', async () => {
    await expect(stores.versions.create({ ...version('a'), lossSd: Number.NaN })).rejects.toThrow('lossSd');
    expect(await stores.versions.numbers('churn')).toEqual([]);
  });

  it.each([
    ['{"half": ', /versions\/churn\/1\.json in the bucket cannot be read: it is not JSON/, []],
    ['{}', /versions\/churn\/1\.json in the bucket cannot be read: model is nothing/, ['model', 'n', 'task']],
  ])('that is broken is named, with what is wrong: %s', async (text, message, fields) => {
    await mkdir(join(folder, 'bucket', 'versions', 'churn'), { recursive: true });
    await writeFile(join(folder, 'bucket', 'versions', 'churn', '1.json'), text);
    const error: unknown = await stores.versions.read('churn', 1).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'UserError', type: 'BrokenRecord', message: expect.stringMatching(message) });
    expect((error as { issues: { at: string }[] }).issues.slice(0, 3).map(({ at }) => at)).toEqual(fields);
  });
});

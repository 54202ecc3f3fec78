import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Context } from '../../../activities/context.ts';
import { createImportLabels } from '../../../activities/labels/import.ts';
import { createPlanRun } from '../../../activities/pipeline/plan.ts';
import { createIngest } from '../../../activities/pipeline/rows.ts';
import { applyProject } from '../../../activities/project/apply.ts';
import { readProjectFolder } from '../../../activities/project/read-folder.ts';
import { LabelImports, openStores, writeSegment, type Bucket, type Stores } from '../../../bucket/index.ts';
import { piiHasher } from '../../../onnx/index.ts';
import { Label, type ImportLabelsResult, type UserError } from '../../../schemas/index.ts';
import { createLogViews, createOutcomes, openDatabase } from '../../../sql/index.ts';
import { writeSmallProject } from '../../e2e/small-project.ts';
import { answer, DAY_MS, HOUR_MS } from '../../sql/log-records.ts';
import { keepHouse, readLog } from '../housekeeping/log-bucket.ts';

const HOTEL = new URL('../../../examples/hotel-cancellations', import.meta.url).pathname;

let folder: string;
let stores: Stores;
let context: Context;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-labels-'));
  stores = await openStores({ bucket: `file:${join(folder, 'bucket')}`, home: folder });
  context = { stores, home: folder, build: { commit: 'x', dirty: false, node: 'x', packages: {} } };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const apply = async (dir: string) =>
  applyProject(stores, await readProjectFolder(dir), { by: 'tests', dryRun: false, now: new Date() });

let runs = 0;
const heard: unknown[] = [];

/** The three steps of the workflow, as a worker runs them. */
async function importLabels(
  model: string,
  until: string,
  o: { context?: Context; runId?: string; at?: (ready: () => void) => void } = {},
): Promise<ImportLabelsResult> {
  const used = o.context ?? context;
  const cause = { workflowId: `import-labels-${model}`, runId: o.runId ?? `run-${++runs}`, step: 'import' };
  const now = '2026-01-01T00:00:00.000Z';
  const ref = await createPlanRun(used).planRun({ model, run: cause.runId, now });
  const { datasets } = await createIngest(used).ingest(ref, now);
  const env = new MockActivityEnvironment();
  heard.length = 0;
  env.on('heartbeat', (details: unknown) => void heard.push(details));
  return env.run(createImportLabels(used).importLabels, ref, datasets, until, cause);
}

async function keys(prefix: string, bucket: Bucket = stores.bucket): Promise<string[]> {
  const all: string[] = [];
  for await (const { key } of bucket.list(prefix)) all.push(key);
  return all;
}

/** Every label in the log, as its lines say. */
async function labelsInLog(): Promise<Label[]> {
  const lines = await Promise.all(
    (await keys('log/raw/')).map(async (key) => gunzipSync((await stores.bucket.read(key))!).toString('utf8')),
  );
  return lines.flatMap((text) =>
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => Label.parse(JSON.parse(line))),
  );
}

const refusalOf = async (imported: Promise<unknown>): Promise<{ type: string; message: string }> =>
  imported.then(
    () => expect.fail('it was not refused'),
    (error: UserError) => ({ type: error.type, message: error.message }),
  );

describe("the hotel's labels", () => {
  it('those that were known are imported once; the rest when it is known, with what memory allows', async () => {
    await apply(HOTEL);
    const db = await openDatabase({ files: [join(HOTEL, 'hotel_bookings.parquet')] });
    const known = async (day: string) =>
      Number(
        (
          await db.rowsOf(
            `select count(*) as n from '${join(HOTEL, 'hotel_bookings.parquet')}' where reservation_status_date < date '${day}'`,
          )
        )[0]!['n'],
      );
    const first = await importLabels('hotel-cancellations', '2016-09-01T00:00:00.000Z');
    expect(first).toMatchObject({ outcome: 'imported', n: 1, labels: await known('2016-09-01'), corrections: 0 });
    expect(heard.at(-1)).toEqual({ done: first.labels, of: first.labels });
    const record = (await new LabelImports(stores.bucket).read('hotel-cancellations', 1))!;
    expect(record.segments).toEqual(await keys('log/raw/'));
    expect(record.segments).toHaveLength(Math.ceil(first.labels / 10_000));

    const labels = await labelsInLog();
    expect(new Set(labels.map(({ labelId }) => labelId)).size).toBe(first.labels);
    expect(labels.find(({ entity }) => entity === '73715')).toMatchObject({
      model: 'hotel-cancellations',
      happenedMs: Date.parse('2014-10-17'),
      happenedResolution: 'day',
      value: true,
      knownMs: Date.parse('2014-10-18'),
      by: 'import',
      source: `hotel_bookings@${record.datasets[0]!.hash}`,
    });
    // A writer numbers its records once.
    expect(new Set(labels.map(({ boot, seq }) => `${boot} ${seq}`)).size).toBe(first.labels);

    const second = await importLabels('hotel-cancellations', '2016-10-01T00:00:00.000Z');
    expect(second.labels).toBe((await known('2016-10-01')) - first.labels);
    const all = await importLabels('hotel-cancellations', '2026-01-01T00:00:00.000Z');
    expect(first.labels + second.labels + all.labels).toBe(119_390);
    expect(await importLabels('hotel-cancellations', '2026-01-02T00:00:00.000Z')).toMatchObject({
      outcome: 'nothing new',
      n: 4,
      labels: 0,
      because: 'none of 119,390 labels was new by 2026-01-02T00:00:00.000Z',
    });
    const every = await labelsInLog();
    expect([every.length, new Set(every.map(({ labelId }) => labelId)).size]).toEqual([119_390, 119_390]);
    db.close();
  }, 120_000);
});

describe('a small model', () => {
  const LABELS = 'SELECT visit_id AS entity, visited_on AS happened_at, bought AS label, known_at FROM outcomes';
  let project: string;
  /** visit_id, visited_on, bought, known_at */
  let outcomes: string[];

  const write = async (o: { spec?: Record<string, unknown>; sql?: string } = {}) => {
    await writeSmallProject(project, {
      rows: 50,
      spec: {
        sources: { visits: { file: 'visits.csv', knownAt: 'visited_on' }, outcomes: { file: 'outcomes.csv' } },
        label: { maturesAt: 'predicted_at + 7 days', import: {} },
        expectations: [],
        ...o.spec,
      },
    });
    await writeFile(join(project, 'labels.sql'), o.sql ?? LABELS);
    await writeFile(join(project, 'outcomes.csv'), ['visit_id,visited_on,bought,known_at', ...outcomes, ''].join('\n'));
    await apply(project);
  };
  beforeEach(() => {
    project = join(folder, 'small');
    outcomes = ['1,2025-01-01,true,2025-01-03', '2,2025-01-01,false,2025-01-09', '3,2025-01-02,,'];
  });
  const UNTIL = '2025-02-01T00:00:00.000Z';
  const LATER = '2025-03-01T00:00:00.000Z';
  const said = async () =>
    (await labelsInLog())
      .map(({ entity, value, supersedes }) => `${entity} ${value}${supersedes === undefined ? '' : ' after all'}`)
      .sort();

  it('a changed outcome takes the place of the one before, there and back again', async () => {
    await write();
    expect(await importLabels('small', UNTIL)).toMatchObject({ labels: 2, corrections: 0 });
    outcomes[0] = '1,2025-01-01,false,2025-02-03';
    await write();
    expect(await importLabels('small', LATER)).toMatchObject({ labels: 1, corrections: 1 });
    outcomes[0] = '1,2025-01-01,true,2025-03-03';
    await write();
    expect(await importLabels('small', '2025-04-01T00:00:00.000Z')).toMatchObject({
      labels: 1,
      corrections: 1,
      because: '1 of 2 labels were new by 2025-04-01T00:00:00.000Z, 1 of them in place of earlier ones',
    });
    const ofOne = (await labelsInLog()).filter(({ entity }) => entity === '1').sort((a, b) => a.knownMs - b.knownMs);
    expect(ofOne.map(({ value }) => value)).toEqual([true, false, true]);
    expect(ofOne.map(({ supersedes }) => supersedes)).toEqual([undefined, ofOne[0]!.labelId, ofOne[1]!.labelId]);
  });

  it('what is not known yet, has no label or is gone from the source says nothing', async () => {
    outcomes.push('4,2025-01-05,true,2025-02-20');
    await write();
    expect(await importLabels('small', UNTIL)).toMatchObject({ labels: 2 });
    outcomes = ['1,2025-01-01,,2025-01-03', '4,2025-01-05,true,2025-02-20'];
    await write();
    expect(await importLabels('small', LATER)).toMatchObject({ labels: 1, corrections: 0 });
    expect(await said()).toEqual(['1 true', '2 false', '4 true']);
  });

  it('of a source that keeps history the value known last counts; two that became known at once are refused', async () => {
    outcomes.push('1,2025-01-01,false,2025-01-20', '1,2025-01-01,true,2025-02-20');
    await write();
    await importLabels('small', UNTIL);
    expect(await said()).toEqual(['1 false', '2 false']);
    outcomes.push('2,2025-01-01,true,2025-01-09');
    await write();
    const { type, message } = await refusalOf(importLabels('small', LATER));
    expect(type).toBe('LabelsSql');
    expect(message).toContain('visit_id 2 at 2025-01-01T00:00:00.000Z: false and true');
  });

  it('the same execution again gives its own answer, and writes nothing', async () => {
    await write();
    const once = await importLabels('small', UNTIL, { runId: 'the-same' });
    const before = [...(await keys('log/')), ...(await keys('label-imports/'))];
    expect(await importLabels('small', UNTIL, { runId: 'the-same' })).toEqual(once);
    expect([...(await keys('log/')), ...(await keys('label-imports/'))]).toEqual(before);
  });

  it('killed between its labels and its record, the next one writes them again under the same ids', async () => {
    await write();
    // The bucket goes away when the record is written.
    const { bucket } = stores;
    const broken: Bucket = {
      read: (key, range) => bucket.read(key, range),
      list: (prefix, after) => bucket.list(prefix, after),
      remove: (key) => bucket.remove(key),
      create: async (key, body) => {
        if (key.startsWith('label-imports/')) throw new Error('killed');
        return bucket.create(key, body);
      },
    };
    const dying = { ...context, stores: { ...stores, bucket: broken } };
    await expect(importLabels('small', UNTIL, { context: dying, runId: 'a' })).rejects.toThrow('killed');
    expect([(await labelsInLog()).length, await keys('label-imports/')]).toEqual([2, []]);
    expect(await importLabels('small', UNTIL, { runId: 'a' })).toMatchObject({ n: 1, labels: 2 });
    const labels = await labelsInLog();
    expect([labels.length, new Set(labels.map(({ labelId }) => labelId)).size]).toEqual([4, 2]);
    // Readers count once, before and after the hour is closed.
    const counted = { labels: [...new Set(labels.map(({ labelId }) => labelId))].sort(), broken: 0, unknown: 0 };
    expect(await readLog(context, 'small')).toMatchObject(counted);
    const later = new Date(Date.now() + 2 * HOUR_MS).toISOString();
    expect((await keepHouse(context, later)).closed.length).toBeGreaterThan(0);
    expect(await keys('log/raw/')).toEqual([]);
    expect(await readLog(context, 'small')).toMatchObject(counted);
  });

  it('what was imported is the label of the answers that it is about, corrections in place of what they correct', async () => {
    await write();
    await importLabels('small', UNTIL);
    outcomes[1] = '2,2025-01-01,true,2025-02-03';
    await write();
    await importLabels('small', LATER);
    const asked = (entity: string, day: string) =>
      answer(`r-${entity}-${day}`, {
        model: 'small',
        entity,
        eventMs: Date.parse(`${day}T09:00:00Z`),
        maturesMs: Date.parse(`${day}T09:00:00Z`) + 7 * DAY_MS,
      });
    const answers = [
      asked('1', '2025-01-01'),
      asked('2', '2024-12-30'),
      asked('2', '2024-12-01'),
      asked('9', '2025-01-01'),
    ];
    await writeSegment(stores.bucket, answers, { boot: 'answers', now: Date.now() });
    const files = await stores.logHours.files('small', {}, folder);
    const db = await openDatabase({ files: [...files.raw, ...files.parquet] });
    await createLogViews(db, 'small', files);
    const joined = async (asOf: string) => {
      await createOutcomes(db, { task: 'binary', absent: 'missing' }, new Date(asOf));
      return Object.fromEntries(
        (await db.rowsOf('SELECT request_id, state, label FROM outcomes')).map((row) => [
          row['request_id'],
          [row['state'], row['label']],
        ]),
      );
    };
    // The outcome falls into no window of the one, and nothing is known of the other.
    const rest = { 'r-2-2024-12-01': ['overdue', null], 'r-9-2025-01-01': ['overdue', null] };
    expect(await joined(UNTIL)).toEqual({
      'r-1-2025-01-01': ['labelled', 1],
      'r-2-2024-12-30': ['labelled', 0],
      ...rest,
    });
    expect(await joined(LATER)).toEqual({
      'r-1-2025-01-01': ['labelled', 1],
      'r-2-2024-12-30': ['labelled', 1],
      ...rest,
    });
    db.close();
  });

  it('two at once: one number each, and every label once by its id', async () => {
    await write();
    const both = await Promise.all([importLabels('small', UNTIL), importLabels('small', UNTIL)]);
    expect(both.map(({ n, labels }) => `${n}: ${labels}`).sort()).toEqual(['1: 2', '2: 0']);
    expect(new Set((await labelsInLog()).map(({ labelId }) => labelId)).size).toBe(2);
  });

  it('one that looks at an earlier day than another has come to changes nothing', async () => {
    outcomes.push('1,2025-01-01,false,2025-01-20');
    await write();
    await importLabels('small', UNTIL);
    expect(await importLabels('small', '2025-01-10T00:00:00.000Z')).toEqual({
      outcome: 'nothing new',
      model: 'small',
      until: '2025-01-10T00:00:00.000Z',
      labels: 0,
      corrections: 0,
      because: `import 1 has come to ${UNTIL} already, which is after 2025-01-10T00:00:00.000Z`,
    });
  });

  it('what was imported is kept in few objects, however often it runs', async () => {
    const day = (i: number) => `2025-01-${String(i + 1).padStart(2, '0')}`;
    outcomes = Array.from({ length: 20 }, (_, i) => `${i},2025-01-01,${i % 2 === 0},${day(i)}`);
    await write();
    // A day is known when it is over.
    for (let i = 0; i < 20; i++)
      expect(await importLabels('small', `${day(i + 1)}T00:00:00.000Z`)).toMatchObject({ labels: 1 });
    const newest = (await new LabelImports(stores.bucket).newest('small'))!;
    expect([newest.n, newest.imported.length]).toEqual([20, 4]);
    expect(await importLabels('small', LATER)).toMatchObject({ labels: 0 });
  });

  it('a personal entity is known by its hash in the log, the record and its objects; another key is another entity', async () => {
    outcomes = ['ana@example.org,2025-01-01,true,2025-01-03'];
    await write({ spec: { rows: { entity: 'visit_id', entityPii: true } } });
    expect((await refusalOf(importLabels('small', UNTIL))).type).toBe('NoPiiKey');
    const pii = piiHasher('0123456789abcdef0123456789abcdef')!;
    const keyed = { context: { ...context, pii } };
    await importLabels('small', UNTIL, keyed);
    expect(await labelsInLog()).toMatchObject([{ entity: pii.hash('ana@example.org') }]);
    expect(await importLabels('small', LATER, keyed)).toMatchObject({ labels: 0 });
    const record = (await new LabelImports(stores.bucket).newest('small'))!;
    for (const sha256 of record.imported)
      expect(Buffer.from(await stores.objects.read(sha256)).includes('ana@')).toBe(false);
    const other = { context: { ...context, pii: piiHasher('f'.repeat(32))! } };
    expect(await importLabels('small', '2025-04-01T00:00:00.000Z', other)).toMatchObject({ labels: 1, corrections: 0 });
    outcomes.push('ana@example.org,2025-01-01,false,2025-01-03');
    await write({ spec: { rows: { entity: 'visit_id', entityPii: true } } });
    expect((await refusalOf(importLabels('small', '2025-05-01T00:00:00.000Z', keyed))).message).not.toContain('ana');
  });

  it('reads classes and numbers as such, and the column that label.knownAt names', async () => {
    outcomes = ['1,2025-01-01,gold,2025-01-03'];
    const known = { maturesAt: 'predicted_at + 7 days', knownAt: 'told_at', import: { sql: 'labels.sql' } };
    const sql =
      'SELECT visit_id AS entity, visited_on::TIMESTAMP AS happened_at, bought AS label, known_at::TIMESTAMP AS told_at FROM outcomes';
    await write({ spec: { task: 'multiclass', label: known }, sql });
    await importLabels('small', UNTIL);
    expect(await labelsInLog()).toMatchObject([
      { value: 'gold', happenedResolution: 'instant', knownMs: Date.parse('2025-01-03') },
    ]);
    outcomes = ['2,2025-01-01,-12.5,2025-01-03', '3,2025-01-01,1e21,2025-01-03'];
    await write({ spec: { task: 'regression', label: known }, sql });
    await importLabels('small', LATER);
    expect((await labelsInLog()).map(({ value }) => value)).toEqual(['gold', -12.5, 1e21]);
  });

  it.each<[string, string, RegExp]>([
    ['two statements', 'SELECT 1; SELECT 2', /labels\.sql must be one SELECT[^]*2 statements/],
    ['a file beside the sources', `SELECT * FROM read_csv('/etc/passwd')`, /reads something other than the sources/],
    [
      'a column misspelt',
      LABELS.replace('AS happened_at', 'AS happend_at'),
      /a column happened_at\. Did you mean happend_at\?/,
    ],
    [
      'a type',
      LABELS.replace('visited_on AS', "'soon' AS"),
      /happened_at is VARCHAR[^]*DATE or TIMESTAMP: when the outcome/,
    ],
    ['a value', LABELS.replace('bought AS', "'yes' AS"), /labels\.sql: label has values[^]*yes, in 2 of 2 rows/],
    [
      'an outcome at no time',
      LABELS.replace('visited_on AS', 'NULL::DATE AS'),
      /happened_at has values[^]*a time in every row/,
    ],
    ['an entity that is none', LABELS.replace('visit_id AS', 'NULL::VARCHAR AS'), /entity has values[^]*labels\.sql/],
    [
      'what fails on a value',
      LABELS.replace('bought AS', 'bought::VARCHAR::INTEGER = 1 AS'),
      /labels\.sql, line 1: DuckDB refused/,
    ],
  ])('refuses in words: %s', async (_, sql, words) => {
    await write({ sql });
    const { type, message } = await refusalOf(importLabels('small', UNTIL));
    expect([type, message]).toEqual(['LabelsSql', expect.stringMatching(words)]);
    expect(message).toMatch(/next: {5}/);
    expect([await keys('log/'), await keys('label-imports/')]).toEqual([[], []]);
  });

  it('says what to do where the model has no import, or its file was not applied', async () => {
    await write({ spec: { label: { maturesAt: 'predicted_at' } } });
    const none = await refusalOf(importLabels('small', UNTIL));
    expect([none.type, none.message]).toEqual(['NoLabelImport', expect.stringContaining('label.import.sql')]);
  });
});

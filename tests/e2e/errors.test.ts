import { createHash } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServingApp } from '../../api/serving.ts';
import { userErrorText } from '../../cli/run.ts';
import { UserError, type TrainingPipelineInput } from '../../schemas/index.ts';
import { openDatabase } from '../../sql/index.ts';
import { expectGoldenError } from '../golden/errors.ts';
import { startServing } from '../api/serving/fixture.ts';
import { failureOf, startInProcess, type InProcess } from './in-process.ts';
import { visits, writeSmallProject, type SmallProject } from './small-project.ts';

const sql = (label: string) =>
  `SELECT visit_id AS entity, visited_on AS predicted_at, ${label} AS label, visited_on + 7 AS known_at, pages, spent, channel, visited_on FROM visits`;
const inputs = (pages: object) => ({
  pages: { type: 'integer', ...pages },
  spent: { type: 'number', nullable: true },
  channel: { type: 'string', nullable: true },
  visited_on: { type: 'date' },
});

/** Mistakes that the project itself shows: nothing is stored. */
const AT_APPLY: Record<string, (folder: string) => Promise<unknown>> = {
  'broken-yaml': (folder) =>
    writeFile(
      join(folder, 'model.yaml'),
      'apiVersion: gauntlet/v1\nname: broken-yaml\ntask: binry\ninputs:\n  pages: { type: integer, min: 0\n',
    ),
  'missing-file': (folder) => rm(join(folder, 'visits.csv')),
  'unknown-input': (folder) =>
    writeSmallProject(folder, { name: 'unknown-input', spec: { derived: { visit_month: 'month(visitd_on)' } } }),
  'unknown-slice': (folder) =>
    writeSmallProject(folder, { name: 'unknown-slice', spec: { evaluation: { slices: ['chanel'] } } }),
};

/** Mistakes that only the data show: the project can be applied. */
const IN_DATA: Record<string, SmallProject> = {
  'one-class': { sql: sql('true') },
  'constant-target': { sql: sql('4.5'), spec: { task: 'regression', evaluation: {} } },
  'empty-table': { csv: 'visit_id,visited_on,pages,spent,channel,bought\n' },
  'broken-csv-line': { csv: visits(300).replace(/^(150,.*)$/m, '$1,one,too,many') },
  'missing-column': {
    csv: visits(300)
      .replaceAll(/^(\d+,[^,]+,[^,]+),[^,]*,/gm, '$1,')
      .replace(',spent,', ','),
  },
  'source-without-its-column': { spec: { sources: { visits: { file: 'visits.csv', knownAt: 'visited_at' } } } },
  'input-not-in-rows': { spec: { inputs: { ...inputs({}), page: { type: 'integer' } } } },
  'rows-sql-throws': { sql: sql(`channel::INTEGER`) },
  'third-label': { sql: sql('pages') },
  'no-rows': { sql: `${sql('bought')} WHERE pages > 1000` },
  'nothing-matured': { spec: { split: { asOf: '2023-01-01' } } },
  'row-outside-limits': { csv: visits(300).replace(/^(5,[^,]+),\d+,/m, '$1,4000,'), spec: { expectations: [] } },
  'all-rows-outside-limits': { spec: { inputs: inputs({ min: 100, max: 200 }) } },
  'null-not-nullable': { spec: { inputs: { ...inputs({}), spent: { type: 'number' } } } },
};

/** Mistakes of one run: the model itself trains. */
const IN_THE_ASKING: Record<string, TrainingPipelineInput> = {
  'no-such-model': { model: 'god' },
  'unknown-override': { model: 'good', overrides: { 'training.maxDeth': 2 } },
  'override-out-of-range': { model: 'good', overrides: { 'training.trees': 0 } },
  'override-below-a-value': { model: 'good', overrides: { 'training.trees.most': 5 } },
  'override-of-what-is-fixed': { model: 'good', overrides: { 'rows.sql': 'other.sql' } },
  'override-of-an-expression': { model: 'good', overrides: { 'label.maturesAt': 'predicted_at + seven' } },
};

describe('what a person did wrong', () => {
  let gauntlet: InProcess;
  let serving: ServingApp;

  beforeAll(async () => {
    gauntlet = await startInProcess();
    await gauntlet.apply(await writeSmallProject(join(gauntlet.folder, 'good'), { name: 'good', rows: 400 }));
    await gauntlet.train({ model: 'good', promote: true });
    await gauntlet.env.client.workflow.getHandle('rollout-good').result();
    serving = await startServing(gauntlet.stores);
  });
  afterAll(async () => {
    await serving?.stop();
    await gauntlet?.stop();
  });

  const keys = async () => {
    const all: string[] = [];
    for await (const { key } of gauntlet.stores.bucket.list('')) all.push(key);
    return all;
  };
  /** The whole text, in the words of the command line, as golden errors are held. */
  const expectTold = (name: string, act: () => Promise<unknown>) =>
    expectGoldenError(
      `pipeline-${name}`,
      async () => {
        try {
          await act();
        } catch (error) {
          throw error instanceof UserError ? new UserError(error.type, userErrorText(error)) : error;
        }
      },
      { [gauntlet.folder]: '<home>' },
    );
  const train = (input: TrainingPipelineInput) => async () => {
    const { type, message } = await failureOf(gauntlet.train(input));
    throw new UserError(type, message);
  };
  /** Whoever serves goes on, and nothing half-written lies about. */
  const expectUnharmed = async () => {
    for (const path of ['/health', '/ready']) expect((await serving.app.request(path)).status, path).toBe(200);
    expect(await readdir(join(gauntlet.bucket, '.tmp'))).toEqual([]);
    expect((await readdir(gauntlet.folder)).filter((name) => name.startsWith('scratch-'))).toEqual([]);
  };

  /**
   * What steps before the mistake sealed stays, under its hash: the pinned plan, the data that were ingested. It names
   * nobody, and whoever tries again finds it, so that a second attempt leaves the key list as it is.
   */
  const expectOnlySealed = async (before: string[], input: TrainingPipelineInput) => {
    const after = await keys();
    const added = after.filter((key) => !before.includes(key));
    expect(before.filter((key) => !after.includes(key))).toEqual([]);
    expect(added.filter((key) => !/^(objects|datasets)\//.test(key))).toEqual([]);
    for (const key of added.filter((one) => one.startsWith('objects/'))) {
      const bytes = (await gauntlet.stores.bucket.read(key))!;
      expect(`objects/${createHash('sha256').update(bytes).digest('hex')}`).toBe(key);
    }
    await failureOf(gauntlet.train(input));
    expect(await keys()).toEqual(after);
  };

  for (const [name, spoil] of Object.entries(AT_APPLY))
    it(`(${name}) is told in full when the project is applied, and leaves no key`, async () => {
      const folder = await writeSmallProject(join(gauntlet.folder, name), { name });
      await spoil(folder);
      const before = await keys();
      await expectTold(name, () => gauntlet.apply(folder));
      expect(await keys()).toEqual(before);
      await expectUnharmed();
    });

  for (const [name, project] of Object.entries(IN_DATA))
    it(`(${name}) is told in full when it trains, and leaves no record but of what was ingested`, async () => {
      await gauntlet.apply(await writeSmallProject(join(gauntlet.folder, name), { ...project, name }));
      const before = await keys();
      await expectTold(name, train({ model: name }));
      await expectOnlySealed(before, { model: name });
      await expectUnharmed();
    });

  for (const [name, input] of Object.entries(IN_THE_ASKING))
    it(`(${name}) is told in full at once, and leaves no key`, async () => {
      const before = await keys();
      await expectTold(name, train(input));
      expect(await keys()).toEqual(before);
      await expectUnharmed();
    });

  it('(truncated Parquet) is told in full, and leaves no record', async () => {
    const name = 'truncated-parquet';
    const folder = await writeSmallProject(join(gauntlet.folder, name), {
      name,
      spec: { sources: { visits: { file: 'visits.parquet', knownAt: 'visited_on' } } },
    });
    const [csv, parquet] = [join(folder, 'visits.csv'), join(folder, 'visits.parquet')];
    const db = await openDatabase({ files: [csv], writable: folder });
    await db.run(`COPY (SELECT * FROM read_csv('${csv}')) TO '${parquet}' (FORMAT parquet)`);
    db.close();
    const whole = await readFile(parquet);
    await writeFile(parquet, whole.subarray(0, whole.length / 2));
    await gauntlet.apply(folder);
    const before = await keys();
    await expectTold(name, train({ model: name }));
    await expectOnlySealed(before, { model: name });
    await expectUnharmed();
  });

  it.each([
    ['lost-source', (file: string) => rm(file)],
    ['damaged-source', (file: string) => writeFile(file, 'other bytes')],
  ])('(%s) in the bucket is told in full, and leaves no record', async (name, spoil) => {
    const folder = await writeSmallProject(join(gauntlet.folder, name), { name, csv: visits(name.length * 20) });
    await gauntlet.apply(folder);
    const { files } = (await gauntlet.stores.projects.newest(name))!;
    await spoil(join(gauntlet.bucket, 'objects', files['visits.csv']!.sha256));
    const before = await keys();
    await expectTold(name, train({ model: name }));
    await expectOnlySealed(before, { model: name });
    await expectUnharmed();
  });

  it('a prediction is still given after all that', async () => {
    const { warmUpRows } = (await gauntlet.stores.versions.read('good', 1))!;
    const asked = await serving.app.request('/v1/models/good/predict', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(warmUpRows[0]),
    });
    expect(asked.status).toBe(200);
  });
});

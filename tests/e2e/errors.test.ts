import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServing } from '../../api/serving.ts';
import { UserError } from '../../schemas/index.ts';
import { expectGoldenError } from '../golden/errors.ts';
import { failureOf, startInProcess, type InProcess } from './in-process.ts';
import { visits, writeSmallProject, type SmallProject } from './small-project.ts';

const sql = (label: string) =>
  `SELECT visit_id AS entity, visited_on AS predicted_at, ${label} AS label, visited_on + 7 AS known_at, pages, spent, channel, visited_on FROM visits`;

/** Mistakes that only the data show: the project can be applied. */
const CASES: Record<string, SmallProject> = {
  'one-class': { sql: sql('true') },
  'constant-target': { sql: sql('4.5'), spec: { task: 'regression', evaluation: {} } },
  'empty-table': { csv: 'visit_id,visited_on,pages,spent,channel,bought\n' },
  'missing-column': {
    csv: visits(300)
      .replaceAll(/^(\d+,[^,]+,[^,]+),[^,]*,/gm, '$1,')
      .replace(',spent,', ','),
  },
  'source-without-its-column': { spec: { sources: { visits: { file: 'visits.csv', knownAt: 'visited_at' } } } },
  'third-label': { sql: sql('pages') },
  'no-rows': { sql: `${sql('bought')} WHERE pages > 1000` },
  'nothing-matured': { spec: { split: { asOf: '2023-01-01' } } },
  'row-outside-limits': { csv: visits(300).replace(/^(5,[^,]+),\d+,/m, '$1,4000,'), spec: { expectations: [] } },
};

describe('what is wrong with the data', () => {
  let gauntlet: InProcess;
  beforeAll(async () => {
    gauntlet = await startInProcess();
  });
  afterAll(() => gauntlet?.stop());

  const keys = async () => {
    const all: string[] = [];
    for await (const { key } of gauntlet.stores.bucket.list('')) all.push(key);
    return all;
  };
  const trainingFails = async (model: string) => {
    const { type, message } = await failureOf(gauntlet.train({ model }));
    throw new UserError(type, message);
  };
  /** Sealed by hash for whoever repeats the step; nothing reads an object that no record names. */
  const records = async () => (await keys()).filter((key) => !key.startsWith('objects/'));

  for (const [name, project] of Object.entries(CASES))
    it(`(${name}) is told in full, and leaves no record but of what was ingested`, async () => {
      await gauntlet.apply(await writeSmallProject(join(gauntlet.folder, name), { ...project, name }));
      const before = await records();
      await expectGoldenError(`pipeline-${name}`, () => trainingFails(name), { [gauntlet.folder]: '<home>' });
      const left = (await records()).filter((key) => !before.includes(key));
      expect(left.filter((key) => !key.startsWith('datasets/'))).toEqual([]);
    });

  it('(no such model) is told with the nearest names, and leaves no key at all', async () => {
    const before = await keys();
    await expectGoldenError('pipeline-no-such-model', () => trainingFails('one-clas'));
    expect(await keys()).toEqual(before);
  });

  it('(broken YAML) is told with line and column, and leaves no key at all', async () => {
    const folder = await writeSmallProject(join(gauntlet.folder, 'broken-yaml'), { name: 'broken-yaml' });
    await writeFile(
      join(folder, 'model.yaml'),
      'apiVersion: gauntlet/v1\nname: broken-yaml\ntask: binry\ninputs:\n  pages: { type: integer, min: 0\n',
    );
    const before = await keys();
    await expectGoldenError('pipeline-broken-yaml', () => gauntlet.apply(folder), { [gauntlet.folder]: '<home>' });
    expect(await keys()).toEqual(before);
  });

  it('leaves an API on the same bucket alive', async () => {
    const serving = createServing({ stores: gauntlet.stores, log: pino({ level: 'silent' }) });
    await serving.start();
    expect((await serving.app.request('/health')).status).toBe(200);
    await serving.stop();
  });
});

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ScheduleNotFoundError, type ScheduleDescription } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createControl } from '../../api/control.ts';
import { createClient } from '../../api/client.ts';
import { readProjectFolder } from '../../activities/project/read-folder.ts';
import { Label, type ImportLabelsResult } from '../../schemas/index.ts';
import { ensureLabelSchedules } from '../../workers/schedules.ts';
import { silent } from '../api/control/records.ts';
import { failureOf, startInProcess, type InProcess } from '../e2e/in-process.ts';
import { writeSmallProject } from '../e2e/small-project.ts';

const SQL =
  'SELECT visit_id AS entity, visited_on AS happened_at, bought AS label, visited_on + 7 AS known_at FROM visits';

describe('importLabels', () => {
  let gauntlet: InProcess;
  let client: ReturnType<typeof createClient>;

  /** Writes the project, and applies it as the command does. */
  const apply = async (label: Record<string, unknown>, sql = SQL, name = 'small') => {
    const folder = await writeSmallProject(join(gauntlet.folder, name), {
      name,
      rows: 400,
      spec: { label: { maturesAt: 'predicted_at + 7 days', ...label } },
    });
    await writeFile(join(folder, 'labels.sql'), sql);
    const { files } = await readProjectFolder(folder);
    return client.apply(files, {});
  };
  beforeAll(async () => {
    gauntlet = await startInProcess();
    const control = createControl({
      stores: gauntlet.stores,
      temporal: async () => gauntlet.env.client,
      log: silent,
      promotionWaitMs: 60_000,
    });
    client = createClient('http://control', { fetch: async (url, init) => control.request(url, init) });
    await apply({ import: { every: '2 hours' } });
  });
  afterAll(() => gauntlet?.stop());

  const run = async (input: unknown, id: string) =>
    (await (await gauntlet.start('importLabels', id, input)).result()) as ImportLabelsResult;
  const labels = async () => {
    const all: Label[] = [];
    for await (const { key } of gauntlet.stores.bucket.list('log/raw/'))
      for (const line of gunzipSync((await gauntlet.stores.bucket.read(key))!)
        .toString()
        .split('\n')
        .filter(Boolean))
        all.push(Label.parse(JSON.parse(line)));
    return all;
  };
  const schedule = (model = 'small'): Promise<ScheduleDescription> =>
    gauntlet.env.client.schedule.getHandle(`import-labels-${model}`).describe();

  it('brings what was known into the log, and says how much in its details', async () => {
    const result = await run({ model: 'small', asOf: '2024-06-01' }, 'by-hand');
    const known = (await labels()).filter(({ knownMs }) => knownMs <= Date.parse('2024-06-01'));
    expect(known.length).toBeGreaterThan(100);
    expect(result).toMatchObject({ outcome: 'imported', n: 1, labels: known.length, corrections: 0 });
    const handle = gauntlet.env.client.workflow.getHandle('by-hand');
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toContain(`Labels of small: **imported**. ${known.length} of 400 labels were new`);
    expect((await handle.describe()).searchAttributes).toMatchObject({
      GauntletModel: ['small'],
      GauntletStage: ['labels'],
      GauntletOutcome: ['imported'],
    });
  });

  it('the route starts it, waits for it, and gives what is new', async () => {
    const { result } = await client.importLabels('small');
    expect(result).toMatchObject({ outcome: 'imported', n: 2 });
    expect(await labels()).toHaveLength(400);
    expect((await client.importLabels('small')).result).toMatchObject({ outcome: 'nothing new', n: 3, labels: 0 });
    expect(await labels()).toHaveLength(400);
  });

  it('ends in words where the SQL is wrong, the model is unknown or the input is none', async () => {
    await apply({ import: {} }, SQL.replace('bought', 'bougth'), 'wrong');
    expect(await failureOf(run({ model: 'wrong' }, 'wrong'))).toMatchObject({
      type: 'LabelsSql',
      message: expect.stringContaining('labels.sql, line 1') as string,
    });
    expect(await failureOf(run({ model: 'smal' }, 'smal'))).toMatchObject({ type: 'UnknownModel' });
    expect(await failureOf(run({ model: 'small', as_of: '2024-01-01' }, 'typo'))).toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining('as_of') as string,
    });
  });

  it('runs by a schedule that follows the newest applied project, and goes with label.import', async () => {
    expect((await schedule()).spec.intervals).toMatchObject([{ every: 2 * 3_600_000 }]);
    await gauntlet.env.client.schedule.getHandle('import-labels-small').pause('a person did');
    await apply({ import: { every: '1 day' } });
    expect(await schedule()).toMatchObject({
      spec: { intervals: [{ every: 86_400_000 }] },
      state: { paused: true, note: 'a person did' },
      action: { workflowType: 'importLabels', args: [{ model: 'small' }] },
    });
    await apply({});
    await expect(schedule()).rejects.toThrow(ScheduleNotFoundError);
    // Applied while Temporal was away, it is made at the next start.
    await gauntlet.apply(join(gauntlet.folder, 'small'));
    await apply({ import: {} });
    await gauntlet.env.client.schedule.getHandle('import-labels-small').delete();
    const said: string[] = [];
    await ensureLabelSchedules(gauntlet.env.client, gauntlet.stores, (line) => void said.push(line));
    expect((await schedule()).spec.intervals).toMatchObject([{ every: 86_400_000 }]);
    expect(said).toEqual([]);
  });

  it('that the schedule starts is as of the time that it was meant for', async () => {
    const handle = gauntlet.env.client.schedule.getHandle('import-labels-small');
    const [from, to] = ['2031-01-01T00:00:00.000Z', '2031-01-01T12:00:00.000Z'].map((at) => new Date(at));
    await handle.backfill({ start: from!, end: to!, overlap: 'ALLOW_ALL' });
    const ofSchedule = gauntlet.env.client.workflow.list({
      query: `WorkflowType = 'importLabels' and TemporalScheduledById = 'import-labels-small'`,
    });
    let workflowId: string | undefined;
    for (let tries = 0; tries < 200 && workflowId === undefined; tries++) {
      for await (const found of ofSchedule) workflowId = found.workflowId;
      await new Promise((go) => setTimeout(go, 100));
    }
    const result = (await gauntlet.env.client.workflow.getHandle(workflowId!).result()) as ImportLabelsResult;
    expect(result.until.slice(0, 10)).toMatch(/^2031-01-0[12]$/);
  });
});

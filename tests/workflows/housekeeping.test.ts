import { ScheduleOverlapPolicy, type WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowsKey } from '../../bucket/index.ts';
import type { HousekeepingResult } from '../../schemas/index.ts';
import { ensureSchedules, SCHEDULES } from '../../workers/schedules.ts';
import { keysOf, readLog, upload } from '../activities/housekeeping/log-bucket.ts';
import { failureOf, startInProcess, type InProcess } from '../e2e/in-process.ts';
import { project } from '../bucket/examples.ts';
import { ModelSpec } from '../../schemas/index.ts';
import { spec } from '../bucket/examples.ts';
import { answer, HOUR_MS, shadow } from '../sql/log-records.ts';

const DAY = Date.parse('2026-03-10T00:00:00.000Z');
const hourOf = (h: number): string => new Date(DAY + h * HOUR_MS).toISOString();

describe('housekeeping', () => {
  let gauntlet: InProcess;
  beforeAll(async () => {
    gauntlet = await startInProcess();
  });
  afterAll(() => gauntlet?.stop());

  const put = (h: number, id: string, n = 0) =>
    upload(gauntlet.stores.bucket, DAY + h * HOUR_MS + n, [answer(id), shadow(id), 'broken'], 'b1', n);
  const read = () =>
    readLog(
      { stores: gauntlet.stores, home: gauntlet.folder, build: { commit: '', dirty: false, node: '', packages: {} } },
      'churn',
    );
  const detailsOf = async (handle: WorkflowHandle) =>
    (await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')).currentDetails;

  it('has nothing to do where there is no log', async () => {
    const handle = await gauntlet.start('housekeeping', 'by-hand', {});
    expect(await handle.result()).toMatchObject({ closed: [], waiting: 0, retired: [] });
    expect(await detailsOf(handle)).toMatch(/^as of \S+Z\n\nnothing to do$/);
  });

  it('closes the hours that wait, as many as it is told to, and says so in its details', async () => {
    for (const h of [0, 1, 2]) await put(h, `r${h}`);
    const handle = await gauntlet.start('housekeeping', 'by-hand', { hours: 2 });
    const result = (await handle.result()) as HousekeepingResult;
    expect(result).toMatchObject({ closed: [{ hour: hourOf(0), k: 1 }, { hour: hourOf(1) }], waiting: 1 });
    const details = await detailsOf(handle);
    expect(details).toContain(
      `- **${hourOf(0)}** manifest 1: 1 segment, 1 answer, 1 shadow score, 0 labels, 1 broken line; 1 key removed`,
    );
    expect(details).toContain('1 hour more for the next run');
    expect(await read()).toMatchObject({ answers: ['r0', 'r1', 'r2'], shadows: ['r0', 'r1', 'r2'], broken: 3 });
  });

  it('refuses an input that is none, in words', async () => {
    const failure = await failureOf((await gauntlet.start('housekeeping', 'by-hand', { hours: 0 })).result());
    expect(failure).toMatchObject({ type: 'InvalidInput', message: expect.stringContaining('hours') as string });
  });

  it('closes the other hours where one cannot be read, and then fails with its reason', async () => {
    const rows = rowsKey('churn', hourOf(0), 1);
    const bytes = (await gauntlet.stores.bucket.read(rows))!;
    await gauntlet.stores.bucket.remove(rows);
    await gauntlet.stores.bucket.create(rows, new TextEncoder().encode('damaged'));
    await put(0, 'late', 5);
    const handle = await gauntlet.start('housekeeping', 'by-hand', {});
    const failure = await failureOf(handle.result());
    expect(failure).toMatchObject({ type: 'HoursNotClosed', message: expect.stringContaining(rows) as string });
    expect(failure.message).toMatch(/1 of 2 hours.*\n2026-03-10T00:00:00.000Z: .*damaged/);
    expect(await detailsOf(handle)).toMatch(/\*\*not closed\*\* 2026-03-10T00/);
    expect(await gauntlet.stores.logHours.manifest(hourOf(2), 1)).toBeDefined();
    await gauntlet.stores.bucket.remove(rows);
    await gauntlet.stores.bucket.create(rows, bytes);
    await (await gauntlet.start('housekeeping', 'by-hand', {})).result();
    expect((await read()).answers).toEqual(['late', 'r0', 'r1', 'r2']);
    expect(await keysOf(gauntlet.stores.bucket, 'log/raw/')).toEqual([]);
  });

  it('lets go of what a model keeps no longer', async () => {
    const kept = ModelSpec.parse({ ...spec, label: {}, retention: { logDays: 1 } });
    await gauntlet.stores.projects.create({ ...project('b'.repeat(64)), spec: kept });
    const handle = await gauntlet.start('housekeeping', 'by-hand', {});
    expect(await handle.result()).toMatchObject({ retired: [{ model: 'churn', logDays: 1, hours: 3 }] });
    expect(await detailsOf(handle)).toContain('- **churn** keeps 1 day: 3 older hours removed');
    expect((await read()).answers).toEqual([]);
  });

  it('runs by its schedule, with the time that it was meant for, also when that is made up for later', async () => {
    const { client } = gauntlet.env;
    await ensureSchedules(client);
    const schedule = client.schedule.getHandle('housekeeping');
    await put(40, 'a');
    await put(41, 'b');
    // 17:16 on the next day: hour 40 has ended by then, hour 41 has not.
    await schedule.backfill({
      start: new Date(DAY + 41 * HOUR_MS),
      end: new Date(DAY + 41 * HOUR_MS + 30 * 60_000),
      overlap: ScheduleOverlapPolicy.ALLOW_ALL,
    });
    let started: string | undefined;
    await expect
      .poll(
        async () => {
          const { info } = await schedule.describe();
          started = info.recentActions.at(-1)?.action.workflow.workflowId;
          return started;
        },
        { timeout: 30_000 },
      )
      .toMatch(/^housekeeping/);
    const result = (await client.workflow.getHandle(started!).result()) as HousekeepingResult;
    expect(result).toMatchObject({ at: '2026-03-11T17:16:00.000Z', closed: [{ hour: hourOf(40) }] });
    expect(result.closed).toHaveLength(1);
  });
});

describe('schedules', () => {
  let gauntlet: InProcess;
  beforeAll(async () => {
    gauntlet = await startInProcess();
  });
  afterAll(() => gauntlet?.stop());

  it('are made once, by however many start at once, and brought up to date; a paused one stays paused', async () => {
    const { client } = gauntlet.env;
    await Promise.all([ensureSchedules(client), ensureSchedules(client), ensureSchedules(client)]);
    const handle = client.schedule.getHandle('housekeeping');
    const made = await handle.describe();
    expect(made).toMatchObject({
      policies: { overlap: 'SKIP', catchupWindow: HOUR_MS },
      action: { workflowType: 'housekeeping', workflowId: 'housekeeping', args: [{}] },
      spec: { intervals: [{ every: HOUR_MS, offset: 16 * 60_000 }] },
      state: { paused: false },
    });
    await handle.pause('migrating');
    const [hourly] = SCHEDULES;
    await ensureSchedules(client, [{ ...hourly!, spec: { intervals: [{ every: '2 hours' }] } }]);
    expect(await handle.describe()).toMatchObject({
      spec: { intervals: [{ every: 2 * HOUR_MS }] },
      policies: { overlap: 'SKIP', catchupWindow: HOUR_MS },
      action: { workflowType: 'housekeeping' },
      state: { paused: true, note: 'migrating' },
    });
    await ensureSchedules(client);
    expect(await handle.describe()).toMatchObject({ spec: made.spec, state: { paused: true } });
    const ids: string[] = [];
    await expect
      .poll(
        async () => {
          ids.length = 0;
          for await (const { scheduleId } of client.schedule.list()) ids.push(scheduleId);
          return ids;
        },
        { timeout: 30_000 },
      )
      .toEqual(['housekeeping']);
  });
});

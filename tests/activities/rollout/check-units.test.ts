import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Context } from '../../../activities/context.ts';
import { createCheckUnits } from '../../../activities/rollout/check-units.ts';
import { Stages, type Answer, type OpenRollout } from '../../../schemas/index.ts';
import { answer, DAY_MS, HOUR_MS, T0 } from '../../sql/log-records.ts';
import { keepHouse, openLog, upload } from '../housekeeping/log-bucket.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

let folder: string;
let context: Context;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-units-'));
  context = await openLog(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const rolloutOf = (...weights: number[]): OpenRollout => ({
  model: 'churn',
  version: 2,
  champion: 1,
  stages: Stages.parse([{ kind: 'shadow' }, ...weights.map((weight) => ({ kind: 'canary', weight }))]),
  project: { n: 1, hash: 'a'.repeat(64) },
  workflowId: 'rollout-churn',
  runId: 'run',
  by: 'ana',
  allowUnverified: false,
  was: 1,
});
const check = (rollout: OpenRollout, stage = 0) => createCheckUnits(context).checkUnits(rollout, stage, iso(T0));

/** Answers at a time, of which one customer has so many. */
const traffic = (n: number, ofOne: number, atMs: number, more: Partial<Answer> = {}): Answer[] =>
  Array.from({ length: n }, (_, i) =>
    answer(`${atMs}-${i}`, { unit: i < ofOne ? 'ana@example.com' : `user-${i % 200}`, answeredMs: atMs + i, ...more }),
  );

describe('checkUnits', () => {
  it('refuses a canary when one unit has over a fifth of its share, and does not say which', async () => {
    await upload(context.stores.bucket, T0 - HOUR_MS, traffic(1500, 30, T0 - HOUR_MS));
    const says = await check(rolloutOf(0.05, 0.5));
    expect(says).toMatchObject({
      ok: false,
      because: expect.stringContaining('one unit has 30 (2 %) of 1,500 answers') as string,
    });
    expect(JSON.stringify(says)).not.toContain('example.com');
    expect(await check(rolloutOf(0.1, 0.5))).toMatchObject({ ok: true });
    // The canary that is next counts.
    expect(await check(rolloutOf(0.05, 0.5), 2)).toMatchObject({ ok: true });
  });

  it('reads hours that were compacted and hours that were not, of seven days and of its own model', async () => {
    const bucket = context.stores.bucket;
    await upload(bucket, T0 - 8 * DAY_MS, traffic(3000, 3000, T0 - 8 * DAY_MS));
    await upload(bucket, T0 - 6 * DAY_MS, traffic(1000, 20, T0 - 6 * DAY_MS));
    await upload(bucket, T0 - 6 * DAY_MS, traffic(3000, 3000, T0 - 6 * DAY_MS, { model: 'fraud' }), 'b2');
    expect((await keepHouse(context, iso(T0))).closed).toHaveLength(2);
    await upload(bucket, T0 - 60_000, traffic(1000, 20, T0 - 60_000));
    expect(await check(rolloutOf(0.2))).toEqual({
      ok: true,
      line: 'the largest unit has 2 % of 2,000 answers since 2026-11-18 09:30; a canary of 20 % bears up to 4 %',
    });
  });

  it('takes a request that is its own unit for one, however many rows it has', async () => {
    const rows = Array.from({ length: 1200 }, (_, row) => answer('batch', { row, answeredMs: T0 - HOUR_MS }));
    await upload(context.stores.bucket, T0 - HOUR_MS, rows);
    expect(await check(rolloutOf(0.05))).toMatchObject({ ok: true });
  });

  it('goes on, and says so, where too little was answered', async () => {
    expect(await check(rolloutOf(0.05))).toMatchObject({
      ok: true,
      line: expect.stringContaining('0 answers') as string,
    });
    await upload(context.stores.bucket, T0 - HOUR_MS, traffic(999, 999, T0 - HOUR_MS));
    expect(await check(rolloutOf(0.05))).toMatchObject({
      ok: true,
      line: expect.stringContaining('999 answers since 2026-11-24 08:30; judged from 1,000 on') as string,
    });
  });

  it('has nothing to check without a canary stage', async () => {
    expect(await check(rolloutOf())).toEqual({ ok: true, line: 'there is no canary stage' });
  });
});

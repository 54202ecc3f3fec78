import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Context } from '../../../activities/context.ts';
import { createPlanTrial } from '../../../activities/rollout/plan-trial.ts';
import { createPrepareTwins } from '../../../activities/rollout/twins.ts';
import { openStores, Twins, writeSegment } from '../../../bucket/index.ts';
import { Random } from '../../../numerics/index.ts';
import {
  ShadowStage,
  type ModelVersion,
  type OpenRollout,
  type PlannedTrial,
  type PlanningEvidence,
  type Twin,
} from '../../../schemas/index.ts';
import { answer, DAY_MS, label } from '../../sql/log-records.ts';
import { run, trainVersion } from './trained-versions.ts';

const LINEAR = { training: { algorithm: 'linear', seed: 7 } };
const NOW = '2025-01-03T00:00:00.000Z';

let folder: string;
let context: Context;
let linear: ModelVersion;
let boosted: ModelVersion;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-plan-'));
  const stores = await openStores({ bucket: `file:${join(folder, 'bucket')}`, home: folder });
  context = { stores, home: folder, build: { commit: 'x', dirty: false, node: 'x', packages: {} } };
  linear = await trainVersion(context, 'linear', { spec: LINEAR, asOf: '2024-06-01' });
  boosted = await trainVersion(context, 'boosted', { asOf: '2024-06-01' });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const rolloutOf = (version: ModelVersion, champion: number, stage: Partial<ShadowStage> = {}): OpenRollout => ({
  model: version.model,
  version: version.n,
  champion,
  stages: [ShadowStage.parse({ kind: 'shadow', ...stage })],
  project: version.project,
  workflowId: `rollout-${version.model}`,
  runId: 'run-1',
  by: 'ana',
  allowUnverified: false,
  was: 1,
});

const twinsOf = (rollout: OpenRollout): Promise<Twin[]> => run(createPrepareTwins(context).prepareTwins, rollout);
const planned = (rollout: OpenRollout, twins: Twin[], now = NOW): Promise<PlannedTrial> =>
  run(createPlanTrial(context).planTrial, rollout, 0, twins, now);
const recordOf = async ({ model, n }: ModelVersion) => (await new Twins(context.stores.bucket).read(model, n, 1))!;
const evidenceOf = async ({ ref }: PlannedTrial) =>
  (await context.stores.looks.read(ref.key))!.evidence as PlanningEvidence;

describe('a twin', () => {
  it('of a recipe with chance is that recipe under another seed; it is trained once', async () => {
    const rollout = rolloutOf(boosted, linear.n);
    const [one, two] = await twinsOf(rollout);
    expect([one!.seed, two!.seed]).toEqual([1007, 2007]);
    expect((await recordOf(boosted)).how).toBe('reseeded');
    expect(new Set([one!.onnx, two!.onnx, boosted.onnx.sha256]).size).toBe(3);
    expect(Math.abs(one!.testLoss - two!.testLoss)).toBeLessThan(0.1);
    const own = boosted.metrics.find(({ on }) => on === 'test')!.metrics as { logLoss: number };
    expect(Math.abs(one!.testLoss - own.logLoss)).toBeLessThan(0.1);
    // Brier asks the same record.
    const [again] = await twinsOf(rolloutOf(boosted, 1, { loss: 'brier' }));
    expect(again).toEqual({ ...one, testLoss: (await recordOf(boosted)).testLosses.brier });
    const left: string[] = [];
    for await (const { key } of context.stores.bucket.list('runs/small/boosted/')) left.push(key);
    expect(left).toEqual([]);
  });

  it('of a recipe without chance is fitted on its training weeks, drawn again', async () => {
    const [one, two] = await twinsOf(rolloutOf(linear, boosted.n));
    expect(await recordOf(linear)).toMatchObject({ seed: 1007, how: 'weeks drawn again' });
    expect(one!.onnx).not.toBe(two!.onnx);
    expect(one!.testLoss).not.toBe(two!.testLoss);
  });

  it('trained anew from the same sealed rows is the same to the byte', async () => {
    const { bucket } = context.stores;
    const before = await twinsOf(rolloutOf(boosted, linear.n));
    await bucket.remove(`twins/small/${boosted.n}/2.json`);
    const again = await twinsOf(rolloutOf(boosted, linear.n));
    expect(again).toEqual(before);
  });

  it('of a version whose run is not here is none, if the stage says its minimum effect; else that is asked for', async () => {
    const { n } = await context.stores.versions.create({
      ...boosted,
      run: 'elsewhere',
      cause: { ...boosted.cause, runId: 'elsewhere' },
    });
    const elsewhere = { ...boosted, n };
    expect(await twinsOf(rolloutOf(elsewhere, linear.n, { minimumEffect: 0.01 }))).toEqual([]);
    await expect(twinsOf(rolloutOf(elsewhere, linear.n))).rejects.toThrow(/Give the shadow stage a minimumEffect/);
  });
});

describe('a plan', () => {
  it('is reckoned on backtest rows while there is no log: effect, blocks, seeds, placebo trials', async () => {
    const rollout = rolloutOf(boosted, linear.n);
    const twins = await twinsOf(rollout);
    const plan = await planned(rollout, twins);
    const evidence = await evidenceOf(plan);
    expect(evidence).toMatchObject({ kind: 'plan', on: 'backtest', placebo: { on: 'backtest', trials: 500 } });
    // Visits end in the first days of December.
    expect(evidence.blocks).toBeGreaterThan(24);
    expect(evidence.blocks).toBeLessThan(29);
    expect(evidence.placebo!.weeks).toBe(evidence.blocks);
    expect(evidence.sdOfBlocks).toBeGreaterThan(0);
    expect(evidence.effect).not.toBeNull();
    expect(evidence.seeds.map(({ seed }) => seed)).toEqual([7, 1007, 2007]);
    const losses = evidence.seeds.map(({ testLoss }) => testLoss);
    expect(evidence.minimumEffect).toBeCloseTo(Math.max(...losses) - Math.min(...losses), 12);
    expect(evidence.strata.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(evidence.strata.find(({ share }) => share > 0)!.daysToMature).toBeCloseTo(7, 6);
    expect(evidence.placebo!.byWeek).toBeLessThanOrEqual(0.15);
    expect(plan.plan).toMatchObject({
      kind: 'shadow',
      champion: linear.n,
      challenger: boosted.n,
      from: '2024-06-01T00:00:00.000Z',
      loss: 'logLoss',
      minimumEffect: evidence.minimumEffect,
      logTime: false,
      strataEdgesDays: boosted.strataEdgesDays,
    });
    expect(plan.plan.tightestAt).toBe(evidence.tightestAt);
    expect(plan.line).toMatch(/placebo trials by request \d+ %, by day \d+ %, by week \d+ %/);

    const bytes = await context.stores.bucket.read(plan.ref.key);
    expect(await planned(rollout, twins)).toEqual(plan);
    expect(await context.stores.bucket.read(plan.ref.key)).toEqual(bytes);
  });

  it('is reckoned on the model’s own log once that reaches over 16 weeks', async () => {
    const rollout = rolloutOf(boosted, linear.n);
    const twins = await twinsOf(rollout);
    const random = new Random(3);
    const records = Array.from({ length: 600 }, (_, i) => {
      const eventMs = Date.parse('2024-06-03T12:00:00Z') + Math.floor((i / 600) * 17 * 7) * DAY_MS;
      const pages = Math.floor(random.float() * 40);
      const inputs = { pages, spent: null, channel: 'mail', visited_on: new Date(eventMs).toISOString().slice(0, 10) };
      const of = { model: 'small', eventMs, answeredMs: eventMs, maturesMs: eventMs + 7 * DAY_MS, inputs };
      const bought = random.float() < 1 / (1 + Math.exp(-(pages - 20) / 8));
      return [
        answer(`r${i}`, of),
        label(`l${i}`, { model: 'small', requestId: `r${i}`, value: bought, knownMs: eventMs }),
      ];
    });
    const uploadedMs = Date.parse('2024-12-01T12:00:00Z');
    const upload = (from: number, to: number) =>
      writeSegment(context.stores.bucket, records.slice(from, to).flat(), {
        boot: `${uploadedMs + from}-00000000`,
        now: uploadedMs + from,
      });
    await upload(0, 500);
    const short = await evidenceOf(await planned(rollout, twins, '2025-01-03T00:00:10.000Z'));
    expect(short.on).toBe('backtest');
    await upload(500, 600);
    const { ref, line } = await planned(rollout, twins, '2025-01-03T00:00:11.000Z');
    const evidence = (await context.stores.looks.read(ref.key))!.evidence as PlanningEvidence;
    expect(evidence).toMatchObject({ on: 'log', blocks: 17, placebo: { on: 'log', weeks: 17 } });
    expect(evidence.rowsPerBlock).toBeCloseTo(600 / 17, 9);
    expect(line).toContain('(by the log)');
  });

  it('has a band that does not depend on how far champion and challenger are apart on the rows of the trial', async () => {
    const sure = { minimumEffect: 0.001, worthFinding: 0.01 };
    const twins = await twinsOf(rolloutOf(boosted, linear.n));
    const plans = [linear.n, boosted.n].map((champion, i) =>
      planned(rolloutOf(boosted, champion, sure), twins, `2025-01-03T00:00:0${6 + i}.000Z`),
    );
    const [apart, same] = await Promise.all(plans);
    const [one, other] = [await evidenceOf(apart!), await evidenceOf(same!)];
    expect(one.effect).not.toBe(other.effect);
    expect(one.expectedBlocks).not.toBe(other.expectedBlocks);
    expect(one.tightestAt).toBeGreaterThan(16);
    expect(apart!.plan.tightestAt).toBe(same!.plan.tightestAt);
  });

  it('that cannot decide within its time is refused, with what would help', async () => {
    const rollout = rolloutOf(boosted, linear.n, { minimumEffect: 1e-5, worthFinding: 0.001, maxDuration: '12 weeks' });
    const { ref } = await planned(rollout, [], '2025-01-03T00:00:01.000Z');
    expect(ref).toMatchObject({ kind: 'plan', verdict: { says: 'fail' } });
    expect(ref.verdict.because).toMatch(/worthFinding/);
  });

  it('takes what the stage says; without twins there are no placebo trials', async () => {
    const stage = { minimumEffect: 0.01, worthFinding: 0.5, tightestAt: 20, from: '2024-07-01' };
    const { plan, ref } = await planned(rolloutOf(boosted, linear.n, stage), [], '2025-01-03T00:00:02.000Z');
    expect(plan).toMatchObject({ minimumEffect: 0.01, tightestAt: 20, from: '2024-07-01T00:00:00.000Z' });
    expect(ref.verdict.says).toBe('pass');
    expect((await context.stores.looks.read(ref.key))!.evidence).not.toHaveProperty('placebo');
  });

  it('falls back on test rows where nothing came later, and claims no effect on rows that the champion has seen', async () => {
    const late = await trainVersion(context, 'late', { asOf: '2025-01-01' });
    const rollout = rolloutOf(late, linear.n);
    const evidence = await evidenceOf(await planned(rollout, await twinsOf(rollout), '2025-01-03T00:00:03.000Z'));
    expect(evidence).toMatchObject({ on: 'test', placebo: { on: 'test' } });
    // The linear champion has seen none of these rows.
    expect(evidence.effect).not.toBeNull();
    const other = rolloutOf(boosted, late.n);
    const seen = await evidenceOf(await planned(other, await twinsOf(other), '2025-01-03T00:00:04.000Z'));
    expect(seen).toMatchObject({ on: 'test', effect: null });
  });

  it('that begins before the challenger’s labels end is refused in words', async () => {
    await expect(
      planned(rolloutOf(boosted, linear.n, { from: '2024-01-01' }), [], '2025-01-03T00:00:05.000Z'),
    ).rejects.toThrow(/version \d+ has seen labels until 2024-06-01.*Begin at that time or later/);
  });
});

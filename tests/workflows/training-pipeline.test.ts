import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Progress, Step } from '../../schemas/index.ts';
import { failureOf, startInProcess, type InProcess } from '../e2e/in-process.ts';
import { visits, writeSmallProject } from '../e2e/small-project.ts';

describe('trainingPipeline', () => {
  let gauntlet: InProcess;
  beforeAll(async () => {
    gauntlet = await startInProcess();
    await gauntlet.apply(await writeSmallProject(join(gauntlet.folder, 'small')));
  });
  afterAll(() => gauntlet?.stop());

  const keys = async (prefix = '') => {
    const all: string[] = [];
    for await (const { key } of gauntlet.stores.bucket.list(prefix)) all.push(key);
    return all;
  };

  it('takes a project to a version, with a record of the run and every step in one line', async () => {
    const result = await gauntlet.train({ model: 'small' });
    expect(result).toMatchObject({ outcome: 'registered', model: 'small', version: 1 });
    const version = (await gauntlet.stores.versions.read('small', 1))!;
    const run = (await gauntlet.stores.runs.read('small', result.run))!;
    expect(version.run).toBe(run.id);
    expect(run).toMatchObject({ outcome: 'registered', version: 1, seed: 7, project: { n: 1 }, overrides: {} });
    expect(run.parameters).toMatchObject({ algorithm: 'gradientBoosting', trees: 60, maxDepth: 3 });
    expect(run.build.commit).toMatch(/^[0-9a-f]{40}$|^unknown$/);
    expect(run.build.packages['onnxruntime-node']).toMatch(/^\d/);
    expect(run.curve).toHaveLength(60);
    expect(run.metrics.map(({ on }) => on)).toEqual(['valid', 'test']);
    expect(run.baseline.map(({ on }) => on)).toEqual(['test']);
    for (const [name, sha256] of Object.entries(run.artefacts)) {
      const bytes = await gauntlet.stores.objects.read(sha256);
      expect(createHash('sha256').update(bytes).digest('hex'), name).toBe(sha256);
    }
    expect(run.artefacts['model.onnx']).toBe(version.onnx.sha256);
    const progress = await gauntlet.env.client.workflow.getHandle('train-small').query<Progress>('progress');
    expect(progress.lines.map(({ step }) => step)).toEqual([
      'project',
      'ingest',
      'expectations',
      'rows',
      'split',
      'preprocess',
      'train',
      'baseline',
      'evaluate',
      'gate',
      'refit',
      'export',
      'register',
    ]);
    for (const { text } of progress.lines) expect(text).not.toContain('\n');
    // What the Temporal UI's User Metadata tab asks for.
    const { currentDetails } = await gauntlet.env.client.workflow
      .getHandle('train-small')
      .query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toContain('**register** small version 1');
  });

  it('gives the same dataset version, rows and model bytes again, and stores nothing twice', async () => {
    const before = await keys('objects/');
    const result = await gauntlet.train({ model: 'small' }, 'any-other-id');
    const [first, second] = await Promise.all([
      gauntlet.stores.versions.read('small', 1),
      gauntlet.stores.versions.read('small', result.version!),
    ]);
    expect(second!.onnx).toEqual(first!.onnx);
    expect(second!.rowsHash).toBe(first!.rowsHash);
    expect(await keys('datasets/')).toHaveLength(1);
    // The sealed rows are hashed by their content; their Parquet bytes are the same too, and so is every other part.
    expect(await keys('objects/')).toEqual(before);
  });

  it('pins the project: an edit that is applied while it runs changes nothing in flight', async () => {
    const folder = await writeSmallProject(join(gauntlet.folder, 'pinned'), { name: 'pinned' });
    await gauntlet.apply(folder);
    const handle = await gauntlet.start('trainingPipeline', 'train-pinned', { model: 'pinned' });
    await reaches(handle, (step) => step !== 'project');
    await writeSmallProject(folder, { name: 'pinned', spec: { training: { algorithm: 'linear' } } });
    const applied = await gauntlet.apply(folder);
    expect(applied).toMatchObject({ n: 2, changed: true });
    await handle.result();
    const version = (await gauntlet.stores.versions.newest('pinned'))!;
    expect(version.project.n).toBe(1);
    expect(version.algorithm).toBe('gradientBoosting');
  });

  it('halts before training where an expectation fails, naming it, the count and failing rows', async () => {
    const csv = visits(1500)
      .replace(/^(7,\d{4}-\d\d-\d\d),\d+,/m, '$1,900,')
      .replace(/^(9,\d{4}-\d\d-\d\d),\d+,/m, '$1,901,');
    await gauntlet.apply(await writeSmallProject(join(gauntlet.folder, 'dirty'), { name: 'dirty', csv }));
    const result = await gauntlet.train({ model: 'dirty' });
    expect(result).toMatchObject({ outcome: 'halted', stage: 'expectations' });
    expect(result.because).toMatch(/between\(pages, 0, 100\)/);
    expect(result.because).toMatch(/2 /);
    expect(result.because).toMatch(/900/);
    const run = (await gauntlet.stores.runs.read('dirty', result.run))!;
    expect(run).toMatchObject({ outcome: 'halted', halted: { stage: 'expectations' }, curve: [] });
    expect(run.expectations.filter(({ passed }) => !passed)).toHaveLength(1);
    expect(await gauntlet.stores.versions.list('dirty')).toEqual([]);
  });

  it('halts at the gate with a look that says why, and registers nothing', async () => {
    const evaluation = { gates: { atLeast: { auc: 0.999 } } };
    await gauntlet.apply(
      await writeSmallProject(join(gauntlet.folder, 'weak'), { name: 'weak', spec: { evaluation } }),
    );
    const result = await gauntlet.train({ model: 'weak' });
    expect(result).toMatchObject({
      outcome: 'halted',
      stage: 'gate',
      because: expect.stringContaining('at least 0.999 is asked') as string,
    });
    const run = (await gauntlet.stores.runs.read('weak', result.run))!;
    const look = (await gauntlet.stores.looks.read(run.look!))!;
    expect(look.verdict).toMatchObject({ says: 'fail', limitedBy: 'atLeast.auc' });
    expect(await gauntlet.stores.versions.list('weak')).toEqual([]);
  });

  it('takes overrides for one run, records them, and refuses what the description does not know', async () => {
    const result = await gauntlet.train({ model: 'small', overrides: { 'training.maxDepth': 2, 'training.trees': 5 } });
    const run = (await gauntlet.stores.runs.read('small', result.run))!;
    expect(run.parameters).toMatchObject({ maxDepth: 2, trees: 5 });
    expect(run.overrides).toEqual({ 'training.maxDepth': 2, 'training.trees': 5 });
    const failure = await failureOf(gauntlet.train({ model: 'small', overrides: { 'training.maxDeth': 2 } }));
    expect(failure).toMatchObject({ type: 'BadOverride', message: expect.stringContaining('maxDepth') as string });
  });

  it('fails at once for an unknown model, with the nearest names', async () => {
    const failure = await failureOf(gauntlet.train({ model: 'smal' }));
    expect(failure.type).toBe('UnknownModel');
    expect(failure.message).toContain('Did you mean small?');
  });

  it('fails at once for input that it cannot read, saying field, what came and an example', async () => {
    const handle = await gauntlet.start('trainingPipeline', 'bad-input', { modle: 'small' });
    const failure = await failureOf(handle.result());
    expect(failure.type).toBe('InvalidInput');
    expect(failure.message).toContain('modle');
    expect(failure.message).toContain('{"model": "hotel-cancellations"}');
    const nothing = await gauntlet.start('trainingPipeline', 'no-input', undefined);
    expect((await failureOf(nothing.result())).type).toBe('InvalidInput');
  });

  it('leaves sealed parts and no record where it is cancelled', async () => {
    await gauntlet.apply(
      await writeSmallProject(join(gauntlet.folder, 'slow'), {
        name: 'slow',
        rows: 8000,
        spec: { training: { algorithm: 'gradientBoosting', trees: 5000, maxDepth: 6, earlyStoppingRounds: 0 } },
      }),
    );
    const handle = await gauntlet.start('trainingPipeline', 'train-slow', { model: 'slow' });
    await reaches(handle, (step) => step === 'train');
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow('cancelled');
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    expect((await keys('runs/slow/')).filter((key) => key.endsWith('.json'))).toEqual([]);
    expect(await keys('versions/slow/')).toEqual([]);
  });

  it('trains multiclass and regression models from YAML and SQL alone', async () => {
    const sql = (label: string) =>
      `SELECT visit_id AS entity, visited_on AS predicted_at, ${label} AS label, visited_on + 7 AS known_at, pages, spent, channel, visited_on FROM visits`;
    await gauntlet.apply(
      await writeSmallProject(join(gauntlet.folder, 'kinds'), {
        name: 'kinds',
        sql: sql(`CASE WHEN pages > 25 THEN 'many' WHEN pages > 10 THEN 'some' ELSE 'few' END`),
        spec: { task: 'multiclass', evaluation: {} },
      }),
    );
    const kinds = await gauntlet.train({ model: 'kinds' });
    const version = (await gauntlet.stores.versions.read('kinds', kinds.version!))!;
    expect(version.classes).toEqual(['few', 'many', 'some']);
    expect(version.metrics.find(({ on }) => on === 'test')!.metrics).toMatchObject({
      accuracy: expect.any(Number) as number,
    });
    expect((version.metrics.find(({ on }) => on === 'test')!.metrics as { accuracy: number }).accuracy).toBeGreaterThan(
      0.95,
    );
    await gauntlet.apply(
      await writeSmallProject(join(gauntlet.folder, 'amount'), {
        name: 'amount',
        sql: sql('pages * 2.5 + 1'),
        spec: { task: 'regression', evaluation: {} },
      }),
    );
    const amount = await gauntlet.train({ model: 'amount' });
    const regression = (await gauntlet.stores.versions.read('amount', amount.version!))!;
    expect((regression.metrics.find(({ on }) => on === 'test')!.metrics as { r2: number }).r2).toBeGreaterThan(0.95);
  });

  it('starts the rollout where it is asked to, and the first version serves', async () => {
    await gauntlet.apply(await writeSmallProject(join(gauntlet.folder, 'served'), { name: 'served' }));
    const result = await gauntlet.train({ model: 'served', promote: true });
    expect(result.rollout).toBe('rollout-served');
    await gauntlet.env.client.workflow.getHandle('rollout-served').result();
    expect((await gauntlet.stores.serving.current('served'))!.serving).toMatchObject({ champion: result.version });
    const second = await gauntlet.train({ model: 'served', promote: true });
    expect(second.rollout).toBeUndefined();
    expect(second.because).toContain('needs stages');
    expect((await gauntlet.stores.serving.current('served'))!.serving).toMatchObject({ champion: result.version });
  });
});

async function reaches(handle: WorkflowHandle, isThere: (step: Step) => boolean): Promise<void> {
  while (!isThere((await handle.query<Progress>('progress')).step)) await new Promise((done) => setTimeout(done, 20));
}

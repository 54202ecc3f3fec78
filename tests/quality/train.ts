import { MockActivityEnvironment } from '@temporalio/testing';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPipelineActivities, createTrainingActivities } from '../../activities/index.ts';
import { applyProject } from '../../activities/project/apply.ts';
import { readProjectFolder } from '../../activities/project/read-folder.ts';
import { openStores } from '../../bucket/index.ts';
import type { Run } from '../../schemas/index.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Takes a project from its folder to a run's record by the pipeline's own activities, in the pipeline's order, without
 * a server. The gate is not asked: the figures are what is tested.
 *
 * @param project  folder below the project's root
 * @param data     Parquet file, if the folder does not have its own
 */
export async function trainProject(project: string, data?: string): Promise<Run> {
  const home = await mkdtemp(join(tmpdir(), 'gauntlet-quality-'));
  try {
    const folder = join(home, 'project');
    await mkdir(folder);
    await cp(join(root, project), folder, { recursive: true });
    if (data) await cp(join(root, data), join(folder, data.split('/').at(-1)!));

    const stores = await openStores({ bucket: `file:${join(home, 'bucket')}`, home });
    const context = { stores, home, build: { commit: 'unknown', dirty: false, node: process.version, packages: {} } };
    const steps = { ...createPipelineActivities(context), ...createTrainingActivities(context) };
    const environment = new MockActivityEnvironment();
    const run = <Args extends unknown[], Result>(step: (...args: Args) => Promise<Result>, ...args: Args) =>
      environment.run<Args, Result, typeof step>(step, ...args);

    const now = new Date();
    const { model } = await applyProject(stores, await readProjectFolder(folder), { by: 'tests', dryRun: false, now });
    const at = now.toISOString();
    const cause = { workflowId: 'tests', runId: 'tests', step: 'record' };

    const ref = await run(steps.planRun, { model, run: 'quality', now: at });
    const { datasets } = await run(steps.ingest, ref, at);
    const expected = await run(steps.checkExpectations, ref, datasets);
    if (!expected.passed) throw new Error(expected.reason);
    const rows = await run(steps.sealTrainingRows, ref, datasets);
    const { split } = await run(steps.splitTrainingRows, ref, rows);
    const head = await run(steps.fitHead, ref, rows, split, 'first');
    const first = await run(steps.train, ref, rows, split, head.preprocessing, 'first');
    const baseline = await run(steps.fitBaseline, ref, rows, split, 'first');
    const { evaluation } = await run(steps.evaluate, ref, rows, split, first, baseline);
    let backtest: string | undefined;
    if (ref.backtest) {
      const again = await run(steps.fitHead, ref, rows, split, 'refit');
      const served = await run(steps.train, ref, rows, split, again.preprocessing, 'refit', first.rounds);
      const linear = await run(steps.fitBaseline, ref, rows, split, 'refit');
      ({ backtest } = await run(steps.backtest, ref, rows, split, evaluation, served, linear));
    }
    await run(
      steps.recordRun,
      ref,
      {
        datasets,
        expectations: expected.results,
        rows,
        split,
        first,
        baseline,
        evaluation,
        ...(backtest && { backtest }),
      },
      { outcome: 'registered', version: 1 },
      cause,
      at,
      at,
    );
    return (await stores.runs.read(model, 'quality'))!;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/** Versions of a small model, trained by the pipeline's own activities. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from '../../../activities/context.ts';
import { createPipelineActivities, createTrainingActivities } from '../../../activities/index.ts';
import { applyProject } from '../../../activities/project/apply.ts';
import { readProjectFolder } from '../../../activities/project/read-folder.ts';
import type { ModelVersion } from '../../../schemas/index.ts';
import { writeSmallProject, type SmallProject } from '../../e2e/small-project.ts';

const run = <Args extends unknown[], Result>(step: (...args: Args) => Promise<Result>, ...args: Args) =>
  new MockActivityEnvironment().run<Args, Result, typeof step>(step, ...args);

/** Applies the project and takes it through the pipeline, gate aside; the first fit serves unless `refit`. */
export async function trainVersion(
  context: Context,
  id: string,
  o: SmallProject & { asOf?: string } = {},
): Promise<ModelVersion> {
  const { stores, home } = context;
  const folder = join(home, `project-${id}`);
  await mkdir(folder);
  await writeSmallProject(folder, o);
  const { model } = await applyProject(stores, await readProjectFolder(folder), {
    by: 'tests',
    dryRun: false,
    now: new Date('2025-01-02T00:00:00Z'),
  });
  const steps = { ...createPipelineActivities(context), ...createTrainingActivities(context) };
  const now = '2025-01-02T00:00:00.000Z';
  const ref = await run(steps.planRun, { model, run: id, now, ...(o.asOf !== undefined && { asOf: o.asOf }) });
  const { datasets } = await run(steps.ingest, ref, now);
  const rows = await run(steps.sealTrainingRows, ref, datasets);
  const { split } = await run(steps.splitTrainingRows, ref, rows);
  const fitted = async (fit: 'first' | 'refit', rounds?: number) => {
    const { preprocessing } = await run(steps.fitHead, ref, rows, split, fit);
    return run(steps.train, ref, rows, split, preprocessing, fit, rounds);
  };
  const first = await fitted('first');
  const { evaluation } = await run(steps.evaluate, ref, rows, split, first, undefined);
  const served = ref.refit ? await fitted('refit', first.rounds) : first;
  const { onnx } = await run(steps.exportGraph, ref, served);
  const cause = { workflowId: `train-${model}`, runId: id, step: 'register' };
  const parts = { datasets, rows, split, first, served, evaluation, onnx };
  const { version } = await run(steps.register, ref, parts, cause, now);
  await run(steps.recordRun, ref, parts, { outcome: 'registered', version }, { ...cause, step: 'record' }, now, now);
  return (await stores.versions.read(model, version))!;
}

export { run };

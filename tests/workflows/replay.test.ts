import { mkdir, mkdtemp, readFile, readdir, rm, writeFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, Worker, bundleWorkflowCode } from '@temporalio/worker';
import { describe, expect, it, vi } from 'vitest';
import { WORKFLOWS_PATH } from '../../workers/create-workers.ts';
import { shared } from '../../workers/temporal/index.ts';

vi.setConfig({ testTimeout: 180_000 }); // bundling and replaying fill a core

const HISTORIES = fileURLToPath(new URL('../histories', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const bundle = (workflowsPath: string) =>
  bundleWorkflowCode({
    workflowsPath,
    payloadConverterPath: shared.dataConverter.payloadConverterPath,
    plugins: shared.plugins,
    logger: new DefaultLogger('ERROR'),
  });

async function histories(): Promise<{ name: string; workflowId: string; history: unknown }[]> {
  const files = (await readdir(HISTORIES)).filter((name) => name.endsWith('.json')).sort();
  return Promise.all(
    files.map(async (name) => {
      const { workflowId, history } = JSON.parse(await readFile(join(HISTORIES, name), 'utf8')) as {
        workflowId: string;
        history: object;
      };
      return { name, workflowId, history };
    }),
  );
}

describe('golden histories', () => {
  it('are there for every workflow and every way it ends', async () => {
    expect((await histories()).map(({ name }) => name)).toEqual([
      'housekeeping-hour-not-closed.json',
      'housekeeping.json',
      'import-labels-imported.json',
      'import-labels-refused.json',
      'promotion-forced.json',
      'promotion-needs-stages.json',
      'promotion-promoted.json',
      'rollback.json',
      'rollout-approval-expired.json',
      'rollout-approval-rejected.json',
      'rollout-approval-reopened.json',
      'rollout-bake-rolled-back.json',
      'rollout-blind.json',
      'rollout-canary-held.json',
      'rollout-canary-rolled-back-by-hand.json',
      'rollout-canary-rolled-back.json',
      'rollout-canary-steered.json',
      'rollout-cancelled.json',
      'rollout-overtaken.json',
      'rollout-promoted-through-all-stages.json',
      'rollout-shadow-no-data.json',
      'rollout-shadow-open.json',
      'rollout-shadow-plan-refused.json',
      'rollout-shadow-rejected.json',
      'rollout-shadow-trial-passed.json',
      'rollout-signed.json',
      'rollout-units-checked.json',
      'rollout-units-refused.json',
      'rollout-unsigned-words.json',
      'training-pipeline-halted-at-expectations.json',
      'training-pipeline-halted-at-gate.json',
      'training-pipeline-promoted.json',
      'training-pipeline-registered.json',
      'training-pipeline-unknown-model.json',
    ]);
  });

  it('replay with the code of today', async () => {
    const workflowBundle = await bundle(WORKFLOWS_PATH);
    for (const { name, workflowId, history } of await histories())
      await expect(
        Worker.runReplayHistory({ ...shared, workflowBundle }, history, workflowId),
        name,
      ).resolves.toBeUndefined();
  });

  it.each([
    [
      'training-pipeline-registered',
      'training-pipeline.ts',
      'steps.evaluate.executeWith',
      'steps.lookAtGate.executeWith',
    ],
    ['rollout-shadow-open', 'stages.ts', 'await sleepUntil(trial.nextLookMs,', 'await sleepUntil(0,'],
    ['rollout-promoted-through-all-stages', 'stages.ts', '      mark({ stage: stage.kind });\n', ''],
  ])('do not replay with a step changed (%s): this test can fail', async (name, file, from, to) => {
    await changed(
      `workflows/${file}`,
      (source) => source.replace(from, to),
      async (workflowBundle) => {
        const { workflowId, history } = (await histories()).find((one) => one.name === `${name}.json`)!;
        await expect(Worker.runReplayHistory({ ...shared, workflowBundle }, history, workflowId)).rejects.toThrow(
          /[Nn]ondeterminism/,
        );
      },
    );
  });

  it('of an open trial replay with other thresholds: those of policies are in no workflow, and the plan is pinned', async () => {
    const other = (source: string) =>
      source
        .replace('alpha: Alpha.default(0.05)', 'alpha: Alpha.default(0.01)')
        .replace('.default(0.1)', '.default(0.5)');
    await changed('schemas/stage.ts', other, async (workflowBundle) => {
      expect(workflowBundle.code).not.toContain('function judgeShadow');
      for (const { name, workflowId, history } of (await histories()).filter(({ name }) => name.startsWith('rollout-')))
        await expect(
          Worker.runReplayHistory({ ...shared, workflowBundle }, history, workflowId),
          name,
        ).resolves.toBeUndefined();
    });
  });
});

/** A bundle of the workflows with one file changed. */
async function changed(
  file: string,
  change: (source: string) => string,
  use: (bundle: Awaited<ReturnType<typeof bundleWorkflowCode>>) => Promise<void>,
): Promise<void> {
  // Inside the project, so that the copy finds the packages.
  await mkdir(join(ROOT, '.gauntlet'), { recursive: true });
  const mutant = await mkdtemp(join(ROOT, '.gauntlet', 'mutant-'));
  try {
    for (const folder of ['workflows', 'schemas'])
      await cp(join(ROOT, folder), join(mutant, folder), { recursive: true });
    const source = await readFile(join(mutant, file), 'utf8');
    const mutated = change(source);
    expect(mutated).not.toBe(source);
    await writeFile(join(mutant, file), mutated);
    await use(await bundle(join(mutant, 'workflows', 'index.ts')));
  } finally {
    await rm(mutant, { recursive: true, force: true });
  }
}

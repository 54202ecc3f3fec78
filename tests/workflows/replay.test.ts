import { mkdir, mkdtemp, readFile, readdir, rm, writeFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, Worker, bundleWorkflowCode } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';
import { WORKFLOWS_PATH } from '../../workers/create-workers.ts';
import { shared } from '../../workers/temporal/index.ts';

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

  it('do not replay with a step left out: this test can fail', async () => {
    // Inside the project, so that the copy finds the packages.
    await mkdir(join(ROOT, '.gauntlet'), { recursive: true });
    const mutant = await mkdtemp(join(ROOT, '.gauntlet', 'mutant-'));
    try {
      for (const folder of ['workflows', 'schemas'])
        await cp(join(ROOT, folder), join(mutant, folder), { recursive: true });
      const path = join(mutant, 'workflows', 'training-pipeline.ts');
      const source = await readFile(path, 'utf8');
      const changed = source.replace(/steps\.evaluate\.executeWithOptions/, 'steps.lookAtGate.executeWithOptions');
      expect(changed).not.toBe(source);
      await writeFile(path, changed);
      const workflowBundle = await bundle(join(mutant, 'workflows', 'index.ts'));
      const { workflowId, history } = (await histories()).find(
        ({ name }) => name === 'training-pipeline-registered.json',
      )!;
      await expect(Worker.runReplayHistory({ ...shared, workflowBundle }, history, workflowId)).rejects.toThrow(
        /[Nn]ondeterminism/,
      );
    } finally {
      await rm(mutant, { recursive: true, force: true });
    }
  });
});

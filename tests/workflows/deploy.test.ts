import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { shared } from '../../workers/temporal/index.ts';
import { SHADOW, stages, startLab, until, type Lab } from './rollout-lab.ts';

vi.setConfig({ testTimeout: 180_000 }); // bundling and replaying fill a core

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A build of the workflows in which the source of stages.ts is changed, as a commit would. */
async function build(
  folder: string,
  name: string,
  change?: (source: string) => string,
): Promise<WorkflowBundleWithSourceMap> {
  const to = join(folder, name);
  for (const part of ['workflows', 'schemas']) await cp(join(ROOT, part), join(to, part), { recursive: true });
  if (change) {
    const path = join(to, 'workflows', 'stages.ts');
    const source = await readFile(path, 'utf8');
    const changed = change(source);
    expect(changed).not.toBe(source);
    await writeFile(path, changed);
  }
  return bundleWorkflowCode({
    workflowsPath: join(to, 'workflows', 'index.ts'),
    payloadConverterPath: shared.dataConverter.payloadConverterPath,
    plugins: shared.plugins,
    logger: new DefaultLogger('ERROR'),
  });
}

/** The next build says that a trial begins, before it is planned. */
const STEP = "await remind.executeWithOptions({ summary: 'A trial begins' }, [open, { text: 'a trial begins' }]);";
const before = (source: string) => source.replace("  state.state = 'planning';\n", `$&  ${STEP}\n`);
const guarded = (source: string) =>
  before(source)
    .replace(STEP, `if (patched('say-that-a-trial-begins')) ${STEP}`)
    .replace('  proxyActivities,\n', '  patched,\n$&');

describe('a deploy in the middle of a three-week trial', () => {
  let folder: string;
  let lab: Lab;
  const builds: Record<string, WorkflowBundleWithSourceMap> = {};
  beforeAll(async () => {
    // Inside the project, so that the copies find the packages.
    await mkdir(join(ROOT, '.gauntlet'), { recursive: true });
    folder = await mkdtemp(join(ROOT, '.gauntlet', 'builds-'));
    builds['now'] = await build(folder, 'now');
    builds['next'] = await build(folder, 'next', guarded);
    // Without a cache every task is replayed whole, and none waits for a worker that has gone.
    lab = await startLab({ bundle: builds['now'], worker: { maxCachedWorkflows: 0 } });
  });
  afterAll(async () => {
    await lab?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const threeWeeks = (day: number) => (day < 21 ? 'undecided' : 'pass');
  const activities = async (handle: Awaited<ReturnType<Lab['start']>>) =>
    (await handle.fetchHistory()).events!.flatMap(
      ({ activityTaskScheduledEventAttributes: scheduled }) => scheduled?.activityType?.name ?? [],
    );

  it('that adds a step behind patched() ends under the new build what began under the old one', async () => {
    await lab.deploy(builds['now']!);
    const { asked } = await lab.model('deployed', { look: threeWeeks });
    const handle = await lab.start('deployed', { stages: stages(SHADOW) });
    await until(async () => {
      await lab.skipLook(handle);
      return asked.filter(({ activity }) => activity === 'lookAtTrial').length >= 10;
    });
    await lab.deploy(builds['next']!);
    expect(await lab.result(handle)).toMatchObject({ outcome: 'promoted' });
    const done = await activities(handle);
    expect(done.filter((name) => name === 'lookAtTrial')).toHaveLength(22);
    expect(done).not.toContain('remind');
    // One that begins under the new build takes the new step.
    await lab.model('newer', { look: threeWeeks });
    const newer = await lab.start('newer', { stages: stages(SHADOW) });
    expect(await lab.result(newer)).toMatchObject({ outcome: 'promoted' });
    expect(await activities(newer)).toContain('remind');
  });
});

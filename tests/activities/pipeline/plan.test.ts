import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPlanRun, readPlan } from '../../../activities/pipeline/plan.ts';
import { applyProject } from '../../../activities/project/apply.ts';
import { readProjectFolder } from '../../../activities/project/read-folder.ts';
import { openStores } from '../../../bucket/index.ts';
import { piiHasher } from '../../../onnx/index.ts';
import type { Context } from '../../../activities/context.ts';
import { readBuild } from '../../../workers/build.ts';
import { expectGoldenError } from '../../golden/errors.ts';
import { writeSmallProject } from '../../e2e/small-project.ts';

let home: string;
let context: Context;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'gauntlet-test-'));
  context = {
    stores: await openStores({ bucket: `file:${join(home, 'bucket')}`, home }),
    home,
    build: await readBuild(),
    pii: piiHasher('a secret of text, 30 bytes long'),
  };
});
afterAll(() => rm(home, { recursive: true, force: true }));

const apply = async (name: string, spec: Record<string, unknown>) => {
  const folder = await writeSmallProject(join(home, name), { name, rows: 10, spec });
  return applyProject(context.stores, await readProjectFolder(folder), { by: 'tests', dryRun: false, now: new Date() });
};
const plan = (model: string, overrides: Record<string, unknown> = {}, given = context) =>
  createPlanRun(given).planRun({ model, run: 'r', now: '2025-01-01T00:00:00.000Z', overrides });

describe('a label with a window', () => {
  it('matures at its end, and a changed window moves that, in a project as in one run', async () => {
    await apply('windowed', { label: { window: '30 days' } });
    const { spec } = (await context.stores.projects.newest('windowed'))!;
    expect(spec.label.maturesAt).toBe('predicted_at + 30 days');
    const { changes } = await apply('windowed', { label: { window: '60 days' } });
    expect(changes).toEqual([
      'label.window: 30 days -> 60 days',
      'label.maturesAt: predicted_at + 30 days -> predicted_at + 60 days',
    ]);

    const { graph } = await readPlan(context, await plan('windowed'));
    expect(graph.maturesAt).toBe('predicted_at + 60 days');
    const shorter = await readPlan(context, await plan('windowed', { 'label.window': '7 days' }));
    expect([shorter.spec.label.window, shorter.graph.maturesAt]).toEqual(['7 days', 'predicted_at + 7 days']);
  });

  it('keeps a maturesAt of its own', async () => {
    await apply('windowed', { label: { window: '60 days', maturesAt: 'visited_on + 90 days' } });
    const { graph } = await readPlan(context, await plan('windowed', { 'label.window': '7 days' }));
    expect(graph.maturesAt).toBe('visited_on + 90 days');
  });
});

describe('a model with personal values', () => {
  const inputs = { pages: { type: 'integer' }, channel: { type: 'string', nullable: true, pii: true } };

  it('is applied without a key, and refused before anything of it is read for training', async () => {
    await apply('personal', { inputs, derived: {}, evaluation: {}, rows: { entity: 'visit_id', entityPii: true } });
    await expectGoldenError('pii-no-key-training', () => plan('personal', {}, { ...context, pii: undefined }));
    expect((await plan('personal')).model).toBe('personal');
  });

  it('cannot be bared by an override', async () => {
    await expectGoldenError('pii-override', () => plan('personal', { 'inputs.channel.pii': false }));
  });
});

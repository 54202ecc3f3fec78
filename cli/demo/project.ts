import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';
import { parseModelSpec } from '../../activities/project/parse.ts';
import { readProjectFolder, type ReadFolder } from '../../activities/project/read-folder.ts';
import type { Stage } from '../../schemas/index.ts';

export const EXAMPLE = fileURLToPath(new URL('../../examples/hotel-cancellations', import.meta.url));

/** A stage as model.yaml has it: defaults may be left out. */
export type GivenStage = { kind: Stage['kind'] } & Record<string, unknown>;

/**
 * The example as the demo applies it: requests may say when they happened, outcomes come as feedback and by no schedule,
 * and nobody knows the months after asOf yet (no backtest).
 */
export async function demoProject(stages: readonly GivenStage[], folder = EXAMPLE): Promise<ReadFolder> {
  const project = await readProjectFolder(folder);
  const imported = project.spec.label.import?.sql;
  const model = parseDocument(Buffer.from(project.files.get('model.yaml') as Uint8Array).toString('utf8'));
  model.setIn(['serving', 'allowEventTime'], true);
  model.deleteIn(['label', 'import']);
  model.delete('backtest');
  model.setIn(['rollout', 'stages'], stages);
  const text = String(model);
  const files = new Map(project.files).set('model.yaml', new TextEncoder().encode(text));
  if (imported !== undefined) files.delete(imported);
  return { spec: parseModelSpec(text, 'model.yaml'), files };
}

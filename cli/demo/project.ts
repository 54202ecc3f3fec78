import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';
import { readProjectFolder, type ReadFolder } from '../../activities/project/read-folder.ts';
import { parseModelSpec } from '../../activities/project/parse.ts';
import type { Stage } from '../../schemas/index.ts';

export const EXAMPLE = fileURLToPath(new URL('../../examples/hotel-cancellations', import.meta.url));
export const MODEL = 'hotel-cancellations';

/** Everything is as of this day: what was known then trains both models, and what came after is played. */
export const AS_OF = '2016-07-01';
/** Later bookings are in the data only if they were for soon, so they are no fair traffic. */
export const LAST = '2017-03-01';

/** A trial of weeks in minutes: looks every second, by the time of the log. The canaries and the bake are in real time. */
export const STAGES: readonly Stage[] = [];

/**
 * The example as the demo applies it: requests may say when they happened, outcomes come as feedback and by no schedule,
 * and nobody knows the months after asOf yet (no backtest).
 */
export async function demoProject(stages: unknown, folder = EXAMPLE): Promise<ReadFolder> {
  const project = await readProjectFolder(folder);
  const model = parseDocument(Buffer.from(project.files.get('model.yaml') as Uint8Array).toString('utf8'));
  const imported = project.spec.label.import?.sql;
  model.setIn(['serving', 'allowEventTime'], true);
  model.deleteIn(['label', 'import']);
  model.delete('backtest');
  model.setIn(['rollout', 'stages'], stages);
  const text = String(model);
  const files = new Map(project.files).set('model.yaml', new TextEncoder().encode(text));
  if (imported !== undefined) files.delete(imported);
  return { spec: parseModelSpec(text, join(folder, 'model.yaml')), files };
}

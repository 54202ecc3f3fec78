/**
 * Records golden histories: node --import tsx tests/workflows/record-histories.ts [name ...]
 * With names, only those are written.
 *
 * Run it when a workflow is new or a new way to end is added. A history that no longer replays is never recorded anew
 * to make a test pass: open workflows have such histories too, and need patched().
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { execFile } from 'node:child_process';
import { rowsKey } from '../../bucket/index.ts';
import { ModelSpec } from '../../schemas/index.ts';
import { upload } from '../activities/housekeeping/log-bucket.ts';
import { project, spec as churn } from '../bucket/examples.ts';
import { temporalBinary } from '../servers/temporal.ts';
import { startInProcess } from '../e2e/in-process.ts';
import { recordRollouts } from './record-rollouts.ts';
import { visits, writeSmallProject } from '../e2e/small-project.ts';
import { answer, DAY_MS } from '../sql/log-records.ts';

const TO = fileURLToPath(new URL('../histories', import.meta.url));
const names = process.argv.slice(2);
await mkdir(TO, { recursive: true });
await recordRollouts(async (name, workflowId, history) => {
  if (names.length === 0 || names.includes(name)) await keep(name, workflowId, history);
});
if (names.length > 0 && names.every((name) => name.startsWith('rollout-'))) process.exit(0);
const gauntlet = await startInProcess();

async function record(name: string, type: string, workflowId: string, input: unknown): Promise<void> {
  const handle = await gauntlet.start(type, workflowId, input);
  await handle.result().catch(() => {});
  if (names.length > 0 && !names.includes(name)) return;
  const { stdout } = await promisify(execFile)(
    await temporalBinary(),
    ['workflow', 'show', '--output', 'json', '--workflow-id', workflowId, '--address', gauntlet.env.address],
    { maxBuffer: 64e6 },
  );
  const history = JSON.parse(stdout) as { events: unknown[] };
  await keep(name, workflowId, history);
}

async function keep(name: string, workflowId: string, history: { events: unknown[] }): Promise<void> {
  await writeFile(join(TO, `${name}.json`), JSON.stringify({ workflowId, history }, withoutPaths, 1) + '\n');
  process.stdout.write(`${name}: ${history.events.length} events\n`);
}

try {
  const { bucket, logHours } = gauntlet.stores;
  const kept = ModelSpec.parse({ ...churn, label: {}, retention: { logDays: 7 } });
  await gauntlet.stores.projects.create({ ...project('a'.repeat(64)), spec: kept });
  for (const day of [1, 20]) await upload(bucket, Date.now() - day * DAY_MS, [answer(`r${day}`), 'broken']);
  await record('housekeeping', 'housekeeping', 'housekeeping', {});
  const [hour] = (await logHours.list()).filter(({ manifests }) => manifests.length === 1);
  await bucket.remove(rowsKey('churn', hour!.hour, 1));
  await bucket.create(rowsKey('churn', hour!.hour, 1), new TextEncoder().encode('damaged'));
  await upload(bucket, Date.parse(hour!.hour) + 1, [answer('late')], 'late');
  await record('housekeeping-hour-not-closed', 'housekeeping', 'housekeeping', {});
  const spec = { training: { algorithm: 'gradientBoosting', trees: 5, maxDepth: 2, earlyStoppingRounds: 0 } };
  await gauntlet.apply(
    await writeSmallProject(join(gauntlet.folder, 'small'), { spec: { ...spec, backtest: { until: '2025-06-01' } } }),
  );
  await gauntlet.apply(
    await writeSmallProject(join(gauntlet.folder, 'weak'), {
      name: 'weak',
      spec: { ...spec, evaluation: { gates: { atLeast: { auc: 0.999 } } } },
    }),
  );
  const dirty = visits(1500).replace(/^(7,\d{4}-\d\d-\d\d),\d+,/m, '$1,900,');
  await gauntlet.apply(await writeSmallProject(join(gauntlet.folder, 'dirty'), { name: 'dirty', csv: dirty, spec }));

  await record('training-pipeline-registered', 'trainingPipeline', 'train-small', { model: 'small' });
  await record('promotion-promoted', 'promotion', 'rollout-small', { model: 'small', version: 1 });
  await record('training-pipeline-halted-at-gate', 'trainingPipeline', 'train-weak', { model: 'weak' });
  await record('training-pipeline-halted-at-expectations', 'trainingPipeline', 'train-dirty', { model: 'dirty' });
  await record('training-pipeline-unknown-model', 'trainingPipeline', 'train-smal', { model: 'smal' });
  await gauntlet.train({ model: 'small', overrides: { 'training.trees': 4 } });
  await record('promotion-needs-stages', 'promotion', 'rollout-small', { model: 'small', version: 2 });
  await record('promotion-forced', 'promotion', 'rollout-small', {
    model: 'small',
    version: 2,
    force: true,
    reason: 'history',
  });
  await record('rollback', 'rollback', 'rollback-small', { model: 'small', by: 'ana', reason: 'history' });
  await gauntlet.apply(await writeSmallProject(join(gauntlet.folder, 'served'), { name: 'served', spec }));
  await record('training-pipeline-promoted', 'trainingPipeline', 'train-served', { model: 'served', promote: true });

  const labelled = join(gauntlet.folder, 'labelled');
  const label = { maturesAt: 'predicted_at + 7 days', import: {} };
  await writeSmallProject(labelled, { name: 'labelled', spec: { ...spec, label } });
  const sql =
    'SELECT visit_id AS entity, visited_on AS happened_at, bought AS label, visited_on + 7 AS known_at FROM visits';
  await writeFile(join(labelled, 'labels.sql'), sql);
  await gauntlet.apply(labelled);
  await record('import-labels-imported', 'importLabels', 'import-labels-labelled', {
    model: 'labelled',
    asOf: '2024-06-01',
  });
  await writeFile(join(labelled, 'labels.sql'), sql.replace('bought', 'bougth'));
  await gauntlet.apply(labelled);
  await record('import-labels-refused', 'importLabels', 'import-labels-labelled', { model: 'labelled' });
} finally {
  await gauntlet.stop();
}

/** Stack traces name folders of the machine that recorded; replay does not read them. */
function withoutPaths(key: string, value: unknown): unknown {
  return key === 'stackTrace' && typeof value === 'string' ? value.split('\n    at ')[0] : value;
}

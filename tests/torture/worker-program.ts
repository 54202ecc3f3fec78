/** Both workers, as workers/start.ts has them; argv is its bucket, its home, Temporal's address and the bundle of workflows. */
import { readFile } from 'node:fs/promises';
import type { WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { openStores } from '../../bucket/index.ts';
import { readBuild } from '../../workers/build.ts';
import { createPipelineWorker, createTrainingWorker } from '../../workers/create-workers.ts';
import { executionStateOf } from '../../workers/execution-state.ts';
import { logTemporal, openLog } from '../../workers/log.ts';
import { connect, connectWorker } from '../../workers/temporal/index.ts';

const [bucket, home, address, bundle] = process.argv.slice(2) as [string, string, string, string];
logTemporal(openLog(home));
const server = { address, namespace: 'default' };
const { client } = await connect(server);
const context = {
  stores: await openStores({ bucket, home }),
  home,
  build: await readBuild(),
  executionState: executionStateOf(client),
  embedded: true,
};
const o = { connection: await connectWorker(server), namespace: server.namespace, context };
const workers = [
  await createPipelineWorker({
    ...o,
    bundle: JSON.parse(await readFile(bundle, 'utf8')) as WorkflowBundleWithSourceMap,
  }),
  await createTrainingWorker(o),
];
process.on('disconnect', () => process.exit(1)); // nobody is left whom it could work for
await Promise.all(workers.map((worker) => worker.run()));

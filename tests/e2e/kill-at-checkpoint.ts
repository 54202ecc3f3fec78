import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { applyProject } from '../../activities/project/apply.ts';
import { readProjectFolder } from '../../activities/project/read-folder.ts';
import { openStores } from '../../bucket/index.ts';
import { TASK_QUEUE, type TrainingPipelineResult } from '../../schemas/index.ts';
import { connect } from '../../workers/temporal/index.ts';
import { launch, until } from './kill-process.ts';
import { writeSmallProject } from './small-project.ts';

const CRASHING = fileURLToPath(new URL('./crashing-process.ts', import.meta.url));
const MODEL = 'checkpointed';
const KILL_AFTER_CHECKPOINT = 2;

export interface Resumed {
  onnx: { undisturbed: string; killed: string };
  /** First tree that each attempt of the first fit grew, in order, by the log. */
  firstTrees: number[];
  checkpointsLeft: number;
}

/** Trains once undisturbed, and once killed from outside as soon as the second checkpoint is in the bucket. */
export async function killAtCheckpoint(o: { folder: string; address: string; seed: number }): Promise<Resumed> {
  const project = await writeSmallProject(join(o.folder, 'checkpointed'), {
    name: MODEL,
    rows: 6000,
    spec: {
      training: { algorithm: 'gradientBoosting', trees: 1000, maxDepth: 5, earlyStoppingRounds: 0, seed: o.seed },
    },
  });
  const connected = await connect({ address: o.address, namespace: 'default' }, {});
  try {
    const run = async (name: string, isKilled: boolean) => {
      const home = join(o.folder, name);
      await mkdir(home);
      const bucket = `file:${join(home, 'bucket')}`;
      const stores = await openStores({ bucket, home });
      await applyProject(stores, await readProjectFolder(project), { by: 'tests', dryRun: false, now: new Date() });
      const start = () =>
        launch(['--import', 'tsx', CRASHING], {
          printTo: join(home, 'printed.log'),
          env: { GAUNTLET_HOME: home, GAUNTLET_BUCKET: bucket, TEMPORAL_ADDRESS: o.address },
        });
      let program = start();
      const handle = await connected.client.workflow.start('trainingPipeline', {
        taskQueue: TASK_QUEUE,
        workflowId: `${MODEL}-${name}-${o.seed}`,
        args: [{ model: MODEL }],
      });
      const checkpoints = async () => {
        const keys: string[] = [];
        for await (const { key } of stores.bucket.list(`runs/${MODEL}/`))
          if (key.includes('/checkpoints/')) keys.push(key);
        return keys;
      };
      if (isKilled) {
        const isThere = async () =>
          (await checkpoints()).some((key) => key.endsWith(`/first/checkpoints/${KILL_AFTER_CHECKPOINT}`)) || undefined;
        await until(isThere, {
          withinMs: 120_000,
          otherwise: () => `no second checkpoint:\n${program.printed().slice(-2000)}`,
        });
        await program.end('SIGKILL');
        program = start();
      }
      const result = (await handle.result()) as TrainingPipelineResult;
      await program.end('SIGKILL');
      const version = (await stores.versions.read(MODEL, result.version!))!;
      const log = await readFile(join(home, 'logs', 'gauntlet.log'), 'utf8');
      const firstTrees = log
        .split('\n')
        .filter((line) => line.includes('"firstTree"'))
        .map((line) => JSON.parse(line) as { fit: string; firstTree: number })
        .filter(({ fit }) => fit === 'first')
        .map(({ firstTree }) => firstTree);
      return { onnx: version.onnx.sha256, firstTrees, left: (await checkpoints()).length };
    };
    const undisturbed = await run('undisturbed', false);
    const killed = await run('killed', true);
    return {
      onnx: { undisturbed: undisturbed.onnx, killed: killed.onnx },
      firstTrees: killed.firstTrees,
      checkpointsLeft: killed.left,
    };
  } finally {
    await connected.close();
  }
}

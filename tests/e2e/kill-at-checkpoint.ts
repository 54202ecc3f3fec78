import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { applyProject } from '../../activities/project/apply.ts';
import { readProjectFolder } from '../../activities/project/read-folder.ts';
import { openStores } from '../../bucket/index.ts';
import { TASK_QUEUE, type TrainingPipelineResult } from '../../schemas/index.ts';
import { connect } from '../../workers/temporal/index.ts';
import { launchWorkers, until, whileAlive, type Program } from './kill-process.ts';
import { writeSmallProject } from './small-project.ts';

const MODEL = 'checkpointed';
const CHECKPOINT = 2;

export interface CheckpointedRun {
  onnx: string;
  /** First tree that each attempt of the first fit grew, in order, by the log. */
  firstTrees: number[];
  checkpointsLeft: number;
  versions: number;
  seconds: number;
}

/** Does its harm to the process, or to what it depends on, and gives the process that works from then on. */
export type Harm = (program: Program, startAgain: () => Program) => Promise<Program>;

export const killProcess: Harm = async (program, startAgain) => {
  await program.end('SIGKILL');
  return startAgain();
};

/** Trains a model in a home and bucket of its own; the harm is done once the second checkpoint is in the bucket. */
export async function trainWithCheckpoints(o: {
  folder: string;
  address: string;
  seed: number;
  name: string;
  harm?: Harm;
}): Promise<CheckpointedRun> {
  const began = Date.now();
  const home = join(o.folder, o.name);
  await mkdir(home);
  const bucket = `file:${join(home, 'bucket')}`;
  const stores = await openStores({ bucket, home });
  const project = await readProjectFolder(
    await writeSmallProject(join(o.folder, 'project'), {
      name: MODEL,
      rows: 6000,
      spec: {
        training: { algorithm: 'gradientBoosting', trees: 1000, maxDepth: 5, earlyStoppingRounds: 0, seed: o.seed },
      },
    }),
  );
  await applyProject(stores, project, { by: 'tests', dryRun: false, now: new Date() });
  const checkpoints = async () => {
    const keys: string[] = [];
    for await (const { key } of stores.bucket.list(`runs/${MODEL}/`)) if (key.includes('/checkpoints/')) keys.push(key);
    return keys;
  };
  const start = () => launchWorkers({ home, bucket, address: o.address });
  const connected = await connect({ address: o.address, namespace: 'default' }, {});
  let program = start();
  try {
    const handle = await connected.client.workflow.start('trainingPipeline', {
      taskQueue: TASK_QUEUE,
      workflowId: `${MODEL}-${o.name}`,
      args: [{ model: MODEL }],
    });
    if (o.harm) {
      const isThere = async () =>
        (await checkpoints()).some((key) => key.endsWith(`/first/checkpoints/${CHECKPOINT}`)) || undefined;
      await until(isThere, {
        withinMs: 120_000,
        otherwise: () => `no second checkpoint:\n${program.printed().slice(-2000)}`,
      });
      program = await o.harm(program, start);
    }
    const result = await whileAlive(program, handle.result() as Promise<TrainingPipelineResult>);
    await program.end('SIGKILL');
    const version = (await stores.versions.read(MODEL, result.version!))!;
    const log = await readFile(join(home, 'logs', 'gauntlet.log'), 'utf8');
    return {
      onnx: version.onnx.sha256,
      firstTrees: log
        .split('\n')
        .filter((line) => line.includes('"firstTree"'))
        .map((line) => JSON.parse(line) as { fit: string; firstTree: number })
        .filter(({ fit }) => fit === 'first')
        .map(({ firstTree }) => firstTree),
      checkpointsLeft: (await checkpoints()).length,
      versions: (await stores.versions.list(MODEL)).length,
      seconds: (Date.now() - began) / 1000,
    };
  } finally {
    await program.end('SIGKILL');
    await connected.close();
  }
}

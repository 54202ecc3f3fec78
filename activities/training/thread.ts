/** Runs one trainer away from the event loop, so that its process goes on heartbeating and answering. */
import { parentPort, workerData } from 'node:worker_threads';
import { Booster, fitLinear } from '../../numerics/index.ts';
import type { TrainingJob, TrainingMessage } from './train-in-thread.ts';

const job = workerData as TrainingJob;
const say = (message: TrainingMessage): void => parentPort!.postMessage(message);

if (job.trainer === 'linear') {
  say({ kind: 'done', model: fitLinear(job.objective, job.parameters, job.train) });
} else {
  const { objective, parameters, train, valid, checkpoint, checkpointEvery } = job;
  const booster = new Booster(objective, parameters, train, valid, checkpoint);
  let first = true;
  while (!booster.done) {
    const point = booster.step();
    if (first) say({ kind: 'started', tree: point.tree });
    first = false;
    say({ kind: 'progress', point });
    if ((point.tree + 1) % checkpointEvery === 0 && !booster.done)
      say({ kind: 'checkpoint', tree: point.tree, state: booster.checkpoint() });
  }
  const { model, rounds, curve } = booster.finish();
  say({ kind: 'done', model, rounds, curve });
}

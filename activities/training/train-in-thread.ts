import { Worker } from 'node:worker_threads';
import type { BoostingData, BoostingParameters, TrainedModel } from '../../numerics/index.ts';
import type { CurvePoint } from '../../schemas/index.ts';

interface Objective {
  task: 'binary' | 'multiclass' | 'regression';
  classes?: number;
}

export type TrainingJob =
  | {
      trainer: 'gradientBoosting';
      objective: Objective;
      parameters: BoostingParameters;
      train: BoostingData;
      valid?: BoostingData;
      checkpoint?: Uint8Array;
      /** Rounds between checkpoints. */
      checkpointEvery: number;
    }
  | { trainer: 'linear'; objective: Objective; parameters: { l2: number; maxIterations: number }; train: BoostingData };

export type TrainingMessage =
  | { kind: 'started'; tree: number }
  | { kind: 'progress'; point: CurvePoint }
  | { kind: 'checkpoint'; tree: number; state: Uint8Array }
  | { kind: 'done'; model: TrainedModel; rounds?: number; curve?: CurvePoint[] };

export interface Trained {
  model: TrainedModel;
  rounds?: number;
  curve?: CurvePoint[];
}

/**
 * Trains in a worker thread of its own.
 *
 * @param hear   called for every message before `done`, in order; a promise is waited for before the next
 * @param signal ends the thread: the trainers are plain JavaScript, so that is safe at any point
 */
export async function trainInThread(
  job: TrainingJob,
  hear: (message: TrainingMessage) => void | Promise<void>,
  signal?: AbortSignal,
): Promise<Trained> {
  signal?.throwIfAborted();
  // Not thread.ts itself: a thread has no loader for TypeScript until it registers its own.
  const worker = new Worker(new URL('./thread.js', import.meta.url), { workerData: job, execArgv: [] });
  try {
    return await new Promise<Trained>((resolve, reject) => {
      let heard: Promise<void> = Promise.resolve();
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      worker.on('error', reject);
      worker.on('exit', (code) => {
        // The thread may end while a message before its last is still being heard.
        const ended = () => reject(new Error(`the training thread ended with code ${code} before it was done`));
        heard.then(ended, ended);
      });
      worker.on('message', (message: TrainingMessage) => {
        heard = heard.then(async () => {
          if (message.kind === 'done') resolve(message);
          else await hear(message);
        });
        heard.catch(reject);
      });
    });
  } finally {
    await worker.terminate();
  }
}

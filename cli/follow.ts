import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../api/client.ts';
import type { Training } from '../api/control/shapes.ts';
import { ApiProblem, ApiUnreachable } from '../api/client.ts';
import { createBar } from './bar.ts';
import { figure } from './output.ts';

const POLL_MS = 500;
/** A restart of the API or of Temporal is waited out; longer than this it is gone. */
const PATIENCE_MS = 30_000;

/**
 * Follows a training to its end: each finished step as a line, a bar under them for what is under way.
 * The workflow goes on whether or not it is followed.
 *
 * @throws {DOMException} AbortError, by the signal
 */
export async function followTraining(
  client: Client,
  workflowId: string,
  line: (text: string) => void,
  signal?: AbortSignal,
): Promise<Training> {
  const bar = createBar();
  let lines = 0;
  let waiting = '';
  let lastAnswer = Date.now();
  const wait = () => sleep(POLL_MS, undefined, { ...(signal && { signal }) });
  for (;;) {
    let training: Training;
    try {
      training = await client.training(workflowId);
      lastAnswer = Date.now();
    } catch (error) {
      const passing = error instanceof ApiUnreachable || (error instanceof ApiProblem && error.status === 503);
      if (!passing || Date.now() - lastAnswer > PATIENCE_MS) throw error;
      await wait();
      continue;
    }
    const finished = training.progress?.lines ?? [];
    if (finished.length > lines || (training.waiting ?? '') !== waiting) bar.clear();
    for (const { step, text } of finished.slice(lines)) line(`${step.padEnd(12)} ${text}`);
    lines = Math.max(lines, finished.length);
    if (training.waiting && training.waiting !== waiting) line(`waiting: ${training.waiting}`);
    waiting = training.waiting ?? '';
    if (training.status !== 'running') {
      bar.clear();
      return training;
    }
    showActivity(bar, training);
    await wait();
  }
}

function showActivity(bar: ReturnType<typeof createBar>, training: Training): void {
  const step = training.progress?.step ?? '';
  for (const { heartbeat, attempt, lastFailure } of training.activities) {
    if (!heartbeat) continue;
    const { done, of, curve } = heartbeat;
    const loss = curve?.validLoss ?? curve?.trainLoss;
    const words = [
      step,
      `${done}/${of}`,
      loss === undefined ? '' : `${curve?.validLoss === undefined ? 'train' : 'valid'} loss ${figure(loss)}`,
      attempt > 1 ? `attempt ${attempt}${lastFailure ? ` (${lastFailure})` : ''}` : '',
    ];
    bar.set(done, of, words.filter(Boolean).join('  '));
  }
}

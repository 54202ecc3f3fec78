/**
 * npm run torture -- pipeline [--seeds 5] [--seed 3, for that one alone]
 *
 * For each seed: kills a pipeline's process, Temporal's server, and both, after the second checkpoint of a training;
 * then the process once in every step; and holds what is left against a run that nobody disturbed. Eight minutes a seed.
 */
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../../numerics/index.ts';
import { runKilled, runUndisturbed } from './kill-each-step.ts';
import { killProcess, trainWithCheckpoints, type Harm } from './kill-at-checkpoint.ts';
import { KillableServer } from './kill-server.ts';

const HEARTBEAT_TIMEOUT_MS = 15_000;

const { values, positionals } = parseArgs({
  options: { seeds: { type: 'string', default: '5' }, seed: { type: 'string' } },
  allowPositionals: true,
});
if (positionals.some((what) => what !== 'pipeline'))
  throw new Error(`What is tortured is the pipeline: npm run torture -- pipeline --seeds 5 (not ${positionals[0]})`);

const say = (line: string) => void process.stdout.write(`${line}\n`);
let failed = 0;

function hold(isRight: boolean, seed: number, line: string): void {
  say(`seed ${seed}: ${line}: ${isRight ? 'nothing differs' : 'IT DIFFERS'}`);
  if (!isRight) failed++;
}

async function tortureTraining(folder: string, server: KillableServer, seed: number): Promise<void> {
  await mkdir(folder);
  const random = new Random(seed);
  /** Short of the heartbeat timeout, or beyond it. */
  const away = [random.float() * HEARTBEAT_TIMEOUT_MS * 0.5, HEARTBEAT_TIMEOUT_MS * (1 + random.float() * 0.5)];
  const killServer =
    (downMs: number): Harm =>
    async (program) => {
      await server.kill();
      await sleep(downMs);
      await server.start();
      return program;
    };
  const killBoth: Harm = async (program, startAgain) => {
    await Promise.all([program.end('SIGKILL'), server.kill()]);
    await server.start();
    return startAgain();
  };
  const harms: [string, Harm][] = [
    ['the process', killProcess],
    ...away.map((ms): [string, Harm] => [`Temporal, away for ${(ms / 1000).toFixed(1)} s`, killServer(ms)]),
    ['the process and Temporal', killBoth],
  ];
  const o = { folder, address: server.address, seed };
  const undisturbed = await trainWithCheckpoints({ ...o, name: 'undisturbed' });
  for (const [i, [what, harm]] of harms.entries()) {
    const run = await trainWithCheckpoints({ ...o, name: `harm-${i}`, harm });
    const restarted = run.firstTrees.slice(1);
    hold(
      run.onnx === undisturbed.onnx &&
        run.versions === 1 &&
        run.checkpointsLeft === 0 &&
        run.firstTrees[0] === 0 &&
        restarted.every((tree) => tree > 0) &&
        (!what.includes('process') || restarted.length > 0),
      seed,
      `killed ${what} after checkpoint 2, ${restarted.length > 0 ? `went on at tree ${restarted.join(' and ')}` : 'trained on'}, ${run.seconds.toFixed(0)} s (undisturbed ${undisturbed.seconds.toFixed(0)} s)`,
    );
  }
}

async function tortureSteps(folder: string, server: KillableServer, seed: number): Promise<void> {
  await mkdir(folder);
  const o = { folder, address: server.address };
  const undisturbed = await runUndisturbed({ ...o, name: 'undisturbed' });
  const killed = await runKilled({ ...o, name: 'killed', seed, durations: undisturbed.durations, say });
  hold(
    isDeepStrictEqual(killed.outcome, undisturbed.outcome) && killed.outcome.onnx.length === 1,
    seed,
    `killed the process ${killed.kills.length} times, ${killed.seconds.toFixed(0)} s`,
  );
}

const only = values.seed === undefined ? undefined : Number(values.seed);
for (let seed = only ?? 1; seed <= (only ?? Number(values.seeds)); seed++) {
  const folder = await mkdtemp(join(tmpdir(), 'gauntlet-torture-'));
  const server = await KillableServer.start();
  try {
    await tortureTraining(join(folder, 'training'), server, seed);
    await tortureSteps(join(folder, 'steps'), server, seed);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
say(failed === 0 ? 'torture: nothing was lost, nothing done twice' : `torture: ${failed} trials failed`);
process.exitCode = failed === 0 ? 0 : 1;

/**
 * npm run torture -- [--seeds 5]
 *
 * Kills a pipeline's process after the second checkpoint of its training, and once in every step, for each seed, and
 * holds what is left against a run that nobody disturbed. Half an hour for five seeds.
 */
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevServer } from '../servers/temporal.ts';
import { killAtCheckpoint } from './kill-at-checkpoint.ts';
import { killInEachStep } from './kill-each-step.ts';

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '5' } } });
const say = (line: string) => void process.stdout.write(`${line}\n`);
let failed = 0;
for (let seed = 1; seed <= Number(values.seeds); seed++) {
  const folder = await mkdtemp(join(tmpdir(), 'gauntlet-torture-'));
  const server = await startDevServer();
  try {
    const [steps, checkpoint] = [join(folder, 'steps'), join(folder, 'checkpoint')];
    await mkdir(steps);
    await mkdir(checkpoint);
    const { onnx, firstTrees } = await killAtCheckpoint({ folder: checkpoint, address: server.address, seed });
    const resumed = onnx.killed === onnx.undisturbed && firstTrees[1]! > 0;
    say(
      `seed ${seed}: killed after checkpoint 2, went on at tree ${firstTrees[1]}: ${resumed ? 'the same bytes' : 'OTHER BYTES'}`,
    );
    const { reference, killed, kills, seconds } = await killInEachStep({
      folder: steps,
      address: server.address,
      seed,
      say,
    });
    const same = isDeepStrictEqual(killed, reference);
    say(
      `seed ${seed}: killed ${kills.length} times in ${seconds.killed.toFixed(0)} s: ${same ? 'nothing differs' : 'IT DIFFERS'}`,
    );
    if (!resumed || !same) failed++;
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
say(failed === 0 ? 'torture: nothing was lost, nothing done twice' : `torture: ${failed} seeds failed`);
process.exitCode = failed === 0 ? 0 : 1;

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDevServer } from '../servers/temporal.ts';
import { killProcess, trainWithCheckpoints } from './kill-at-checkpoint.ts';
import { killInEachStep } from './kill-each-step.ts';
import { nameOf, STEPS } from './kill-plan.ts';

// One seed here; `npm run torture` takes five.
const SEED = 1;

describe('a pipeline whose process is killed with -9 and started again', () => {
  let server: Awaited<ReturnType<typeof startDevServer>>;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gauntlet-kill-'));
    server = await startDevServer();
  });
  afterAll(async () => {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('after the second checkpoint of a training grows on from there, to the same model bytes', async () => {
    const o = { folder, address: server.address, seed: SEED };
    const undisturbed = await trainWithCheckpoints({ ...o, name: 'undisturbed' });
    const killed = await trainWithCheckpoints({ ...o, name: 'killed', harm: killProcess });
    expect(killed).toMatchObject({ onnx: undisturbed.onnx, versions: 1, checkpointsLeft: 0 });
    expect(undisturbed.firstTrees).toEqual([0]);
    expect(killed.firstTrees).toEqual([0, expect.any(Number)]);
    expect(killed.firstTrees[1]).toBeGreaterThan(0);
  }, 300_000);

  it('once in every step leaves what a run leaves that nobody disturbed', async () => {
    const say = (line: string) => void process.stdout.write(`${line}\n`);
    const { reference, killed, kills, attempts } = await killInEachStep({
      folder,
      address: server.address,
      seed: SEED,
      say,
    });
    expect(kills.map(({ step }) => step)).toEqual(STEPS);
    expect(killed).toEqual(reference);
    expect(killed.runs).toHaveLength(1);
    expect(killed.onnx).toHaveLength(1);
    // A step that was killed before its result was known was done again.
    const repeated = kills.filter(({ moment }) => moment !== 'reported').map(({ step }) => nameOf(step));
    expect(repeated.filter((step) => attempts.get(step)! < 2)).toEqual([]);
  }, 1_200_000);
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDevServer } from '../servers/temporal.ts';
import { killProcess, trainWithCheckpoints } from './kill-at-checkpoint.ts';
import { runKilled, runUndisturbed } from './kill-each-step.ts';
import { nameOf, STEPS } from './kill-plan.ts';

// One seed here; `npm run torture` takes five.
const SEED = 1;

describe('a pipeline whose process is killed with -9 and started again', () => {
  let servers: Awaited<ReturnType<typeof startDevServer>>[];
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gauntlet-kill-'));
    servers = await Promise.all([startDevServer(), startDevServer()]);
  });
  afterAll(async () => {
    await Promise.all((servers ?? []).map((server) => server.stop()));
    await rm(folder, { recursive: true, force: true });
  });

  it('after the second checkpoint of a training grows on from there, to the same model bytes', async () => {
    const o = { folder, seed: SEED };
    const [undisturbed, killed] = await Promise.all([
      trainWithCheckpoints({ ...o, address: servers[0]!.address, name: 'training' }),
      trainWithCheckpoints({ ...o, address: servers[1]!.address, name: 'training-killed', harm: killProcess }),
    ]);
    expect(killed).toMatchObject({ onnx: undisturbed.onnx, versions: 1, checkpointsLeft: 0 });
    expect(undisturbed.firstTrees).toEqual([0]);
    expect(killed.firstTrees).toEqual([0, expect.any(Number)]);
    expect(killed.firstTrees[1]).toBeGreaterThan(0);
  }, 300_000);

  it('once in every step leaves what a run leaves that nobody disturbed', async () => {
    const { outcome, durations } = await runUndisturbed({ folder, address: servers[0]!.address, name: 'calm' });
    expect(outcome).toMatchObject({ serving: { n: 1, champion: 1 }, keys: { runs: 1, looks: 1, versions: 1 } });
    // A killed step is missed for 15 seconds: two pipelines wait side by side, each killed in every other step.
    const halves = await Promise.all(
      servers.map(({ address }, half) =>
        runKilled({
          folder,
          address,
          name: `killed-${half}`,
          seed: SEED + half,
          durations,
          steps: STEPS.filter((_, i) => i % 2 === half),
          say: (line) => void process.stdout.write(`${line}\n`),
        }),
      ),
    );
    for (const killed of halves) expect(killed.outcome).toEqual(outcome);
    expect(halves.flatMap(({ kills }) => kills)).toHaveLength(STEPS.length);
    // A step that was killed before its result was known was done again.
    const again = halves.flatMap(({ kills, attempts }) =>
      kills
        .filter(({ moment }) => moment !== 'reported')
        .map(({ step }) => ({ step: nameOf(step), done: attempts.get(nameOf(step))! })),
    );
    expect(again.filter(({ done }) => done < 2)).toEqual([]);
  }, 900_000);
});

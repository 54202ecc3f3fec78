import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KilledRollout, type Harm, type Left } from './kill-rollout.ts';
import { KillableServer } from './kill-server.ts';

// KILL_ROLLOUT=long dies in every step of the machine, at each moment that tells something.
const isLong = process.env['KILL_ROLLOUT'] === 'long';

const amid = (activity: string, afterMs: number): Harm => ({ kill: { activity, moment: 'amid', afterMs } });
const after = (activity: string): Harm => ({ kill: { activity, moment: 'after' } });

/** A death is noticed after 15 seconds: two rollouts die side by side, each in other steps. */
const DEATHS: Record<string, Harm[]> = {
  planned: [after('planTrial'), amid('watch', 1_000), after('finishRollout')],
  looked: [after('lookAtTrial'), { killServerAt: 'approval' }, after('recordApproval'), { killPausedAt: 'canary' }],
};
if (isLong) {
  DEATHS['planned'] = [
    after('planRollout'),
    amid('prepareTwins', 300),
    amid('planTrial', 200),
    { kill: { activity: 'lookAtTrial', moment: 'before' } },
    { killAt: 'approval' },
    after('routeStage'),
    { killAt: 'canary' },
    { killServerAt: 'bake' },
    { kill: { activity: 'finishRollout', moment: 'before' } },
  ];
  DEATHS['looked'] = [
    after('prepareTwins'),
    after('planTrial'),
    { kill: { activity: 'lookAtTrial', moment: 'reported', afterMs: 20 } },
    { killServerAt: 'approval' },
    after('checkVote'),
    after('recordApproval'),
    amid('watch', 1_000),
    after('watch'),
    { killAt: 'bake' },
    { killPausedAt: 'bake' },
    after('finishRollout'),
  ];
}

describe('a rollout whose worker process is killed with -9 in each of its stages, and Temporal once', () => {
  let folder: string;
  const servers: KillableServer[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gauntlet-kill-rollout-'));
    servers.push(...(await Promise.all([KillableServer.start(), KillableServer.start(), KillableServer.start()])));
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await rm(folder, { recursive: true, force: true });
  });

  it('ends as one that nobody disturbs: one final revision, no look twice, nothing routed', async () => {
    const runs: Record<string, Harm[]> = { calm: [], ...DEATHS };
    const left = await Promise.all(
      Object.entries(runs).map(([name, harms], i) => KilledRollout.run({ folder, name, server: servers[i]!, harms })),
    );
    const expected: Left = {
      outcome: 'promoted',
      stage: 'bake',
      routed: [
        { step: 'claim', champion: 1, shadows: [], canary: undefined, held: true },
        { step: 'stage-2-route', champion: 1, shadows: [], canary: 0.5, held: true },
        { step: 'stage-3-route', champion: 2, previous: 1, shadows: [], canary: undefined, held: true },
        { step: 'promote', champion: 2, previous: 1, shadows: [], canary: undefined, held: false },
      ],
      looks: ['plan pass', 'shadow pass', 'approval pass'],
      watched: ['canary pass', 'bake pass'],
    };
    for (const one of left) expect(one).toEqual(expected);
  }, 600_000);
});

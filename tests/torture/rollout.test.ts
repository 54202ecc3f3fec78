import { expect, it } from 'vitest';
import { tortureRollouts } from './rollout.ts';

// Half a minute, one seed and a bucket in a directory; `npm run torture -- rollout` takes minutes, and kills an S3 server too.
it('rollouts keep their promises while replicas, challengers, the worker and Temporal are killed under traffic', async () => {
  const { counts, violations } = await tortureRollouts({ seed: 6, seconds: 30, rate: 60, say: () => {} });
  expect(violations).toEqual([]);
  // It was torture, and rollouts went through it.
  for (const deed of ['kill-replica', 'kill-worker', 'kill-temporal', 'rollouts that ended as promoted'])
    expect(counts[deed], deed).toBeGreaterThan(0);
}, 480_000);

import { expect, it } from 'vitest';
import { tortureServing } from './serving.ts';

// Ten seconds, one seed and a bucket in a directory; `npm run torture -- serving` takes minutes, and kills an S3 server too.
it('serving keeps its promises while replicas, challengers and housekeeping are killed under traffic', async () => {
  const { counts, violations } = await tortureServing({ seed: 97, seconds: 10, rate: 150, say: () => {} });
  expect(violations).toEqual([]);
  // It was torture, and there was something to lose.
  for (const deed of ['kill-replica', 'kill-challenger', 'canary', 'shadows', 'keep-house', 'labels acknowledged'])
    expect(counts[deed], deed).toBeGreaterThan(0);
}, 120_000);

import fc from 'fast-check';
import { Histogram } from 'prom-client';
import { expect, it } from 'vitest';
import { Seconds, SECONDS } from '../../../api/serving/seconds.ts';

it('counts as a histogram of prom-client does', async () => {
  const labels = { model: 'churn', version: '3', assigned: 'champion' };
  const seconds = fc.oneof(fc.double({ min: 0, max: 20, noNaN: true }), fc.constantFrom(0, ...SECONDS));
  await fc.assert(
    fc.asyncProperty(fc.array(seconds, { maxLength: 200 }), async (observed) => {
      const name = 'gauntlet_request_seconds';
      const theirs = new Histogram({
        name,
        help: 'x',
        labelNames: Object.keys(labels),
        buckets: SECONDS,
        registers: [],
      });
      const child = theirs.labels(labels);
      const ours = new Seconds();
      for (const one of observed) {
        child.observe(one);
        ours.observe(one);
      }
      theirs.zero(labels); // makes the series where nothing was observed
      for (const one of observed) child.observe(one);
      const { values } = await theirs.get();
      expect(ours.values(name, labels)).toEqual(
        values.map(({ metricName, labels, value }) => ({ metricName, labels, value })),
      );
    }),
    { numRuns: 100 },
  );
});

import type { MetricValue } from 'prom-client';

/** Ends of the buckets: from a tenth of a millisecond's graph to a request that waits. */
export const SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/**
 * Durations of one series, as a histogram of Prometheus has them. Counted here: what prom-client does for each
 * observation costs as much as reading a row.
 */
export class Seconds {
  private readonly counts = new Float64Array(SECONDS.length + 1);
  private sum = 0;

  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < SECONDS.length && seconds > SECONDS[bucket]!) bucket++;
    this.counts[bucket]!++;
    this.sum += seconds;
  }

  /** Each bucket with those below it, then sum and count. */
  values(name: string, labels: Record<string, string>): Named[] {
    let count = 0;
    const buckets = [...SECONDS, '+Inf'].map((le, i) => ({
      metricName: `${name}_bucket`,
      labels: { le, ...labels },
      value: (count += this.counts[i]!),
    }));
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}

type Named = MetricValue<string> & { metricName: string };

const MINUTES = 5;
const MINUTE_MS = 60_000;
/** Bucket i ends at 0.1 ms * 1.15^i: from 0.1 ms to 80 s, each 15 % wide. */
const BUCKETS = 98;
const GROWTH = Math.log(1.15);

/** Latencies of the last five minutes or so, as counts: a quantile is right to 15 %, and an observation costs nothing. */
export class LatencyWindow {
  private readonly minutes: { minute: number; counts: Uint32Array }[] = [];

  add(ms: number, nowMs: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS);
    let newest = this.minutes.at(-1);
    if (newest?.minute !== minute) {
      newest = { minute, counts: new Uint32Array(BUCKETS) };
      this.minutes.push(newest);
      if (this.minutes.length > MINUTES) this.minutes.shift();
    }
    const bucket = ms <= 0.1 ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(ms * 10) / GROWTH));
    newest.counts[bucket]!++;
  }

  /** Upper end of the bucket in which the quantile lies, in ms; undefined with fewer than 100 observations. */
  quantile(q: number, nowMs: number): number | undefined {
    const oldest = Math.floor(nowMs / MINUTE_MS) - MINUTES;
    const recent = this.minutes.filter(({ minute }) => minute > oldest);
    const total = recent.reduce((sum, { counts }) => sum + counts.reduce((a, b) => a + b, 0), 0);
    if (total < 100) return undefined;
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      for (const { counts } of recent) seen += counts[bucket]!;
      if (seen >= q * total) return 0.1 * Math.exp(GROWTH * bucket);
    }
    return undefined;
  }
}

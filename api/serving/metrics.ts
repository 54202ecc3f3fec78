import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { PredictionLog } from '../../bucket/index.ts';
import type { Failure } from '../../schemas/index.ts';
import type { Challenger } from './challenger/index.ts';
import type { Challengers } from './challengers.ts';
import type { Follower } from './follower.ts';
import { Seconds } from './seconds.ts';

export interface Observed {
  version: number;
  assigned: string;
  latencyMs: number;
  graphMs: number;
}

/** What /metrics says, in Prometheus' text. Names are a promise: dashboards and alerts rest on them. */
export class Metrics {
  private readonly registry = new Registry();
  private readonly requests: Counter;
  private readonly batch: Histogram;
  private readonly canaryFailures: Counter;
  private readonly feedback: Counter;
  private readonly labels: Counter;
  /** By model. */
  private readonly series = new Map<string, Series[]>();

  constructor(o: {
    follower: () => Follower;
    challengers: () => Challengers;
    challenger: Challenger;
    predictionLog: PredictionLog;
    now: () => number;
  }) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const byVersion = ['model', 'version', 'assigned'] as const;
    this.requests = new Counter({
      name: 'gauntlet_requests_total',
      help: 'Requests to predict, by the status of their answer; model and version are empty where none was reached.',
      labelNames: [...byVersion, 'status'],
      registers,
    });
    this.timed('gauntlet_request_seconds', 'From a request to its answer.', ({ latency }) => latency);
    this.timed('gauntlet_graph_seconds', 'The run of the graph that a request was in.', ({ graph }) => graph);
    this.batch = new Histogram({
      name: 'gauntlet_batch_rows',
      help: 'Rows that went through a champion at once.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
      registers,
    });
    this.canaryFailures = new Counter({
      name: 'gauntlet_canary_failures_total',
      help: 'Canary attempts that the champion answered instead.',
      labelNames: ['model', 'version', 'why'],
      registers,
    });
    this.feedback = new Counter({
      name: 'gauntlet_feedback_requests_total',
      help: 'Requests to feedback, by the status of their answer; model is empty where none was reached.',
      labelNames: ['model', 'status'],
      registers,
    });
    this.labels = new Counter({
      name: 'gauntlet_labels_total',
      help: 'Labels that were acknowledged.',
      labelNames: ['model'],
      registers,
    });

    const gauge = (name: string, help: string, labelNames: string[], collect: (gauge: Gauge) => void) =>
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          collect(this);
        },
      });
    /** A count that is kept elsewhere. */
    const counted = (name: string, help: string, labelNames: string[], collect: (counter: Counter) => void) =>
      new Counter({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          collect(this);
        },
      });
    const { challenger, predictionLog, now } = o;
    gauge('gauntlet_serving_revision', 'Last entry of the serving log that was read.', [], (g) => {
      const { revision } = o.follower().status();
      if (revision !== undefined) g.set(revision);
    });
    gauge('gauntlet_serving_log_failing', '1 while the serving log cannot be read: nothing new is followed.', [], (g) =>
      g.set(o.follower().status().bucketFailure ? 1 : 0),
    );
    gauge('gauntlet_model_age_seconds', 'Since the version that answers was registered.', ['model', 'version'], (g) => {
      for (const { model } of o.follower().serving())
        g.set(
          { model: model.version.model, version: model.version.n },
          (now() - Date.parse(model.version.createdAt)) / 1000,
        );
    });
    gauge('gauntlet_load_failed', '1 for a version that cannot be loaded here.', ['model', 'version'], (g) => {
      for (const { model, failures } of o.follower().status().models)
        for (const { version } of failures) g.set({ model, version }, 1);
      for (const { model, version, because } of o.challengers().status())
        if (because !== undefined) g.set({ model, version }, 1);
    });
    gauge(
      'gauntlet_breaker_open',
      '1 while a canary is not asked because it kept failing.',
      ['model', 'version'],
      (g) => {
        for (const { model, version, as, breaker } of o.challengers().status())
          if (as === 'canary') g.set({ model, version }, breaker === 'closed' ? 0 : 1);
      },
    );
    gauge('gauntlet_log_lag_rows', 'Records of the prediction log that are not in the bucket yet.', [], (g) =>
      g.set(predictionLog.lag().rows),
    );
    gauge('gauntlet_log_lag_seconds', 'Age of the oldest of them.', [], (g) =>
      g.set(predictionLog.lag().oldestMs / 1000),
    );
    gauge('gauntlet_log_spool_bytes', 'What waits on the local disk for the bucket.', [], (g) =>
      g.set(predictionLog.lag().spoolBytes),
    );
    counted(
      'gauntlet_log_shed_total',
      'What the log let go under pressure: shadow scores, inputs, answers.',
      ['what'],
      (c) => {
        for (const [what, n] of Object.entries(predictionLog.lag().shed)) c.inc({ what }, n);
      },
    );
    counted('gauntlet_shadow_dropped_total', 'Rows that no shadow scored, by reason.', ['reason'], (c) => {
      for (const [reason, n] of Object.entries(challenger.counts().shadowDropped)) c.inc({ reason }, n);
    });
    gauge('gauntlet_shadow_queue_rows', 'Rows that wait for a shadow.', [], (g) =>
      g.set(challenger.counts().shadowQueueRows),
    );
    counted('gauntlet_challenger_restarts_total', 'Deaths of the challenger process, by reason.', ['reason'], (c) => {
      for (const [reason, n] of Object.entries(challenger.counts().restarts)) c.inc({ reason }, n);
    });
    counted('gauntlet_challenger_abandoned_total', 'Answers of canaries that came after their deadline.', [], (c) =>
      c.inc(challenger.counts().abandoned),
    );
    gauge('gauntlet_challenger_resident_bytes', 'Memory of the challenger process.', [], (g) =>
      g.set(challenger.counts().rssBytes),
    );
  }

  /** A histogram whose counts are kept in the series. */
  private timed(name: string, help: string, of: (series: Series) => Seconds): void {
    const metric = {
      name,
      get: () => ({
        name,
        help,
        type: 'histogram',
        aggregator: 'sum',
        values: [...this.series.values()].flat().flatMap((series) => of(series).values(name, series.labels)),
      }),
    };
    // prom-client asks no more of a metric to write it down, but its types know only its own.
    this.registry.registerMetric(metric as unknown as Histogram);
  }

  answered(model: string, { version, assigned, latencyMs, graphMs }: Observed): void {
    let known = this.series.get(model);
    if (!known) this.series.set(model, (known = []));
    let series = known.find((one) => one.version === version && one.assigned === assigned);
    if (!series) known.push((series = new Series(model, version, assigned)));
    series.add(latencyMs / 1000, graphMs / 1000);
  }

  /** In Prometheus' text, as of now. */
  async text(): Promise<{ text: string; contentType: string }> {
    for (const series of [...this.series.values()].flat())
      this.requests.inc({ ...series.labels, status: '200' }, series.takeAnswered());
    return { text: await this.registry.metrics(), contentType: this.registry.contentType };
  }

  /** `assigned` is known where rows were routed, and whoever they were routed to gave no answer. */
  refused(model: string | undefined, version: number | undefined, assigned: string | undefined, status: number): void {
    const labels = {
      model: model ?? '',
      version: version === undefined ? '' : String(version),
      assigned: assigned ?? '',
    };
    this.requests.inc({ ...labels, status: String(status) });
  }

  /** A request to feedback, whatever its status. */
  heard(model: string | undefined, status: number): void {
    this.feedback.inc({ model: model ?? '', status: String(status) });
  }

  kept(model: string, labels: number): void {
    this.labels.inc({ model }, labels);
  }

  ranBatch(rows: number): void {
    this.batch.observe(rows);
  }

  canaryFailed(model: string, { version, why }: Failure): void {
    this.canaryFailures.inc({ model, version, why });
  }
}

/** Of one model, version and assignment. Counted here: what prom-client does for each observation costs as much as reading a row. */
class Series {
  readonly version: number;
  readonly assigned: string;
  readonly labels: Record<'model' | 'version' | 'assigned', string>;
  readonly latency = new Seconds();
  readonly graph = new Seconds();
  private answered = 0;

  constructor(model: string, version: number, assigned: string) {
    this.version = version;
    this.assigned = assigned;
    this.labels = { model, version: String(version), assigned };
  }

  add(latencySeconds: number, graphSeconds: number): void {
    this.answered++;
    this.latency.observe(latencySeconds);
    this.graph.observe(graphSeconds);
  }

  /** Answers since it was last asked. */
  takeAnswered(): number {
    const { answered } = this;
    this.answered = 0;
    return answered;
  }
}

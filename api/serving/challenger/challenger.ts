import type { Logger } from 'pino';
import type { Columns, ModelVersion, Output } from '../../../schemas/index.ts';
import { Life, type Death } from './life.ts';
import type { Layout, Report } from './messages.ts';
import { missingColumn, packRows, unpackOutputs, type RowResult, type Slice } from './packing.ts';
import { WaitingRows, type Waiting } from './waiting-rows.ts';

export interface ChallengerModel {
  model: string;
  version: ModelVersion;
  /** Where the graph's bytes are; the child checks their hash. */
  file: string;
}

/** @property graphMs  the runs of the graph that the rows were in, others' rows included */
export type Scored =
  | { ok: true; outputs: (Output | { failed: string })[]; graphMs: number }
  | { ok: false; why: 'late' | 'threw' | 'died' | 'not-loaded'; detail: string };

/** @property latencyMs  from being handed over to its scores */
export type ShadowDone = (result: Scored, timing: { latencyMs: number; graphMs: number }) => void;

/** busy: what runs in the child runs so long that it may hang. paused: the process ended under this shadow before. */
export type ShadowDrop = 'queue-full' | 'not-loaded' | 'restarting' | 'busy' | 'paused';

export interface ChallengerFailure {
  model: string;
  version: number;
  because: string;
  attempts: number;
  /** ISO 8601 */
  since: string;
}

export interface ChallengerCounts {
  restarts: { crashed: number; hung: number; memory: number };
  /** Canary requests without an answer at their deadline. */
  late: number;
  /** Of these, those whose rows were in the child then: their answer is ignored when it comes. */
  abandoned: number;
  /** Rows. */
  shadowDropped: Record<ShadowDrop, number>;
  shadowQueueRows: number;
  rssBytes: number;
  alive: boolean;
}

export interface ChallengerOptions {
  /** Resident memory of the child above which it is killed: GAUNTLET_CHALLENGER_MB. */
  limitMb: number;
  log: Logger;
  /** Milliseconds since 1970; default the clock. */
  now?: () => number;
  /** Shadow rows that may wait; default 2000. */
  maxShadowRows?: number;
  /** Canary rows that may wait; more are late at once. Default 2000. */
  maxCanaryRows?: number;
  /** A run that takes longer hangs; default the larger of 2000 and ten times the deadline. */
  hangMs?: number;
}

const CANARY_ROWS = 64;
/**
 * A canary may have to wait for a shadow's run. Where a graph is fast it has as many rows as take so long, by the last
 * run of that version; never fewer than the least, for a run has a cost of its own beside that of its rows.
 */
const SHADOW_RUN_MS = 2;
const SHADOW_ROWS = { least: 32, most: 256 };
/** Nobody waits for a shadow, and rows that go together cost less, here and in the child. */
const SHADOW_WAIT_MS = 5;
const LEAST_HANG_MS = 2_000;
const BUSY_MS = 500;
const START_MS = 60_000;
const LOAD_MS = 60_000;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 30_000;
/** After a load or a shadow's run that ended the process: what else is loaded there goes down with it each time. */
const DEADLY_MS = { first: 30_000, longest: 1_800_000 };
/** A life as long as this was a good one. */
const STEADY_MS = 60_000;

/** A request's rows, and who waits for what becomes of them. */
class Call implements Waiting {
  readonly key: string;
  readonly rows: Columns;
  readonly predictedAt: Float64Array;
  readonly canary: boolean;
  readonly hangMs: number;
  readonly #done: (result: Scored, call: Call) => void;
  sent = 0;
  slot: number | undefined;
  readonly outputs: (Output | { failed: string })[] = [];
  graphMs = 0;
  /** It has its result. */
  over = false;

  // `done` by itself: a function in an object has a name, which esbuild's keepNames sets anew for each one that is made.
  constructor(
    key: string,
    rows: Columns,
    predictedAt: Float64Array,
    canary: boolean,
    hangMs: number,
    done: (result: Scored, call: Call) => void,
  ) {
    this.key = key;
    this.rows = rows;
    this.predictedAt = predictedAt;
    this.canary = canary;
    this.hangMs = hangMs;
    this.#done = done;
  }

  finish(result: Scored): void {
    this.#done(result, this);
  }
}

/** A version that the child has loaded. */
interface Opened {
  layout: Layout;
  /** Of its rows, that are a run for a shadow. */
  shadowRows: number;
}

type Job =
  | { kind: 'load'; id: number; key: string }
  | { kind: 'run'; id: number; fromMs: number; slices: (Slice & { of: Call })[] };

/**
 * Canaries and live shadows, in one child process: whatever a graph does there (throws, hangs, eats memory), the
 * process that answers goes on.
 *
 *   one job in the child at a time:  load, else canary rows (at most 64), else shadow rows (32 to 256, 2 ms of them)
 *
 * Rows that come while a job runs wait, and go together when it ends. A lone canary request never waits for others; a
 * shadow's rows do, up to 5 ms. A child that hangs, takes too much memory or ends by itself is replaced after 100 ms,
 * twice that, and so on up to 30 s.
 */
export class Challenger {
  private readonly o: ChallengerOptions;
  private wanted = new Map<string, ChallengerModel>();
  private readonly opened = new Map<string, Opened>();
  private readonly loadFailures = new Map<string, { failure: ChallengerFailure; retryMs: number }>();
  private readonly canaries = new WaitingRows<Call>();
  private readonly shadows = new WaitingRows<Call>();
  private life: Life | undefined;
  /** When the child of this life was ready. */
  private readyMs: number | undefined;
  private gone: Promise<void> = Promise.resolve();
  private restart: NodeJS.Timeout | undefined;
  private deathsInARow = 0;
  private underway: Job | undefined;
  /** Shadows have waited long enough, or are enough. */
  private shadowsAreDue = false;
  private shadowTimer: NodeJS.Timeout | undefined;
  private lastWasLoad = false;
  private jobs = 0;
  private stopped = false;
  private readonly restarts = { crashed: 0, hung: 0, memory: 0 };
  private readonly dropped: Record<ShadowDrop, number> = {
    'queue-full': 0,
    'not-loaded': 0,
    restarting: 0,
    busy: 0,
    paused: 0,
  };
  /** Shadows under which the process ended: how often, and until when they get nothing. */
  private readonly deadlyShadows = new Map<string, { deaths: number; untilMs: number }>();
  private late = 0;
  private abandoned = 0;

  constructor(o: ChallengerOptions) {
    this.o = o;
  }

  /**
   * What should be loaded from now on. The child is started for the first and ended after the last; rows that were
   * taken for a version that is no longer wanted are still scored.
   */
  want(models: ChallengerModel[]): void {
    if (this.stopped) return;
    this.wanted = new Map(models.map((one) => [keyOf(one.model, one.version.n), one]));
    for (const kept of [this.loadFailures, this.deadlyShadows])
      for (const key of kept.keys()) if (!this.wanted.has(key)) kept.delete(key);
    if (this.wanted.size > 0 && !this.life && !this.restart) this.start();
    else if (this.wanted.size === 0 && (this.readyMs === undefined || this.underway?.kind === 'load')) this.close();
    this.next();
  }

  loaded(model: string, version: number): boolean {
    return this.layoutOf(keyOf(model, version)) !== undefined;
  }

  /**
   * Versions that cannot be loaded; each is tried again after 100 ms, twice that, and so on up to 30 s; one whose load
   * ended the process after 30 s and more.
   */
  failures(): ChallengerFailure[] {
    return [...this.loadFailures.values()].map(({ failure }) => failure);
  }

  /** A canary's rows. Answers within the deadline, whatever the canary does. */
  score(model: string, version: number, rows: Columns, predictedAt: Float64Array, deadlineMs: number): Promise<Scored> {
    const key = keyOf(model, version);
    const layout = this.layoutOf(key);
    if (!layout)
      return Promise.resolve({ ok: false, why: 'not-loaded', detail: `${model} version ${version} is not loaded` });
    const missing = missingColumn(layout, rows);
    if (missing !== undefined) return Promise.resolve(threw(missing));
    if (rows.rows === 0) return Promise.resolve({ ok: true, outputs: [], graphMs: 0 });
    if (this.canaries.rows + rows.rows > (this.o.maxCanaryRows ?? 2_000)) {
      this.late++;
      const detail = `${this.canaries.rows} rows wait for a canary already`;
      return Promise.resolve({ ok: false, why: 'late', detail });
    }
    const hangMs = this.o.hangMs ?? Math.max(LEAST_HANG_MS, 10 * deadlineMs);
    return new Promise((resolve) => {
      const call = new Call(key, rows, predictedAt, true, hangMs, (result) => {
        clearTimeout(deadline);
        resolve(result);
      });
      const deadline = setTimeout(() => this.tooLate(call, deadlineMs), deadlineMs);
      this.canaries.add(call);
      this.next();
    });
  }

  /**
   * A shadow's rows: taken or dropped at once. `done` is called later, unless the rows are dropped after all because
   * the child had to be replaced.
   */
  shadow(
    model: string,
    version: number,
    rows: Columns,
    predictedAt: Float64Array,
    done: ShadowDone,
  ): 'taken' | { dropped: ShadowDrop } {
    const key = keyOf(model, version);
    const dropped = this.whyNot(key, rows);
    if (dropped) {
      this.dropped[dropped] += rows.rows;
      return { dropped };
    }
    const fromMs = performance.now();
    const call = new Call(key, rows, predictedAt, false, this.o.hangMs ?? LEAST_HANG_MS, (result, { graphMs }) => {
      try {
        done(result, { latencyMs: performance.now() - fromMs, graphMs });
      } catch (error) {
        this.o.log.error({ model, version, err: error }, 'what a shadow said could not be used');
      }
    });
    const missing = missingColumn(this.layoutOf(key)!, rows);
    if (missing !== undefined) queueMicrotask(() => call.finish(threw(missing)));
    else if (rows.rows > 0) {
      this.shadows.add(call);
      this.awaitMore(this.opened.get(key)!);
    }
    return 'taken';
  }

  counts(): ChallengerCounts {
    return {
      restarts: { ...this.restarts },
      late: this.late,
      abandoned: this.abandoned,
      shadowDropped: { ...this.dropped },
      shadowQueueRows: this.shadows.rows,
      rssBytes: this.life?.rssBytes ?? 0,
      alive: this.readyMs !== undefined,
    };
  }

  /** Ends when the child is gone. What waits has died. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.wanted.clear();
    clearTimeout(this.restart);
    this.close();
    await this.gone;
  }

  /** Undefined: rows for it cannot be taken now. */
  private layoutOf(key: string): Layout | undefined {
    return this.wanted.has(key) ? this.opened.get(key)?.layout : undefined;
  }

  private whyNot(key: string, rows: Columns): ShadowDrop | undefined {
    if (this.wanted.has(key) && this.readyMs === undefined && this.deathsInARow > 0) return 'restarting';
    if (!this.layoutOf(key)) return 'not-loaded';
    if (performance.now() < (this.deadlyShadows.get(key)?.untilMs ?? 0)) return 'paused';
    if (this.underway?.kind === 'run' && performance.now() - this.underway.fromMs > BUSY_MS) return 'busy';
    return this.shadows.rows + rows.rows > (this.o.maxShadowRows ?? 2_000) ? 'queue-full' : undefined;
  }

  private tooLate(call: Call, deadlineMs: number): void {
    this.late++;
    if (this.underway?.kind === 'run' && this.underway.slices.some(({ of }) => of === call)) this.abandoned++;
    const job = this.underway;
    const other = job && (job.kind === 'load' ? job.key : job.slices[0]!.of.key) !== call.key;
    // Late because of what another model does: that is charged to nobody.
    const why = other ? 'not-loaded' : 'late';
    this.finish(call, { ok: false, why, detail: `no answer within ${Math.round(deadlineMs)} ms` });
  }

  private finish(call: Call, result: Scored): void {
    if (call.over) return;
    call.over = true;
    (call.canary ? this.canaries : this.shadows).drop(call);
    call.finish(result);
  }

  private start(): void {
    const life = new Life({
      limitMb: this.o.limitMb,
      log: this.o.log,
      onReport: (report) => this.hear(report),
      onDeath: (death, detail) => this.died(life, death, detail),
    });
    this.life = life;
    this.gone = Promise.all([this.gone, life.gone]).then(() => undefined);
    life.mustAnswerWithin(START_MS);
  }

  private close(): void {
    this.life?.end('ended', 'no challenger is wanted any more');
  }

  /** Gives the child its next job, if it has none. */
  private next(): void {
    if (!this.life || this.readyMs === undefined || this.underway) return;
    for (const key of this.opened.keys())
      if (!this.wanted.has(key) && !this.canaries.has(key) && !this.shadows.has(key)) {
        this.opened.delete(key);
        this.life.send({ kind: 'unload', key });
      }
    if (this.wanted.size === 0 && this.opened.size === 0) return this.close();
    const due = this.lastWasLoad && this.canaries.rows > 0 ? undefined : this.dueLoad();
    this.lastWasLoad = due !== undefined;
    if (due) this.load(this.life, due);
    else this.run(this.life);
  }

  private dueLoad(): string | undefined {
    for (const key of this.wanted.keys())
      if (!this.opened.has(key) && !((this.loadFailures.get(key)?.retryMs ?? 0) > performance.now())) return key;
    return undefined;
  }

  private load(life: Life, key: string): void {
    const { file, version } = this.wanted.get(key)!;
    const id = ++this.jobs;
    this.underway = { kind: 'load', id, key };
    life.send({ kind: 'load', id, key, file, version, nowMs: (this.o.now ?? Date.now)() }, LOAD_MS);
  }

  /** A shadow's rows have come. */
  private awaitMore({ shadowRows }: Opened): void {
    if (this.shadows.rows < shadowRows) this.shadowTimer ??= setTimeout(() => this.sendShadows(), SHADOW_WAIT_MS);
    else if (!this.shadowsAreDue) this.sendShadows();
  }

  private sendShadows(): void {
    clearTimeout(this.shadowTimer);
    this.shadowTimer = undefined;
    this.shadowsAreDue = true;
    this.next();
  }

  private takeShadows(): ReturnType<WaitingRows<Call>['take']> {
    const key = this.shadowsAreDue ? this.shadows.nextKey : undefined;
    const batch = key === undefined ? undefined : this.shadows.take(this.opened.get(key)!.shadowRows);
    if (this.shadows.rows === 0) this.shadowsAreDue = false;
    return batch;
  }

  private run(life: Life): void {
    const batch = this.canaries.take(CANARY_ROWS) ?? this.takeShadows();
    if (!batch) return;
    const { key, slices } = batch;
    const id = ++this.jobs;
    this.underway = { kind: 'run', id, fromMs: performance.now(), slices };
    const hangMs = Math.max(...slices.map(({ of }) => of.hangMs));
    life.send({ kind: 'run', id, key, ...packRows(this.opened.get(key)!.layout, slices) }, hangMs);
  }

  private hear(report: Report): void {
    if (report.kind === 'ready') {
      this.life?.answered();
      this.readyMs = performance.now();
      this.o.log.info({ pid: this.life?.pid }, 'the challenger process runs');
      return this.next();
    }
    const job = this.underway;
    if (job?.id !== report.id) return;
    this.life?.answered();
    this.underway = undefined;
    if (job.kind === 'run') {
      if (report.kind === 'ran') this.ran(job.slices, report.graphMs, unpackOutputs(report));
      return;
    }
    if (report.kind === 'loaded') {
      this.opened.set(job.key, { layout: report.layout, shadowRows: SHADOW_ROWS.least });
      this.loadFailures.delete(job.key);
      this.o.log.info({ challenger: job.key }, 'challenger loaded and warm');
    } else if (report.kind === 'load-failed') this.loadFailed(job.key, report.because);
    this.next();
  }

  private ran(slices: (Slice & { of: Call })[], graphMs: number, results: RowResult[]): void {
    const { key, canary } = slices[0]!.of;
    const opened = this.opened.get(key);
    if (!canary && opened)
      opened.shadowRows = Math.max(
        SHADOW_ROWS.least,
        Math.min(SHADOW_ROWS.most, Math.round((SHADOW_RUN_MS * results.length) / graphMs)),
      );
    const finished: [Call, Scored][] = [];
    let at = 0;
    for (const { of, from, to } of slices) {
      of.graphMs += graphMs;
      let thrown: string | undefined;
      for (const end = at + to - from; at < end; at++) {
        const result = results[at]!;
        if ('threw' in result) thrown ??= result.threw;
        else of.outputs.push(result);
      }
      if (thrown !== undefined) {
        // What is left of it need not run.
        (of.canary ? this.canaries : this.shadows).drop(of);
        finished.push([of, { ok: false, why: 'threw', detail: thrown }]);
      } else if (of.outputs.length === of.rows.rows)
        finished.push([of, { ok: true, outputs: of.outputs, graphMs: of.graphMs }]);
    }
    // The child first: it works while the answers are used.
    this.next();
    for (const [call, result] of finished) this.finish(call, result);
  }

  private loadFailed(key: string, because: string, o: { deadly?: true } = {}): void {
    const wanted = this.wanted.get(key);
    if (!wanted) return;
    const before = this.loadFailures.get(key)?.failure;
    const { model, version } = wanted;
    const failure: ChallengerFailure = {
      model,
      version: version.n,
      because,
      attempts: (before?.attempts ?? 0) + 1,
      since: before?.since ?? new Date((this.o.now ?? Date.now)()).toISOString(),
    };
    const waitMs = backoffMs(failure.attempts, o.deadly && DEADLY_MS);
    this.loadFailures.set(key, { failure, retryMs: performance.now() + waitMs });
    // A timer may be a little early by this clock.
    setTimeout(() => this.next(), waitMs + 2).unref();
    if (before?.because !== because)
      this.o.log.error({ model, version: version.n, because }, 'challenger could not be loaded');
  }

  private died(life: Life, death: Death, detail: string): void {
    if (this.life !== life) return;
    const job = this.underway;
    const steady = this.readyMs !== undefined && performance.now() - this.readyMs >= STEADY_MS;
    this.life = undefined;
    this.readyMs = undefined;
    this.underway = undefined;
    this.opened.clear();
    if (death === 'ended') this.deathsInARow = 0;
    else {
      this.deathsInARow = steady ? 1 : this.deathsInARow + 1;
      this.restarts[death]++;
      if (job?.kind === 'load')
        this.loadFailed(job.key, `its process ended while it was loaded: ${detail}`, { deadly: true });
      const waitMs = backoffMs(this.deathsInARow);
      const challengers = [...this.wanted.keys()];
      this.o.log.error({ pid: life.pid, death, because: detail, challengers, waitMs }, 'the challenger process ended');
      this.restart = setTimeout(() => void this.startAfter(life), waitMs);
      this.restart.unref();
    }
    const running = job?.kind === 'run' ? job.slices.map(({ of }) => of) : [];
    const shadow = running.find(({ canary }) => !canary);
    if (shadow && death !== 'ended') {
      const deaths = (this.deadlyShadows.get(shadow.key)?.deaths ?? 0) + 1;
      this.deadlyShadows.set(shadow.key, { deaths, untilMs: performance.now() + backoffMs(deaths, DEADLY_MS) });
    }
    const harmful = job?.kind === 'load' ? job.key : running[0]?.key;
    const result = { ok: false as const, why: 'died' as const, detail: `the challenger process ended: ${detail}` };
    for (const call of running.filter(({ canary }) => canary)) this.finish(call, result);
    // Who was not in it did nothing, and is charged with nothing.
    const idle: Scored = { ...result, why: 'not-loaded' };
    for (const call of this.canaries.clear()) this.finish(call, call.key === harmful ? result : idle);
    const dropped = new Set([...running.filter(({ canary }) => !canary), ...this.shadows.clear()]);
    clearTimeout(this.shadowTimer);
    this.shadowTimer = undefined;
    this.shadowsAreDue = false;
    for (const call of dropped) {
      call.over = true;
      this.dropped.restarting += call.rows.rows;
    }
  }

  /** Not before the memory of the one before is free. */
  private async startAfter(life: Life): Promise<void> {
    await life.gone;
    this.restart = undefined;
    if (!this.stopped && this.wanted.size > 0 && !this.life) this.start();
  }
}

/** As a run in process says it. */
const threw = (missing: string): Scored => ({
  ok: false,
  why: 'threw',
  detail: `onnx: the graph takes ${missing}, which was not given`,
});

function backoffMs(attempts: number, { first, longest } = { first: FIRST_BACKOFF_MS, longest: LONGEST_BACKOFF_MS }) {
  return Math.min(longest, first * 2 ** Math.min(20, attempts - 1));
}

const keyOf = (model: string, version: number): string => `${model}@${version}`;

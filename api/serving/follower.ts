import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Stores } from '../../bucket/index.ts';
import type { PiiHasher, Revision } from '../../schemas/index.ts';
import type { LoadedModel } from './loaded-model.ts';
import { loadModel } from './load.ts';

/** What answers for a model: a warm version, and the revision that put it there. They change together. */
export interface Current {
  revision: Revision;
  model: LoadedModel;
}

export interface LoadFailure {
  version: number;
  because: string;
  attempts: number;
  /** ISO 8601 */
  since: string;
  retryAt: string;
}

export interface ModelStatus {
  model: string;
  /** What the log says at the last revision read. */
  revision: number;
  champion?: number;
  previous?: number;
  /** What answers here, and by which revision; absent: nothing is loaded yet. */
  serving?: { version: number; revision: number };
  /** Versions in memory, each warm. */
  warm: number[];
  failures: LoadFailure[];
}

export interface FollowerStatus {
  /** The last revision of the serving log that was read; 0: it is empty; absent: not read yet. */
  revision?: number;
  /** Why the log cannot be read at the moment. */
  bucketFailure?: { because: string; since: string };
  models: ModelStatus[];
}

export interface FollowerOptions {
  stores: Pick<Stores, 'objects' | 'versions' | 'serving'>;
  pollMs: number;
  now: () => number;
  log: Logger;
  pii?: PiiHasher | undefined;
  /** A version whose graph is larger is not loaded. */
  maxModelBytes?: number;
  /** Told of the newest revision of a model as soon as it was read. */
  onRevision?: (revision: Revision) => void;
  /** Told of the rows of each run of a champion. */
  onBatch?: (rows: number) => void;
}

/** Loads at a cold start that run at once: more would only hold more graphs in memory while one core compiles. */
const COLD_LANES = 4;
const LONGEST_LOAD_AT_STOP_MS = 2_000;
const LONGEST_BACKOFF_MS = 60_000;

interface Followed {
  wanted: Revision;
  current?: Current;
  warm: Map<number, LoadedModel>;
  failures: Map<number, LoadFailure>;
  /** Set while this model is being brought to where the log wants it; there is only one such run at a time. */
  converging?: Promise<void>;
  retry?: NodeJS.Timeout;
}

/**
 * Follows the serving log, and keeps in memory what it says serves.
 *
 *   each revision:  open -> hash -> warm -> switch -> the old one leaves after its last request
 *
 * A version that cannot be loaded changes nothing: what answered goes on, the failure is in the status, and the load
 * is tried again after pollMs, twice that, and so on up to a minute. A bucket that cannot be read is logged when that
 * begins and when it ends.
 */
export class Follower {
  private readonly options: FollowerOptions;
  private readonly models = new Map<string, Followed>();
  private readonly closing = new Set<Promise<void>>();
  private readonly stopping = new AbortController();
  private head: number | undefined;
  private bucketFailure: FollowerStatus['bucketFailure'];
  private polling: Promise<void> | undefined;
  private changes = 0;
  private servedNames: readonly string[] | undefined;

  constructor(options: FollowerOptions) {
    this.options = options;
  }

  /** Ends when the newest table has been read and every champion in it was tried once, or when the bucket could not be read. */
  async start(): Promise<void> {
    await this.readTable();
    this.polling = this.poll();
    const cold = [...this.models.values()];
    const lane = async (): Promise<void> => {
      for (let next = cold.shift(); next; next = cold.shift()) await this.converge(next);
    };
    await Promise.all(Array.from({ length: COLD_LANES }, lane));
  }

  /** Ends when the last load, the last request and the last session have. */
  async stop(): Promise<void> {
    // Of a bucket that does not answer nothing is waited for: what was accepted is finished, and the log has its turn.
    this.stopping.abort();
    for (const followed of this.models.values()) {
      clearTimeout(followed.retry);
      await Promise.race([followed.converging, sleep(LONGEST_LOAD_AT_STOP_MS, undefined, { ref: false })]);
      followed.current = undefined;
      for (const model of followed.warm.values()) this.leave(model);
      followed.warm.clear();
    }
    await Promise.all(this.closing);
  }

  /** What answers for a model now; undefined: it is unknown, or nothing of it is loaded. */
  current(model: string): Current | undefined {
    return this.models.get(model)?.current;
  }

  /** Every model for which something answers now. */
  serving(): Current[] {
    return [...this.models.values()].flatMap(({ current }) => current ?? []);
  }

  /** A version that is in memory here: the champion, or the one before. */
  warm(model: string, version: number): LoadedModel | undefined {
    return this.models.get(model)?.warm.get(version);
  }

  /** Names of the models that the log gives a champion. */
  served(): readonly string[] {
    this.servedNames ??= [...this.models]
      .filter(([, { wanted }]) => wanted.serving.champion !== undefined)
      .map(([name]) => name)
      .sort();
    return this.servedNames;
  }

  /** Grows with every switch: what is derived from what serves is fresh as long as this is the same. */
  get generation(): number {
    return this.changes;
  }

  status(): FollowerStatus {
    return {
      revision: this.head,
      bucketFailure: this.bucketFailure,
      models: this.served().map((model) => {
        const { wanted, current, warm, failures } = this.models.get(model)!;
        return {
          model,
          revision: wanted.n,
          champion: wanted.serving.champion,
          previous: wanted.serving.previous,
          serving: current && { version: current.model.version.n, revision: current.revision.n },
          warm: [...warm.keys()].sort((a, b) => a - b),
          failures: [...failures.values()],
        };
      }),
    };
  }

  private get stopped(): boolean {
    return this.stopping.signal.aborted;
  }

  /** True: the table was read, and what it says is wanted. */
  private async readTable(): Promise<boolean> {
    try {
      const { n, models } = await this.options.stores.serving.table();
      for (const revision of Object.values(models)) this.want(revision);
      this.head = n;
      this.bucketWorks();
      return true;
    } catch (error) {
      this.bucketFails(error);
      return false;
    }
  }

  private async poll(): Promise<void> {
    while (!this.stopped) {
      const more = this.head === undefined ? await this.catchUp() : await this.readNext(this.head);
      if (!more) await sleep(this.options.pollMs, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
  }

  private async catchUp(): Promise<boolean> {
    if (!(await this.readTable())) return false;
    for (const followed of this.models.values()) void this.converge(followed);
    return true;
  }

  /** True: there was a revision, so there may be another. */
  private async readNext(after: number): Promise<boolean> {
    try {
      const revision = await this.options.stores.serving.next(after);
      this.bucketWorks();
      if (!revision) return false;
      this.head = revision.n;
      void this.converge(this.want(revision));
      return true;
    } catch (error) {
      this.bucketFails(error);
      return false;
    }
  }

  private want(revision: Revision): Followed {
    this.servedNames = undefined;
    this.options.onRevision?.(revision);
    const known = this.models.get(revision.model);
    if (known) {
      known.wanted = revision;
      return known;
    }
    const followed: Followed = { wanted: revision, warm: new Map(), failures: new Map() };
    this.models.set(revision.model, followed);
    return followed;
  }

  /** Goes on until the model is where the newest revision wants it, or a load has failed. */
  private converge(followed: Followed): Promise<void> {
    clearTimeout(followed.retry);
    followed.converging ??= this.reachAll(followed);
    return followed.converging;
  }

  private async reachAll(followed: Followed): Promise<void> {
    for (let reached: Revision | undefined; reached !== followed.wanted && !this.stopped;) {
      reached = followed.wanted;
      await this.reach(followed, reached);
    }
    // At once, not when the promise settles: a revision that comes in between would find it still running.
    followed.converging = undefined;
    if (this.stopped || followed.failures.size === 0) return;
    const attempts = Math.min(...[...followed.failures.values()].map((failure) => failure.attempts));
    followed.retry = setTimeout(() => void this.converge(followed), this.backoffMs(attempts));
    followed.retry.unref();
  }

  private async reach(followed: Followed, revision: Revision): Promise<void> {
    const { champion, previous } = revision.serving;
    for (const version of followed.failures.keys())
      if (version !== champion && version !== previous) followed.failures.delete(version);
    if (champion === undefined) this.switchTo(followed, undefined);
    else {
      const model = await this.load(followed, revision, champion);
      if (followed.wanted !== revision) return;
      if (model) this.switchTo(followed, { revision, model });
    }
    this.retire(followed);
    if (previous === undefined) return;
    await this.load(followed, revision, previous);
    if (followed.wanted === revision) this.retire(followed);
  }

  private switchTo(followed: Followed, current: Current | undefined): void {
    const before = followed.current;
    followed.current = current;
    this.changes++;
    if (before?.model === current?.model) return;
    this.options.log.info(
      {
        model: followed.wanted.model,
        version: current?.model.version.n,
        was: before?.model.version.n,
        revision: followed.wanted.n,
      },
      current ? 'version serves' : 'model no longer serves',
    );
  }

  private async load(
    followed: Followed,
    { model, n: revision }: Revision,
    version: number,
  ): Promise<LoadedModel | undefined> {
    const warm = followed.warm.get(version);
    if (warm) return warm;
    const { stores, now, log, pii, maxModelBytes, onBatch } = this.options;
    const from = now();
    try {
      const loaded = await loadModel(model, version, { stores, pii, maxModelBytes, onBatch }, from);
      if (this.stopped) {
        this.leave(loaded);
        return undefined;
      }
      followed.warm.set(version, loaded);
      followed.failures.delete(version);
      log.info({ model, version, revision, ms: now() - from }, 'version loaded and warm');
      return loaded;
    } catch (error) {
      this.loadFailed(followed, version, error);
      return undefined;
    }
  }

  private loadFailed(followed: Followed, version: number, error: unknown): void {
    const at = this.options.now();
    const before = followed.failures.get(version);
    const attempts = (before?.attempts ?? 0) + 1;
    const failure: LoadFailure = {
      version,
      because: messageOf(error),
      attempts,
      since: before?.since ?? new Date(at).toISOString(),
      retryAt: new Date(at + this.backoffMs(attempts)).toISOString(),
    };
    followed.failures.set(version, failure);
    if (before?.because !== failure.because)
      this.options.log.error(
        {
          model: followed.wanted.model,
          version,
          revision: followed.wanted.n,
          serving: followed.current?.model.version.n,
          because: failure.because,
        },
        'version could not be loaded; what served goes on',
      );
  }

  private backoffMs(attempts: number): number {
    return Math.min(LONGEST_BACKOFF_MS, this.options.pollMs * 2 ** (attempts - 1));
  }

  /** Versions that neither answer nor are wanted leave. */
  private retire(followed: Followed): void {
    const { champion, previous } = followed.wanted.serving;
    for (const [version, model] of followed.warm) {
      if (version === champion || version === previous || model === followed.current?.model) continue;
      followed.warm.delete(version);
      this.leave(model);
    }
  }

  private leave(model: LoadedModel): void {
    const { model: name, n } = model.version;
    const leaving = model
      .retire()
      .catch((error: unknown) =>
        this.options.log.warn({ model: name, version: n, err: error }, 'session did not close'),
      )
      .finally(() => this.closing.delete(leaving));
    this.closing.add(leaving);
  }

  private bucketWorks(): void {
    if (!this.bucketFailure) return;
    this.bucketFailure = undefined;
    this.options.log.info({ revision: this.head }, 'the serving log can be read again');
  }

  private bucketFails(error: unknown): void {
    const because = messageOf(error);
    if (!this.bucketFailure)
      this.options.log.error(
        { revision: this.head, because },
        'the serving log cannot be read; what is loaded goes on serving',
      );
    this.bucketFailure = { because, since: this.bucketFailure?.since ?? new Date(this.options.now()).toISOString() };
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

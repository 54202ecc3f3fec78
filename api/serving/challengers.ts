import type { Logger } from 'pino';
import type { Stores } from '../../bucket/index.ts';
import { afterAttempt, CLOSED, isOver, mayTry, type Breaker } from '../../policies/index.ts';
import { decodeRows } from '../../onnx/index.ts';
import {
  detailOf,
  hashedNames,
  type AnswerReason,
  type Columns,
  type Failure,
  type ModelVersion,
  type Output,
  type PiiHasher,
  type RawRow,
  type Revision,
} from '../../schemas/index.ts';
import { requireLoadable } from './loadable.ts';
import type { Challenger, ChallengerModel, ShadowDone } from './challenger/index.ts';

export type CanaryAnswer =
  | { ok: true; version: ModelVersion; outputs: (Output | { failed: string })[]; graphMs: number }
  | {
      ok: false;
      version?: ModelVersion | undefined;
      reason: Extract<AnswerReason, 'canary-failed' | 'breaker-open' | 'canary-not-loaded'>;
      failed?: Failure;
    };

export interface ChallengerStatus {
  model: string;
  version: number;
  as: 'canary' | 'shadow';
  loaded: boolean;
  breaker: Breaker['state'];
  /** Why it cannot be loaded. */
  because?: string;
}

/** Rows as the champion's request had them. */
export interface ChampionRows {
  columns: Columns;
  kept: { inputs(i: number): RawRow };
  /** [rows] seconds since 1970 */
  predictedAt: Float64Array;
}

const CHECK_MS = 1_000;

/**
 * The canaries and shadows that the serving log names: what the challenger process should have loaded, who may be asked,
 * and the breaker of each.
 */
export class Challengers {
  private readonly revisions = new Map<string, Revision>();
  /** By model@version: what the child is given, once its record and bytes are here. */
  private readonly prepared = new Map<string, ChallengerModel>();
  private readonly failed = new Map<string, { because: string; attempts: number; retryMs: number }>();
  private readonly breakers = new Map<string, Breaker>();
  private readonly onFailure: (model: string, failure: Failure) => void;
  private readonly stores: Pick<Stores, 'objects' | 'versions'>;
  private readonly challenger: Challenger;
  private readonly log: Logger;
  private readonly limits: { pii: PiiHasher | undefined; maxModelBytes: number | undefined };
  private readonly now: () => number;
  private readonly timer: NodeJS.Timeout;
  private checking: Promise<void> | undefined;
  private again = false;
  private stopped = false;
  private given = '';

  constructor(o: {
    stores: Pick<Stores, 'objects' | 'versions'>;
    challenger: Challenger;
    log: Logger;
    now: () => number;
    onFailure: (model: string, failure: Failure) => void;
    pii?: PiiHasher | undefined;
    maxModelBytes?: number | undefined;
  }) {
    this.stores = o.stores;
    this.challenger = o.challenger;
    this.log = o.log;
    this.now = o.now;
    this.onFailure = o.onFailure;
    this.limits = { pii: o.pii, maxModelBytes: o.maxModelBytes };
    // An `until` passes without a revision.
    this.timer = setInterval(() => void this.check(), CHECK_MS);
    this.timer.unref();
  }

  /** A newer revision of a model. */
  follow(revision: Revision): void {
    this.revisions.set(revision.model, revision);
    void this.check();
  }

  /**
   * Rows for a canary: answered within the deadline, or why not, which is then counted against it.
   *
   * @param o.forced  a person asked for it by name: the breaker is passed by, and nothing is counted
   */
  async ask(
    version: number,
    champion: ModelVersion,
    rows: ChampionRows,
    deadlineMs: number,
    o: { forced?: true } = {},
  ): Promise<CanaryAnswer> {
    const { model } = champion;
    const key = keyOf(model, version);
    if (!o.forced) {
      const { may, breaker } = mayTry(this.breakers.get(key) ?? CLOSED, this.now());
      if (!may) return { ok: false, reason: 'breaker-open' };
      this.breakers.set(key, breaker);
    }
    const because = this.loadFailure(model, version);
    // Now, for a revision may take it away while it is asked.
    const record = this.prepared.get(key)?.version;
    if (because === undefined && !(record && this.challenger.loaded(model, version)))
      return { ok: false, reason: 'canary-not-loaded' };
    const own = because === undefined ? ownColumns(record!, champion, rows) : `it cannot be loaded: ${because}`;
    const answer =
      typeof own === 'string'
        ? { ok: false as const, why: 'threw' as const, detail: own }
        : await this.challenger
            .score(model, version, own, rows.predictedAt, deadlineMs)
            // A fault of ours must cost a canary's user no answer either.
            .catch((error: unknown) => ({ ok: false as const, why: 'threw' as const, detail: String(error) }));
    if (!answer.ok && answer.why === 'not-loaded') return { ok: false, reason: 'canary-not-loaded' };
    const failed: Failure | undefined = !answer.ok
      ? { version, why: answer.why as Failure['why'], detail: detailOf(answer.detail) }
      : undefined;
    if (!o.forced) this.count(model, version, answer.ok ? answer.outputs : undefined, failed);
    return answer.ok
      ? { ...answer, version: record! }
      : { ok: false, version: record, reason: 'canary-failed', failed: failed! };
  }

  /** Rows for a model's shadows, after the answer. `done` is called for each that was scored or failed. */
  shadow(
    { model, serving }: Revision,
    champion: ModelVersion,
    rows: ChampionRows,
    done: (version: ModelVersion, ...scored: Parameters<ShadowDone>) => void,
  ): void {
    const now = this.now();
    for (const shadow of serving.shadows) {
      const { version } = shadow;
      const record = this.prepared.get(keyOf(model, version))?.version;
      if (!record || isOver(shadow, now)) continue;
      const own = ownColumns(record, champion, rows);
      if (typeof own === 'string') done(record, { ok: false, why: 'threw', detail: own }, { latencyMs: 0, graphMs: 0 });
      else this.challenger.shadow(model, version, own, rows.predictedAt, (...scored) => done(record, ...scored));
    }
  }

  loaded(model: string, version: number): boolean {
    return this.challenger.loaded(model, version);
  }

  status(): ChallengerStatus[] {
    return this.wanted().map(({ model, version, as }) => ({
      model,
      version,
      as,
      loaded: this.challenger.loaded(model, version),
      breaker: this.breakers.get(keyOf(model, version))?.state ?? 'closed',
      because: this.loadFailure(model, version),
    }));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    await this.challenger.stop();
  }

  private count(
    model: string,
    version: number,
    outputs: (Output | { failed: string })[] | undefined,
    failed?: Failure,
  ) {
    const key = keyOf(model, version);
    const before = this.breakers.get(key) ?? CLOSED;
    let breaker = before;
    if (failed) {
      breaker = afterAttempt(breaker, true, this.now());
      this.onFailure(model, failed);
    } else
      for (const output of outputs!) {
        breaker = afterAttempt(breaker, 'failed' in output, this.now());
        if ('failed' in output) this.onFailure(model, { version, why: 'not-finite', detail: output.failed });
      }
    this.breakers.set(key, breaker);
    if (breaker.state === 'open' && before.state !== 'open')
      this.log.warn(
        { model, version, forMs: breaker.openForMs, because: failed?.detail ?? 'answers that are not finite' },
        'the canary keeps failing: it is not asked for a while, the champion answers',
      );
    else if (breaker.state === 'closed' && before.state === 'half-open')
      this.log.info({ model, version }, 'the canary answers again');
  }

  private loadFailure(model: string, version: number): string | undefined {
    const own = this.failed.get(keyOf(model, version));
    if (own) return own.because;
    return this.challenger.failures().find((one) => one.model === model && one.version === version)?.because;
  }

  private wanted(): { model: string; version: number; as: 'canary' | 'shadow' }[] {
    const now = this.now();
    const wanted: ReturnType<Challengers['wanted']> = [];
    for (const { model, serving } of this.revisions.values()) {
      const { canary, shadows } = serving;
      if (canary && !isOver(canary, now)) wanted.push({ model, version: canary.version, as: 'canary' });
      for (const shadow of shadows)
        if (!isOver(shadow, now) && shadow.version !== canary?.version)
          wanted.push({ model, version: shadow.version, as: 'shadow' });
    }
    return wanted;
  }

  /** Brings the child to what is wanted; one run at a time. */
  private check(): Promise<void> {
    if (this.checking) {
      this.again = true;
      return this.checking;
    }
    this.checking = (async () => {
      do {
        this.again = false;
        await this.prepare();
      } while (this.again && !this.stopped);
    })().finally(() => (this.checking = undefined));
    return this.checking;
  }

  private async prepare(): Promise<void> {
    const wanted = this.wanted();
    const keys = new Set(wanted.map(({ model, version }) => keyOf(model, version)));
    for (const kept of [this.prepared, this.failed, this.breakers])
      for (const key of kept.keys()) if (!keys.has(key)) kept.delete(key);
    for (const { model, version } of wanted) {
      const key = keyOf(model, version);
      const failure = this.failed.get(key);
      if (this.prepared.has(key) || (failure && this.now() < failure.retryMs)) continue;
      try {
        const record = await this.stores.versions.read(model, version);
        if (!record) throw new Error(`${model} has no version ${version}, though the serving log names it`);
        requireLoadable(record, this.limits);
        this.prepared.set(key, { model, version: record, file: await this.stores.objects.file(record.onnx.sha256) });
        this.failed.delete(key);
      } catch (error) {
        const because = error instanceof Error ? error.message : String(error);
        const attempts = (failure?.attempts ?? 0) + 1;
        const waitMs = Math.min(60_000, CHECK_MS * 2 ** (attempts - 1));
        this.failed.set(key, { because, attempts, retryMs: this.now() + waitMs });
        if (because !== failure?.because)
          this.log.error({ model, version, because }, 'challenger could not be fetched');
      }
    }
    if (this.stopped) return;
    const given = [...this.prepared.keys()].sort().join(' ');
    if (given === this.given) return;
    this.given = given;
    this.challenger.want([...this.prepared.values()]);
  }
}

const keyOf = (model: string, version: number): string => `${model}@${version}`;

/**
 * Rows as a version takes them that has other inputs than the champion, who read them; a text says why they cannot be.
 * They are kept as the champion keeps them, so what is personal to one of the two only is refused: as a hash it would be
 * garbage to the one, as plain text it must not reach the other.
 */
export function ownColumns(own: ModelVersion, champion: ModelVersion, rows: ChampionRows): Columns | string {
  if (own === champion || sameInputs(own, champion)) return rows.columns;
  const onlyOne = Object.keys(own.inputs).find(
    (name) => champion.inputs[name] && isPersonal(own, name) !== isPersonal(champion, name),
  );
  if (onlyOne !== undefined)
    return `${onlyOne} is personal to only one of version ${own.n} and version ${champion.n}, so the rows of the one cannot be scored by the other`;
  const raw = Array.from({ length: rows.columns.rows }, (_, i) => rows.kept.inputs(i));
  const decoded = decodeRows(own.inputs, raw, { extra: Object.keys(champion.inputs), personal: 'hashed' });
  if (decoded.ok) return decoded.columns;
  const { at, found, expected } = decoded.issues[0]!;
  return `its inputs are not the champion's: ${at} is ${found}, expected ${expected}`;
}

const isPersonal = ({ inputs, entity, serving }: ModelVersion, name: string): boolean =>
  hashedNames({
    inputs,
    rows: { entity, entityPii: serving?.entityPii ?? false },
    rollout: { unit: serving?.unit, unitPii: serving?.unitPii ?? false },
  }).has(name);

const compared = new WeakMap<ModelVersion, WeakMap<ModelVersion, boolean>>();

function sameInputs(a: ModelVersion, b: ModelVersion): boolean {
  let known = compared.get(a);
  if (!known) compared.set(a, (known = new WeakMap()));
  let same = known.get(b);
  if (same === undefined) known.set(b, (same = JSON.stringify(a.inputs) === JSON.stringify(b.inputs)));
  return same;
}

import { setImmediate } from 'node:timers/promises';
import { CanaryEValue } from '../../numerics/index.ts';
import type {
  Answer,
  BakePlan,
  CanaryEvidence,
  BakeEvidence,
  CanaryPlan,
  WatchedVersion,
} from '../../schemas/index.ts';
import { Fingerprints } from './fingerprints.ts';

/** One row of one answered request, as far as a watch wants it. */
export type SeenAnswer = Pick<
  Answer,
  | 'requestId'
  | 'row'
  | 'revision'
  | 'unit'
  | 'answeredMs'
  | 'assigned'
  | 'assignedVersion'
  | 'reason'
  | 'propensity'
  | 'graphMs'
  | 'cacheHit'
  | 'failed'
  | 'boot'
  | 'seq'
> & {
  /** Of its first class, or its value; absent: nothing finite was answered. */
  score?: number | undefined;
  /** It has a number that no sane model can compute with. */
  beyond?: boolean;
};

export interface TallyOptions {
  plan: CanaryPlan | BakePlan;
  /** That began the stage: answers under earlier ones are not its. */
  revision: number;
  /** When that was. */
  since: string;
}

/**
 * What a canary or bake stage has shown so far, answer by answer.
 *
 * - Of this stage are answers under its revision or a later one that were assigned at its own weight; what a person forced
 *   is outside, and so is a row with a number that no model can compute with, where the answer was not finite.
 * - Rows that it was not asked for are counted beside, from 30 seconds after the begin on: of a canary what its champion
 *   answered for it; of a bake what replicas answer by another version, or under a revision from before, since then.
 * - A row that is logged twice counts once.
 * - A unit counts once, by its first request that its version was asked for: of what is added together, the first by the
 *   time of the answer; it is not counted anew when an earlier one comes later.
 * - Blocks of the e-values end as soon as both sides have a unit, in the order in which units are counted: who is assigned
 *   to what settles them, never how it went.
 *
 * The same answers added in one go give the same evidence, whatever order they come in.
 */
export class CanaryTally {
  readonly #plan: CanaryPlan | BakePlan;
  readonly #revision: number;
  readonly #since: string;
  /** By then replicas have had time to follow and to load. */
  readonly #settledMs: number;
  readonly #watched: number;
  readonly #rows = new Fingerprints();
  readonly #assigned = new Fingerprints();
  readonly #asked = new Fingerprints();
  readonly #others = new Fingerprints();
  readonly #settled = { asked: 0, notAsked: 0 };
  readonly #heldOpen = new HeldOpen();
  readonly #version: WatchedVersion = {
    units: 0,
    failures: 0,
    slow: 0,
    attempts: 0,
    failedAttempts: 0,
    byWhy: {},
    inARow: 0,
    notAsked: 0,
    breakerOpen: 0,
  };
  readonly #champion = { units: 0, failures: 0, slow: 0 };
  readonly #errors = new SettledBlocks();
  readonly #slow = new SettledBlocks();
  readonly #runs = new FailingRuns();
  readonly #scores: number[] | undefined;
  #lastMs = -Infinity;

  constructor({ plan, revision, since }: TallyOptions) {
    this.#plan = plan;
    this.#revision = revision;
    this.#since = since;
    this.#settledMs = Date.parse(since) + SETTLES_MS;
    this.#watched = plan.kind === 'canary' ? plan.challenger : plan.champion;
    this.#scores = plan.kind === 'canary' && plan.scores ? plan.scores.counts.map(() => 0) : undefined;
  }

  /**
   * Counts what is new in it; the rest is passed over.
   *
   * @param nowMs  the watch's clock: a replica whose clock is ahead of it is taken back to it where time decides
   */
  add(answers: readonly SeenAnswer[], nowMs: number): void {
    for (const answer of this.#own(answers)) this.#countOnce(answer, nowMs);
    this.#version.inARow = this.#runs.longest(nowMs);
  }

  /** The same, with pauses in which the process does other things: who takes over has hours of answers to add. */
  async addInTurns(answers: readonly SeenAnswer[], nowMs: number): Promise<void> {
    let counted = 0;
    for (const answer of this.#own(answers)) {
      this.#countOnce(answer, nowMs);
      if (++counted % IN_ONE_TURN === 0) await setImmediate();
    }
    this.#version.inARow = this.#runs.longest(nowMs);
  }

  #own(answers: readonly SeenAnswer[]): SeenAnswer[] {
    return answers.filter((answer) => this.#isOfStage(answer) || this.#isOfAnother(answer)).sort(byTime);
  }

  #countOnce(answer: SeenAnswer, nowMs: number): void {
    if (!this.#rows.add(`${answer.row} ${answer.requestId}`)) return;
    if (this.#isOfAnother(answer)) this.#settled.notAsked++;
    else this.#count(answer, nowMs);
  }

  /** ln E that the canary fails more often than the champion; 0 in a bake, which has nobody beside it. */
  get logE(): number {
    return this.#errors.logE;
  }

  /** Of the version that is watched. */
  get counts(): Readonly<WatchedVersion> {
    return this.#version;
  }

  evidence(at: { asOf: string; watchedMs: number }): CanaryEvidence | BakeEvidence {
    const o = { since: this.#since, ...at };
    const version = { ...this.#version, byWhy: { ...this.#version.byWhy }, settled: { ...this.#settled } };
    const last = Number.isFinite(this.#lastMs) && { lastAnswerAt: new Date(this.#lastMs).toISOString() };
    if (this.#plan.kind === 'bake') return { kind: 'bake', ...o, champion: version, ...last };
    return {
      kind: 'canary',
      ...o,
      canary: {
        ...version,
        unitsNotAsked: this.#assigned.size - this.#asked.size,
        keptBack: this.#heldOpen.keptBack,
      },
      champion: { ...this.#champion },
      errorsLogE: this.#errors.logE,
      ...(this.#plan.stage.sloMs !== undefined && { slowLogE: this.#slow.logE }),
      ...(this.#scores && { scores: [...this.#scores] }),
      ...last,
    };
  }

  #isOfStage({ revision, assigned, assignedVersion, propensity, failed, beyond }: SeenAnswer): boolean {
    if (revision < this.#revision || assigned === 'forced') return false;
    if (beyond && failed?.why === 'not-finite') return false;
    const plan = this.#plan;
    if (plan.kind === 'bake') return assigned === 'champion' && assignedVersion === plan.champion;
    const { weight } = plan.stage;
    return assigned === 'canary'
      ? assignedVersion === plan.challenger && propensity === weight
      : assignedVersion === plan.champion && propensity === 1 - weight;
  }

  /** In a bake: what a replica answered that goes on with what it had. */
  #isOfAnother({ revision, assigned, assignedVersion, answeredMs }: SeenAnswer): boolean {
    if (this.#plan.kind !== 'bake' || assigned === 'forced' || answeredMs < this.#settledMs) return false;
    return revision < this.#revision || assignedVersion !== this.#watched;
  }

  #count(answer: SeenAnswer, nowMs: number): void {
    this.#lastMs = Math.max(this.#lastMs, Math.min(answer.answeredMs, nowMs));
    if (answer.assignedVersion === this.#watched) this.#countWatched(answer);
    else if (this.#others.add(answer.unit)) {
      const failed = answer.failed !== undefined;
      this.#champion.units++;
      if (failed) this.#champion.failures++;
      const isSlow = this.#countSpeed(answer, failed, 'champion');
      if (isSlow) this.#champion.slow++;
      this.#errors.add('champion', failed);
    }
  }

  #countWatched(answer: SeenAnswer): void {
    const version = this.#version;
    this.#assigned.add(answer.unit);
    const isAsked = answer.reason !== 'canary-not-loaded' && answer.reason !== 'breaker-open';
    if (answer.answeredMs >= this.#settledMs) this.#settled[isAsked ? 'asked' : 'notAsked']++;
    if (!isAsked) {
      version.notAsked++;
      if (answer.reason === 'breaker-open') {
        version.breakerOpen++;
        this.#heldOpen.kept(answer);
      }
      return;
    }
    const failed = answer.failed !== undefined;
    if (!failed) this.#heldOpen.answered(answer);
    version.attempts++;
    if (failed) {
      version.failedAttempts++;
      version.byWhy[answer.failed!.why] = (version.byWhy[answer.failed!.why] ?? 0) + 1;
    }
    this.#runs.add(answer, failed);
    if (!this.#asked.add(answer.unit)) return;
    version.units++;
    if (failed) version.failures++;
    if (this.#countSpeed(answer, failed, 'canary')) version.slow++;
    if (this.#plan.kind === 'canary') this.#errors.add('canary', failed);
    if (!failed && answer.score !== undefined) this.#countScore(answer.score);
  }

  /** Whether its graph took too long; where that cannot be said, for there was no run of its own, the unit is not in the test. */
  #countSpeed({ cacheHit, graphMs }: SeenAnswer, failed: boolean, side: Side): boolean {
    const { sloMs } = this.#plan.stage;
    if (sloMs === undefined || cacheHit || failed) return false;
    const isSlow = graphMs > sloMs;
    if (this.#plan.kind === 'canary') this.#slow.add(side, isSlow);
    return isSlow;
  }

  #countScore(score: number): void {
    if (this.#plan.kind !== 'canary' || !this.#plan.scores || !this.#scores) return;
    const bin = this.#plan.scores.edges.filter((edge) => edge <= score).length;
    if (bin < this.#scores.length) this.#scores[bin]!++;
  }
}

const IN_ONE_TURN = 10_000;
const SETTLES_MS = 30_000;

type Side = 'champion' | 'canary';

type Placed = Pick<SeenAnswer, 'answeredMs' | 'boot' | 'seq'>;

const byTime = (a: Placed, b: Placed): number =>
  a.answeredMs - b.answeredMs || (a.boot < b.boot ? -1 : a.boot > b.boot ? 1 : a.seq - b.seq);

/** An e-value over blocks that end as soon as both sides have a unit. */
class SettledBlocks {
  readonly #e = new CanaryEValue();
  #open = { championUnits: 0, championFailures: 0, canaryUnits: 0, canaryFailures: 0 };

  get logE(): number {
    return this.#e.logE;
  }

  add(side: Side, failed: boolean): void {
    this.#open[`${side}Units`]++;
    if (failed) this.#open[`${side}Failures`]++;
    if (this.#open.championUnits === 0 || this.#open.canaryUnits === 0) return;
    this.#e.add(this.#open);
    this.#open = { championUnits: 0, championFailures: 0, canaryUnits: 0, canaryFailures: 0 };
  }
}

/** Rows that breakers kept back for longer than the first two times that one is open: two trials have failed by then. */
class HeldOpen {
  keptBack = 0;
  /** By replica, since when. */
  readonly #openMs = new Map<string, number>();

  kept({ boot, answeredMs }: Placed): void {
    const openMs = this.#openMs.get(boot);
    if (openMs === undefined) this.#openMs.set(boot, answeredMs);
    else if (answeredMs - openMs > HELD_OPEN_MS) this.keptBack++;
  }

  answered({ boot, answeredMs }: Placed): void {
    if (answeredMs >= (this.#openMs.get(boot) ?? Infinity)) this.#openMs.delete(boot);
  }
}

/** 10 and 20 seconds: policies/breaker.ts. */
const HELD_OPEN_MS = 30_000;

type Attempt = Placed & { unit: string; failed: boolean };

/** Replicas upload at their own times: an attempt that comes later than this finds its place taken. */
const SETTLED_MS = 5 * 60_000;

/** Attempts in the order of their answers, and the most units whose attempts failed one after the other. */
class FailingRuns {
  /** All of them before `#settledMs`. */
  readonly #settled = new Run();
  #settledMs = -Infinity;
  #recent: Attempt[] = [];
  #isSorted = true;

  add({ answeredMs, boot, seq, unit }: SeenAnswer, failed: boolean): void {
    if (answeredMs < this.#settledMs) return;
    this.#recent.push({ answeredMs, boot, seq, unit, failed });
    this.#isSorted = false;
  }

  /** @param nowMs  nothing is settled by a clock that is ahead of it */
  longest(nowMs: number): number {
    if (!this.#isSorted) this.#recent.sort(byTime);
    this.#isSorted = true;
    const newest = this.#recent.at(-1);
    if (newest) this.#settle(Math.min(newest.answeredMs, nowMs) - SETTLED_MS);
    const run = this.#settled.copy();
    for (const attempt of this.#recent) run.add(attempt);
    return run.longest;
  }

  #settle(beforeMs: number): void {
    let settled = 0;
    while (this.#recent[settled]!.answeredMs < beforeMs) this.#settled.add(this.#recent[settled++]!);
    if (settled > 0) this.#recent = this.#recent.slice(settled);
    this.#settledMs = Math.max(this.#settledMs, beforeMs);
  }
}

class Run {
  longest = 0;
  #units = new Set<string>();

  add({ unit, failed }: Attempt): void {
    if (failed) this.longest = Math.max(this.longest, this.#units.add(unit).size);
    else if (this.#units.size > 0) this.#units.clear();
  }

  copy(): Run {
    const run = new Run();
    run.longest = this.longest;
    run.#units = new Set(this.#units);
    return run;
  }
}

import { isDeepStrictEqual } from 'node:util';
import { Context as ActivityContext, CancelledFailure } from '@temporalio/activity';
import { judge, watchOver, type Judgement } from '../../policies/index.ts';
import {
  durationMs,
  UserError,
  type BakeEvidence,
  type BakePlan,
  type CanaryEvidence,
  type CanaryPlan,
  type LookRef,
  type OpenRollout,
  type ScoreHistogram,
  type Verdict,
  type Watched,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { reportProgress } from '../guard.ts';
import { AnswerFeed } from './answer-feed.ts';
import { CanaryTally } from './canary-tally.ts';
import { whyOvertaken } from './hold.ts';

export interface WatchOptions {
  /** The workflow's. What is watched here is real traffic, so everything but this goes by the real clock. */
  now: string;
  /** When the stage's revision was committed. */
  since: string;
  /** That began the stage: answers under earlier ones are not its. */
  revision: number;
  /** It goes on looking, and undoes what does harm, but it does not let the stage pass. */
  paused?: boolean;
  /** How long it was paused before. */
  pausedMs?: number;
  /** Of the challenger's shadow scores. */
  histogram?: ScoreHistogram;
  /** It ends by itself after this, undecided. */
  maxMs?: number;
}

/** What it says with its heartbeats. */
export interface WatchProgress {
  line: string;
  units: number;
  failures: number;
  logE: number;
}

const LOOK_AGAIN_MS = 10 * 60_000;
const MOST_TRIES = 100;
/** So long it goes on though the bucket fails: to begin anew it would have to read the whole stage from that bucket. */
const PATIENCE_MS = 60_000;
/** A look that takes longer hangs; the client of the bucket has given up long before. Another worker has another connection. */
const LOOK_LIMIT_MS = 60_000;

/**
 * Watches a canary or bake stage until it can say pass or fail, or cannot go on.
 *
 * Every lookEvery it reads what has come into the prediction log and judges the stage by all of it. It writes a look when
 * its word changes, every 10 minutes, and at its end, also when it is cancelled: then it gives back its last. Safe to
 * repeat: who takes over reads the stage from its begin, and adds looks to those that are there; how long it was paused,
 * and maxMs, count from when the activity was scheduled, whichever attempt this is.
 *
 * A bucket that fails is asked again for a minute. A look that hangs for as long is given up, with this attempt.
 */
export const createWatch = (
  context: Context,
  { clock = Date.now, lookLimitMs = LOOK_LIMIT_MS }: { clock?: () => number; lookLimitMs?: number } = {},
) => ({
  async watch(rollout: OpenRollout, stage: number, o: WatchOptions): Promise<Watched> {
    const activity = ActivityContext.current();
    const watch = new Watch(context, rollout, stage, o, clock, activity.info.scheduledTimestampMs);
    // What is given up goes no further than the next step of its own.
    const given = new AbortController();
    const look = async (): Promise<Watched | undefined> => {
      try {
        // The first reads all there is, which takes what it takes.
        return await inTime(watch.look(given.signal), activity, watch.hasLooked ? lookLimitMs : undefined);
      } catch (error) {
        if (error instanceof CancelledFailure || error instanceof UserError || error instanceof LookHangs) throw error;
        watch.bear(error);
        return undefined;
      }
    };
    try {
      for (;;) {
        const watched = await look();
        if (watched) return watched;
        await activity.sleep(watch.everyMs);
      }
    } catch (error) {
      given.abort(error);
      if (!(error instanceof CancelledFailure)) throw error;
      const last = await watch.last();
      // Whoever asked it to end is told what it saw; a worker that goes down leaves the stage to another.
      if (last && error.message === 'CANCELLED') return last;
      throw error;
    }
  },
});

class LookHangs extends Error {}

/** The work, unless the activity is cancelled or the time is up first; the work itself is not stopped by that. */
async function inTime<T>(work: Promise<T>, activity: ActivityContext, limitMs: number | undefined): Promise<T> {
  let stop = (): void => {};
  const interrupted = new Promise<never>((_, reject) => {
    // A listener that is taken away again: a promise that lasts for days would keep one for each look.
    const cancel = (): void => void activity.cancelled.catch(reject);
    const { cancellationSignal } = activity;
    if (cancellationSignal.aborted) cancel();
    else cancellationSignal.addEventListener('abort', cancel);
    const hangs = (): void =>
      reject(new LookHangs(`a look at the answers took over ${limitMs! / 1000} seconds: another attempt begins anew`));
    const timeout = limitMs === undefined ? undefined : setTimeout(hangs, limitMs);
    stop = () => {
      clearTimeout(timeout);
      cancellationSignal.removeEventListener('abort', cancel);
    };
  });
  try {
    return await Promise.race([work, interrupted]);
  } finally {
    stop();
  }
}

interface Seen extends Judgement {
  evidence: CanaryEvidence | BakeEvidence;
  head: number;
}

class Watch {
  readonly everyMs: number;
  readonly #context: Context;
  readonly #rollout: OpenRollout;
  readonly #stage: number;
  readonly #o: WatchOptions;
  readonly #clock: () => number;
  readonly #plan: CanaryPlan | BakePlan;
  readonly #tally: CanaryTally;
  readonly #feed: AnswerFeed;
  /** When this was scheduled; a retry is scheduled then. */
  readonly #fromMs: number;
  #failsSinceMs: number | undefined;
  #seen: Seen | undefined;
  #written: { ref: LookRef; ms: number; seen: Seen } | undefined;

  constructor(
    context: Context,
    rollout: OpenRollout,
    stage: number,
    o: WatchOptions,
    clock: () => number,
    scheduledMs: number,
  ) {
    this.#context = context;
    this.#rollout = rollout;
    this.#stage = stage;
    this.#o = o;
    this.#clock = clock;
    this.#plan = planOf(rollout, stage, o.histogram);
    this.everyMs = durationMs(this.#plan.stage.lookEvery);
    this.#tally = new CanaryTally({ plan: this.#plan, revision: o.revision, since: o.since });
    this.#feed = new AnswerFeed(context, { model: rollout.model, since: o.since });
    this.#fromMs = scheduledMs;
  }

  get hasLooked(): boolean {
    return this.#seen !== undefined;
  }

  /** Once around; undefined while it goes on. Where it throws, the next one goes on from there. */
  async look(signal: AbortSignal): Promise<Watched | undefined> {
    const { model } = this.#rollout;
    const head = await this.#context.stores.serving.current(model);
    const overtaken = whyOvertaken(head, this.#rollout);
    const nowMs = this.#clock();
    await this.#tally.addInTurns(await this.#feed.next(nowMs, signal), nowMs);
    signal.throwIfAborted();
    const seen = this.#judge(nowMs, head?.n ?? 0);
    this.#seen = seen;
    const line = this.#line(seen);
    if (overtaken !== undefined)
      return { ref: await this.#write(seen), line: `overtaken: ${overtaken}`, over: 'overtaken' };
    const { says } = seen.verdict;
    const word = this.#o.paused === true && says === 'pass' ? 'undecided' : says;
    if (word === 'pass' || word === 'fail') return { ref: await this.#write(seen), line };
    const over = watchOver(this.#plan, seen.evidence, seen.evidence.asOf);
    if (over && this.#o.paused !== true)
      return { ref: await this.#write(seen), line: `${over.over}: ${over.because}`, over: over.over };
    if (this.#o.maxMs !== undefined && nowMs - this.#fromMs >= this.#o.maxMs)
      return { ref: await this.#write(seen), line };
    if (!this.#written || wordOf(seen.verdict) !== wordOf(this.#written.seen.verdict) || this.#isTime(nowMs))
      await this.#write(seen);
    this.#failsSinceMs = undefined;
    this.#say(line);
    return undefined;
  }

  /** Says that a look failed. @throws the error, once looks have failed for too long */
  bear(error: unknown): void {
    const nowMs = this.#clock();
    this.#failsSinceMs ??= nowMs;
    const forMs = nowMs - this.#failsSinceMs;
    if (forMs >= PATIENCE_MS) throw error;
    const saw = this.#seen ? `${this.#line(this.#seen)}; ` : '';
    const seconds = Math.round(forMs / 1000);
    this.#say(
      `${saw}cannot look for ${seconds} seconds, given up after ${PATIENCE_MS / 1000}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }

  /** What it saw last, which is in a look then. */
  async last(): Promise<Watched | undefined> {
    const seen = this.#seen;
    return seen && { ref: await this.#write(seen), line: this.#line(seen) };
  }

  #isTime(nowMs: number): boolean {
    return nowMs - this.#written!.ms >= LOOK_AGAIN_MS;
  }

  #judge(nowMs: number, head: number): Seen {
    const { since, pausedMs = 0, paused } = this.#o;
    // While it is paused the stage's own time stands still, through all attempts.
    const untilMs = paused === true ? this.#fromMs : nowMs;
    const evidence = this.#tally.evidence({
      asOf: new Date(nowMs).toISOString(),
      watchedMs: Math.max(0, untilMs - Date.parse(since) - pausedMs),
    });
    return { ...judge(this.#plan, evidence), evidence, head };
  }

  async #write(seen: Seen): Promise<LookRef> {
    if (this.#written?.seen === seen) return this.#written.ref;
    const { model, workflowId, runId } = this.#rollout;
    const { evidence, rules, figures, verdict } = seen;
    const { looks } = this.#context.stores;
    const plan = this.#plan;
    const created = (atMs: number) =>
      looks.create({
        model,
        versions: plan.kind === 'canary' ? [plan.champion, plan.challenger] : versionsOf(plan),
        kind: plan.kind,
        at: new Date(atMs).toISOString(),
        rollout: { workflowId, runId, stage: this.#stage },
        ...(this.#written && { previous: this.#written.ref.key }),
        window: { from: this.#o.since, to: evidence.asOf },
        plan,
        revision: seen.head,
        evidence,
        rules,
        figures,
        verdict,
        build: this.#context.build.commit,
      });
    const asOfMs = Date.parse(evidence.asOf);
    let { key, sha256, look } = await created(asOfMs);
    // Another run of this activity, which is thought dead, looked in the same millisecond.
    for (let tries = 1; !isDeepStrictEqual(look.evidence, evidence) && tries < MOST_TRIES; tries++)
      ({ key, sha256, look } = await created(asOfMs + tries));
    const ref: LookRef = { key, sha256, kind: look.kind, verdict: look.verdict };
    this.#written = { ref, ms: asOfMs, seen };
    return ref;
  }

  #line({ verdict, evidence }: Seen): string {
    const { units, failedAttempts, attempts } = this.#tally.counts;
    const beside = evidence.kind === 'canary' ? ` of ${units + evidence.champion.units}` : '';
    return `${verdict.says}: ${verdict.because} (${units}${beside} units, ${failedAttempts} of ${attempts} attempts failed)`;
  }

  #say(line: string): void {
    const { units, failures } = this.#tally.counts;
    reportProgress({ line, units, failures, logE: this.#tally.logE } satisfies WatchProgress);
  }
}

const wordOf = ({ says, limitedBy }: Verdict): string => `${says} ${limitedBy}`;

const versionsOf = ({ champion, previous }: BakePlan): number[] =>
  previous === undefined ? [champion] : [previous, champion];

/** The stage with what it left open settled. */
function planOf(
  { stages, champion, version }: OpenRollout,
  at: number,
  histogram: ScoreHistogram | undefined,
): CanaryPlan | BakePlan {
  const stage = stages[at];
  if (stage?.kind === 'bake')
    return { kind: 'bake', stage, champion: version, ...(champion !== undefined && { previous: champion }) };
  if (stage?.kind !== 'canary' || champion === undefined)
    throw new UserError(
      'NothingToWatch',
      `Stage ${at} of this rollout is ${stage ? `a ${stage.kind} stage${champion === undefined ? ' without a champion' : ''}` : 'not there'}. Watched are canary stages beside a champion, and bake stages.`,
    );
  const canaries = stages.filter(({ kind }) => kind === 'canary').length;
  return {
    kind: 'canary',
    stage,
    champion,
    challenger: version,
    alpha: stage.alpha / canaries,
    ...(histogram && { scores: histogram }),
  };
}

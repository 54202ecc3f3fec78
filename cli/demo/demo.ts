import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '@temporalio/client';
import { createClient, type Client } from '../../api/client.ts';
import { openStores } from '../../bucket/index.ts';
import { UserError, type Look, type RolloutResult } from '../../schemas/index.ts';
import { start, type Running } from '../../workers/start.ts';
import { findExecutable, TEMPORAL_CLI } from '../../workers/temporal/index.ts';
import { gauntletHome } from '../environment.ts';
import { followTraining } from '../follow.ts';
import { paint } from '../output.ts';
import { AS_OF, brokenCanary, MODEL, UNTIL, WHERE, type Act, type Recipe } from './acts.ts';
import { axisFor, trialHead, trialLine, trialRow } from './band.ts';
import { readBookings, type LogDay } from './bookings.ts';
import { registerBroken, type Harm } from './broken-graphs.ts';
import { RolloutFollower } from './follow-rollout.ts';
import { Player, quantileMs } from './player.ts';
import { demoProject, EXAMPLE } from './project.ts';
import { createScreen, type Screen } from './screen.ts';
import { judgeDemo, type Ending, type Told } from './summary.ts';

export interface DemoOptions {
  act: Act;
  /** Nobody is waited for. */
  approve?: boolean;
  /** Kept; default a temporary folder that goes with the demo. */
  home?: string;
  port?: number;
  /** Of the log, each second while the trial runs. */
  daysPerSecond?: number;
  /** Everything stays up after the end, to be looked at. */
  stay?: boolean;
  signal?: AbortSignal;
  screen?: Screen;
}

/** While people, canaries and bakes are real: single bookings, so many in a second. */
const LIVE_REQUESTS_PER_SECOND = 150;
/** Seconds of play: the log waits for looks that are further behind, so that a slow machine sees what a quick one does. */
const MOST_SECONDS_AHEAD = 3;
const SEGMENT_MS = 500;
const SERVED_WITHIN_MS = 60_000;
const DAY_MS = 86_400_000;

/**
 * Plays months of real bookings against a home and a bucket of its own, and tells what becomes of the challenger.
 *
 * @throws {UserError} where its home is not fresh
 */
export async function demo(options: DemoOptions): Promise<Ending> {
  const { screen = createScreen(), signal = new AbortController().signal } = options;
  try {
    return await played(options, screen, signal);
  } catch (error) {
    if (!signal.aborted || !(error instanceof Error) || error.name !== 'AbortError') throw error;
    screen.line('Stopped before the end.');
    return { ok: false, lines: ['✗ it was stopped before the end'] };
  }
}

async function played(options: DemoOptions, screen: Screen, signal: AbortSignal): Promise<Ending> {
  if (options.home !== undefined) await requireFresh(resolve(options.home));
  const home = options.home === undefined ? await mkdtemp(join(tmpdir(), 'gauntlet-demo-')) : resolve(options.home);
  const say = (line: string) => screen.line(paint('dim', line));
  try {
    screen.line(`gauntlet demo: ${options.act.title}. Its home is ${home}.`);
    const running = await start({
      home,
      bucket: `file:${join(home, 'bucket')}`,
      ...(options.port !== undefined && { port: options.port }),
      defaultModel: MODEL,
      segmentMs: SEGMENT_MS,
      say,
      signal,
      env: await ownEnvironment(home, say),
    });
    try {
      const play = new Demo(running, options, screen, signal);
      const ending = await Promise.race([play.play(), running.failed]);
      if (options.stay && !signal.aborted) {
        screen.line(`Everything stays up (${running.url}${running.uiUrl ? `, ${running.uiUrl}` : ''}) until Ctrl-C.`);
        await new Promise((done) => signal.addEventListener('abort', done, { once: true }));
      }
      return ending;
    } finally {
      screen.line(paint('dim', 'Stopping: API, workers and Temporal …'));
      await running.stop();
    }
  } finally {
    if (options.home === undefined) await rm(home, { recursive: true, force: true });
  }
}

/** The story begins with nobody in service: beside the champion of an earlier one, its first version would be a challenger. */
async function requireFresh(home: string): Promise<void> {
  if (!existsSync(join(home, 'bucket'))) return;
  const stores = await openStores({ bucket: `file:${join(home, 'bucket')}`, home });
  const champion = (await stores.serving.current(MODEL))?.serving.champion;
  if (champion === undefined) return;
  throw new UserError(
    'HomeInUse',
    `${home} is the home of an earlier demo, in which version ${champion} of ${MODEL} serves; this one begins with none. Give --home another folder, or remove this one.`,
  );
}

/**
 * Whatever Temporal server or key a person's shell names is not the demo's to write to. The program comes from the usual
 * home's cache, so that it is fetched once.
 */
async function ownEnvironment(home: string, say: (line: string) => void): Promise<NodeJS.ProcessEnv> {
  delete process.env['GAUNTLET_API_KEY']; // the client's own default
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_')));
  const cache = join(gauntletHome(), 'cache');
  const temporal = await findExecutable(TEMPORAL_CLI, { cache, say, env, allowInstall: true });
  const programs = join(home, 'bin');
  await rm(programs, { recursive: true, force: true });
  await mkdir(programs, { recursive: true });
  await symlink(temporal, join(programs, TEMPORAL_CLI.name));
  return { ...env, PATH: [programs, env['PATH']].join(delimiter) };
}

class Demo {
  private readonly running: Running;
  private readonly client: Client;
  private readonly act: Act;
  private readonly options: DemoOptions;
  private readonly screen: Screen;
  private readonly signal: AbortSignal;
  private readonly told: Told = { looks: [], broken: [] };
  private player!: Player;

  constructor(running: Running, options: DemoOptions, screen: Screen, signal: AbortSignal) {
    this.running = running;
    this.client = createClient(running.url);
    this.act = options.act;
    this.options = options;
    this.screen = screen;
    this.signal = signal;
  }

  async play(): Promise<Ending> {
    const { screen, act } = this;
    const from = performance.now();
    screen.heading(`1. It is ${AS_OF}: ${act.champion.called} goes into service`);
    await this.apply();
    const champion = await this.train(act.champion, true);
    await this.served(champion);
    screen.heading(`2. A challenger: ${act.challenger.called}, trained on what was known on the same day`);
    const challenger = await this.train(act.challenger, false);
    this.player = new Player({ url: this.running.url, model: MODEL, days: await this.days() });
    await this.trial(challenger);
    if (this.told.trial === undefined && !this.signal.aborted) {
      await this.rollOut(challenger);
      for (const [i, harm] of (['hangs', 'NaN'] as const).entries())
        if (!this.signal.aborted && this.told.promotion?.outcome === 'promoted')
          await this.breakIn(harm, challenger, i);
    }
    const ending = judgeDemo(act.expects, { ...this.told, tally: this.player.tally });
    screen.heading('In short');
    for (const line of ending.lines) screen.line(line);
    screen.line(`${Math.round((performance.now() - from) / 1000)} seconds`);
    return ending;
  }

  private async apply(): Promise<void> {
    const project = await demoProject(this.act.stages);
    const applied = await this.client.apply(project.files, { by: 'demo' });
    this.screen.line(`${applied.model}: project ${applied.n} applied, ${applied.hash.slice(0, 12)}`);
  }

  private async train({ called, overrides }: Recipe, promote: boolean): Promise<number> {
    this.signal.throwIfAborted();
    const { workflowId } = await this.client.train(MODEL, { overrides, asOf: AS_OF, promote });
    const shown = /^(split|train|evaluate|gate|register) /;
    const told = (line: string) => {
      if (shown.test(line)) this.screen.line(line.slice(0, this.screen.width));
    };
    const training = await followTraining(this.client, workflowId, told, this.signal);
    const { result, failure } = training;
    if (result?.version !== undefined) return result.version;
    throw new UserError(
      'NotTrained',
      `${called} was not trained: ${result?.because ?? failure?.message ?? training.status}.`,
    );
  }

  private async served(version: number): Promise<void> {
    const until = Date.now() + SERVED_WITHIN_MS;
    const serves = () =>
      this.running.serving
        .status()
        .models.some(({ model, serving }) => model === MODEL && serving?.version === version);
    while (!serves()) {
      if (Date.now() > until)
        throw new UserError('NotServed', `Version ${version} is not served: ${this.running.serving.ready().because}.`);
      await sleep(100, undefined, { signal: this.signal });
    }
    this.screen.line(`version ${version} serves at ${this.running.url}/v1/models/${MODEL}/predict`);
  }

  /** A shadow that is not there yet would miss what is played, and a trial without a live part has none. */
  private isLoaded(version: number): boolean {
    const isLive = this.act.stages.some((stage) => stage.kind === 'shadow' && stage['live'] !== undefined);
    return !isLive || this.running.serving.status().challengers.some((one) => one.version === version && one.loaded);
  }

  private async days(): Promise<LogDay[]> {
    const days = await readBookings(EXAMPLE, { from: AS_OF, until: UNTIL, where: WHERE });
    const bookings = days.reduce((sum, { rows }) => sum + rows.length, 0);
    this.screen.line(
      `${bookings.toLocaleString('en-US')} bookings of ${AS_OF} to ${UNTIL} (at most 180 days ahead) wait to be played, each with the day on which its outcome was known`,
    );
    return days;
  }

  /** The shadow trial, until it ends or a person is asked. */
  private async trial(challenger: number): Promise<void> {
    const { screen, act, client, player } = this;
    screen.heading('3. The trial: both score every booking, and only matured outcomes count');
    const begun = await client.startRollout(MODEL, {
      kind: 'promotion',
      version: challenger,
      by: 'demo',
      reason: 'a better model, perhaps',
    });
    if (begun.ui) screen.line(paint('dim', begun.ui));
    const follower = (this.follower = new RolloutFollower(client, MODEL, begun.runId));
    const playing = new AbortController();
    const stop = () => playing.abort();
    this.signal.addEventListener('abort', stop);
    let seenMs = Date.parse(AS_OF);
    let traffic: Promise<void> | undefined;
    let failed: Error | undefined;
    let scale: number | undefined;
    const daysPerSecond = this.options.daysPerSecond ?? act.daysPerSecond;
    const mostAheadMs = MOST_SECONDS_AHEAD * daysPerSecond * DAY_MS;
    const result = await follower.follow({
      signal: this.signal,
      // What was planned and decided is in the looks.
      onNote: (text) => {
        if (text.startsWith('refused: ')) screen.line(text);
      },
      onLook: (look, key) => {
        if (look.kind !== 'shadow' || look.evidence.kind !== 'shadow') {
          screen.line(`${look.kind}: ${look.verdict.says}`);
          this.why(look);
          return;
        }
        const line = trialLine(look);
        this.told.looks.push({ day: line.day, says: look.verdict.says, because: look.verdict.because, key });
        seenMs = Date.parse(look.evidence.asOf);
        // While nothing can be drawn there is nothing to tell.
        if (!line.drawn && look.verdict.says !== 'fail') return;
        if (scale === undefined) {
          scale = line.drawn ? axisFor(line.drawn) : 1;
          screen.line(paint('dim', trialHead(screen.width, scale)));
        }
        screen.line(trialRow(line, screen.width, scale));
        if (look.verdict.says === 'pass') {
          stop();
          this.why(look);
        }
      },
      onStatus: (status) => {
        if (failed) throw failed;
        if (status.state === 'planning')
          screen.live('planning: the recipe under two more seeds, the noise of a week, placebo trials …');
        else if (!traffic && status.at === 0 && status.state === 'running' && this.isLoaded(challenger))
          traffic = player
            .replay({
              daysPerSecond,
              until: act.toTheEnd ? '9999' : UNTIL,
              signal: playing.signal,
              isAhead: () => Date.parse(player.date ?? AS_OF) - seenMs > mostAheadMs,
            })
            .catch((error: Error) => void (failed = error));
        else this.showTraffic();
      },
      until: (status) => status.state === 'waiting',
    });
    stop();
    this.signal.removeEventListener('abort', stop);
    await traffic;
    this.told.trial = result;
    if (result) screen.line(`${paint('bold', result.outcome)}: ${result.because}`.slice(0, 4 * screen.width));
  }

  private follower!: RolloutFollower;

  /** Every rule of a verdict, a line each. */
  private why({ verdict }: Look): void {
    for (const rule of verdict.because.split('; '))
      this.screen.line(paint('dim', `  ${rule}`.slice(0, this.screen.width)));
  }

  private showTraffic(more = ''): void {
    const { date, tally } = this.player;
    this.screen.live(
      `${date ?? AS_OF}  ${tally.rows.toLocaleString('en-US')} bookings asked, ${tally.labels.toLocaleString('en-US')} outcomes told, ${tally.failed} of ${tally.requests.toLocaleString('en-US')} requests failed${more}`,
    );
  }

  /** A person's word, the canaries and the bake, with live traffic from the canary on. */
  private async rollOut(challenger: number): Promise<void> {
    const { screen } = this;
    screen.heading(`4. A person's word`);
    await this.word();
    if (this.signal.aborted) return;
    screen.heading('5. Live traffic: canary, canary, bake');
    this.told.promotion = await this.withTraffic(this.follower, challenger);
  }

  private async word(): Promise<void> {
    const { screen, client, follower, options } = this;
    const { status } = await client.rollout(MODEL);
    const look = status?.awaiting?.sha256.slice(0, 8) ?? '';
    if (options.approve) {
      const { says } = await client.approve(MODEL, { by: 'demo --approve', reason: 'nobody is asked' });
      screen.line(says);
      return;
    }
    const { address } = (this.running.client.connection as Connection).options;
    screen.line(`Look ${look} waits for a person, and the log stands still. In another terminal:`);
    screen.line('');
    screen.line(
      `  npx gauntlet approve ${MODEL} --reason "the band is clear of the minimum effect" --api ${this.running.url}`,
    );
    screen.line('');
    screen.line("or with Temporal's own command, or from its UI:");
    screen.line('');
    screen.line(
      `  temporal workflow signal --address ${address} --workflow-id rollout-${MODEL} --name approve --input '{"by":"me","reason":"the band is clear of the minimum effect"}'`,
    );
    if (this.running.uiUrl)
      screen.line(`  ${this.running.uiUrl}/namespaces/${this.running.namespace}/workflows/rollout-${MODEL}`);
    screen.line('');
    screen.line('(reject in place of approve ends it; --approve waits for nobody)');
    await follower.follow({
      signal: this.signal,
      onLook: () => {},
      onNote: (text) => screen.line(text),
      onStatus: () => screen.live('waiting for a word …'),
      until: ({ stages, at, state }) => state !== 'waiting' && stages[at]?.kind !== 'approval',
    });
  }

  /** Follows a rollout through its watched stages, under live traffic. */
  private async withTraffic(follower: RolloutFollower, challenger: number): Promise<RolloutResult | undefined> {
    const { screen, player } = this;
    const over = new AbortController();
    const stop = () => over.abort();
    this.signal.addEventListener('abort', stop);
    let failed: Error | undefined;
    const traffic = player
      .live({ requestsPerSecond: LIVE_REQUESTS_PER_SECOND, signal: over.signal })
      .catch((error: Error) => void (failed = error));
    try {
      return await follower.follow({
        signal: this.signal,
        onLook: (look) => {
          const line = watchedLine(look);
          if (line !== undefined) screen.line(line);
        },
        // What a stage said is in its look.
        onNote: (text) => {
          if (text.startsWith('refused: ')) screen.line(text);
        },
        onStatus: () => {
          if (failed) throw failed;
          const p99 = quantileMs(player.tally.latencyMs, 0.99);
          const by = player.tally.versions[challenger] ?? 0;
          this.showTraffic(
            `, ${by} answered by version ${challenger}, p99 ${p99 === undefined ? '-' : Math.round(p99)} ms`,
          );
        },
        until: () => false,
      });
    } finally {
      stop();
      this.signal.removeEventListener('abort', stop);
      await traffic;
    }
  }

  /** A challenger that does harm, as a canary. */
  private async breakIn(harm: Harm, good: number, i: number): Promise<void> {
    const { screen, client, running } = this;
    const { n } = await registerBroken(running.stores, (await running.stores.versions.read(MODEL, good))!, harm);
    screen.heading(
      `${6 + i}. Version ${n} ${harm === 'hangs' ? 'hangs' : 'answers NaN'} on every booking that is not for today, and nobody noticed: it goes to a fifth of the traffic`,
    );
    const before = { ...this.player.tally };
    const fromMs = Date.now();
    const begun = await client.startRollout(MODEL, {
      kind: 'canaryRollout',
      version: n,
      stages: [brokenCanary] as never,
      by: 'demo',
      reason: 'in a hurry',
    });
    const follower = new RolloutFollower(client, MODEL, begun.runId);
    const result = await this.withTraffic(follower, n);
    if (!result) return;
    const seconds = (Date.now() - fromMs) / 1000;
    const { requests, failed } = this.player.tally;
    this.told.broken.push({ harm, outcome: result.outcome, failed: failed - before.failed });
    const champion = (await running.stores.serving.current(MODEL))?.serving.champion;
    screen.line(
      `${paint('bold', result.outcome)} after ${seconds.toFixed(1)} seconds: ${result.because}. ${failed - before.failed} of ${requests - before.requests} requests failed; version ${champion} serves.`,
    );
  }
}

/** The word of a canary or a bake in a line; undefined while there is none. */
function watchedLine({ kind, verdict: { says, because }, evidence, plan }: Look): string | undefined {
  const watched =
    evidence.kind === 'canary' ? evidence.canary : evidence.kind === 'bake' ? evidence.champion : undefined;
  if (!watched) return undefined;
  if (says !== 'pass' && says !== 'fail') return undefined;
  const name = plan.kind === 'canary' ? `canary ${100 * plan.stage.weight} %` : kind;
  const counted = `${watched.units} bookings, ${watched.failedAttempts} of ${watched.attempts} attempts failed`;
  // Why it passes is every rule that holds.
  return `${name}: ${says === 'pass' ? paint('green', 'pass') : paint('red', 'fail')}: ${counted}${says === 'fail' ? `: ${because}` : ''}`;
}

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { Context } from '../../activities/context.ts';
import { openPredictionLog, openStores, writeSegment, type Stores } from '../../bucket/index.ts';
import { Random } from '../../numerics/index.ts';
import { Stages, TASK_QUEUE, type RolloutResult, type RolloutStatus } from '../../schemas/index.ts';
import { connect } from '../../workers/temporal/index.ts';
import { trainVersion } from '../activities/rollout/trained-versions.ts';
import { post, serve, startServing } from '../api/serving/fixture.ts';
import { answer, DAY_MS, label } from '../sql/log-records.ts';
import type { Kill } from './kill-plan.ts';
import { launchWorkers, until, whileAlive, type Program } from './kill-process.ts';
import type { KillableServer } from './kill-server.ts';

const MODEL = 'small';
const WEEKS = 20;
const REQUESTS = 6_000;
const FROM_MS = Date.parse('2024-06-03T12:00:00Z');
const WITHIN_MS = 150_000; // alone a few seconds; not where everything else runs beside it

const MIN_REQUESTS = 20;
const STAGES = Stages.parse([
  // One look: the next would be a day later.
  { kind: 'shadow', minimumEffect: 0.002, worthFinding: 0.1, maxUnseen: 0.5, maxWait: '60 days' },
  { kind: 'approval', allowUnverified: true },
  { kind: 'canary', weight: 0.5, minDuration: '3 seconds', minRequests: MIN_REQUESTS, lookEvery: '0.5 seconds' },
  { kind: 'bake', minDuration: '3 seconds', minRequests: MIN_REQUESTS, lookEvery: '0.5 seconds' },
]);

/** What is done to the machine while the rollout is in it, in this order. */
export type Harm =
  | { kill: { activity: string; moment: Kill['moment']; afterMs?: number } }
  /** From outside, once the rollout is in the stage and is watched or waits. */
  | { killAt: 'approval' | 'canary' | 'bake' }
  /** While what watches it is told to end, because of a pause that is over before its death is noticed. */
  | { killPausedAt: 'canary' | 'bake' }
  | { killServerAt: 'approval' | 'bake' };

/** What a rollout leaves, but for times. */
export interface Left {
  outcome: string;
  stage: string | undefined;
  routed: object[];
  /** Kind and word of each look that a step writes once. */
  looks: string[];
  /** The last word on each stage that is watched. */
  watched: string[];
}

interface Place {
  home: string;
  bucket: string;
  address: string;
}

/** A challenger that is better, its prediction log, and workers in a process of their own that die as told. */
export class KilledRollout {
  readonly #server: KillableServer;
  readonly #place: Place;
  readonly #stores: Stores;
  #program: Program;
  /** The stage in which something is to be done next, and the requests that were sent in it so far. */
  #target: { kind: string; requests: number } | undefined;

  private constructor(server: KillableServer, place: Place, stores: Stores, program: Program) {
    this.#server = server;
    this.#place = place;
    this.#stores = stores;
    this.#program = program;
  }

  /** From its start to its end, the harm done on the way. */
  static async run(o: { folder: string; name: string; server: KillableServer; harms: readonly Harm[] }): Promise<Left> {
    const home = join(o.folder, o.name);
    await mkdir(home);
    const place = { home, bucket: `file:${join(home, 'bucket')}`, address: o.server.address };
    const stores = await openStores(place);
    await writeTrial({ stores, home, build: { commit: 'x', dirty: false, node: 'x', packages: {} } });
    const rollout = new KilledRollout(o.server, place, stores, launchWorkers({ ...place, ...killOf(o.harms[0]) }));
    try {
      return await rollout.#run(o.harms);
    } finally {
      await rollout.#program.end('SIGKILL');
    }
  }

  async #run(harms: readonly Harm[]): Promise<Left> {
    const connected = await connect({ address: this.#place.address, namespace: 'default' }, {});
    const predictionLog = await openPredictionLog({
      bucket: this.#stores.bucket,
      home: join(this.#place.home, 'api'),
      limits: { segmentMs: 300 },
    });
    const api = await startServing(this.#stores, { predictionLog });
    let goesOn = true;
    try {
      const handle = await connected.client.workflow.start('promotion', {
        taskQueue: TASK_QUEUE,
        workflowId: `rollout-${MODEL}`,
        args: [{ model: MODEL, version: 2, stages: STAGES, by: 'tests' }],
      });
      const person = this.#approve(handle);
      const traffic = person.then(() => this.#ask(handle, api.app, () => goesOn));
      // Without a person, or a request, it would wait for ever.
      const broken = new Promise<never>((_, reject) => void traffic.catch(reject));
      broken.catch(() => {}); // who waits for it is told
      const harmed = async () => {
        for (const [i, harm] of harms.entries()) await this.#harm(handle, harm, harms[i + 1]);
        return (await whileAlive(this.#program, handle.result())) as RolloutResult;
      };
      const result = await Promise.race([harmed(), broken]);
      goesOn = false;
      await traffic;
      return await this.#left(result);
    } finally {
      goesOn = false;
      await api.stop();
      await predictionLog.close();
      await connected.close();
    }
  }

  async #harm(handle: WorkflowHandle, harm: Harm, next: Harm | undefined): Promise<void> {
    if ('kill' in harm) {
      const late = setTimeout(() => void this.#program.end('SIGTERM'), WITHIN_MS);
      const { signal, code } = await this.#program.ended;
      clearTimeout(late);
      if (signal !== 'SIGKILL')
        throw new Error(
          `the process did not come to ${harm.kill.activity}: ${code ?? signal}\n${this.#program.printed().slice(-2000)}`,
        );
      this.#program = launchWorkers({ ...this.#place, ...killOf(next) });
      return;
    }
    const [kind] = Object.values(harm) as [string];
    this.#target = { kind, requests: 0 };
    await this.#reached(handle, kind);
    if ('killPausedAt' in harm) await this.#pause(handle);
    if ('killServerAt' in harm) await this.#server.kill();
    // Where the server goes and what comes next is a death of its own, nobody may do that step before.
    const dies = !('killServerAt' in harm) || (next !== undefined && 'kill' in next);
    if (dies) await this.#program.end('SIGKILL');
    if ('killServerAt' in harm) await this.#server.start();
    const { status } = await handle.describe();
    if (status.name !== 'RUNNING') throw new Error(`the harm in ${kind} came too late: ${status.name}`);
    if ('killPausedAt' in harm) await handle.signal('resume', { by: 'bo', reason: 'go on' });
    this.#target = undefined;
    if (dies) this.#program = launchWorkers({ ...this.#place, ...killOf(next) });
  }

  async #pause(handle: WorkflowHandle): Promise<void> {
    await handle.signal('pause', { by: 'bo', reason: 'wait' });
    await until(async () => (await statusOf(handle))?.state === 'paused' || undefined, {
      withinMs: WITHIN_MS,
      otherwise: () => 'it was not paused',
    });
  }

  async #reached(handle: WorkflowHandle, kind: string): Promise<void> {
    await until(
      async () => {
        const status = await statusOf(handle);
        const isIn = status?.stages[status.at]?.kind === kind;
        return isIn && (kind !== 'approval' || status.awaiting) ? true : undefined;
      },
      { withinMs: WITHIN_MS, otherwise: () => `${kind} was not reached:\n${this.#program.printed().slice(-2000)}` },
    );
    // It is being watched.
    if (kind !== 'approval') await sleep(1_000);
  }

  /** A person, who says so until it is heard. */
  async #approve(handle: WorkflowHandle): Promise<void> {
    for (; ; await sleep(300)) {
      const status = await statusOf(handle);
      if (status?.state === 'ended') throw new Error(`it ended before: ${status.outcome}`);
      if (status && status.at > 1) return;
      if (status?.awaiting && status.votes.length === 0 && this.#target?.kind !== 'approval')
        await handle.signal('approve', { by: 'bo', reason: 'looks right' }).catch(() => {}); // the server may be away
    }
  }

  /** Forty requests a second, each of somebody else; in a stage in which something is still to be done, too few for its end. */
  async #ask(handle: WorkflowHandle, app: Parameters<typeof post>[0], goesOn: () => boolean): Promise<void> {
    const random = new Random(5);
    for (; goesOn(); await sleep(25)) {
      const target = this.#target;
      if (target) {
        const status = await statusOf(handle);
        const mayBeThere = !status || status.stages[status.at]?.kind === target.kind;
        if (mayBeThere && ++target.requests >= MIN_REQUESTS) continue;
      }
      const response = await post(app, `/v1/models/${MODEL}/predict`, visit(random, Date.now()));
      if (!response.ok) throw new Error(`a request was answered ${response.status}: ${await response.text()}`);
    }
  }

  async #left({ outcome, stage }: RolloutResult): Promise<Left> {
    const { looks, serving } = this.#stores;
    const all = (await looks.list(MODEL)).reverse().map(({ look }) => look);
    const isWatched = (kind: string) => kind === 'canary' || kind === 'bake';
    const head = (await serving.current(MODEL))!;
    const routed: object[] = [];
    for await (const { cause, serving: is } of serving.history(head)) {
      if (cause.step.includes('-renew-')) continue; // the same again, after a pause
      const { holder, canary, ...rest } = is;
      routed.unshift({ step: cause.step, ...rest, canary: canary?.weight, held: holder !== undefined });
    }
    return {
      outcome,
      stage,
      routed: routed.slice(1),
      looks: all.filter(({ kind }) => !isWatched(kind)).map(({ kind, verdict }) => `${kind} ${verdict.says}`),
      watched: ['canary', 'bake'].map(
        (kind) => `${kind} ${all.filter((look) => look.kind === kind).at(-1)?.verdict.says}`,
      ),
    };
  }
}

const killOf = (harm: Harm | undefined): { kill?: Kill } =>
  harm && 'kill' in harm
    ? {
        kill: {
          step: { workflow: 'promotion', activity: harm.kill.activity },
          moment: harm.kill.moment,
          afterMs: harm.kill.afterMs ?? 0,
        },
      }
    : {};

/** Undefined while no worker, or no server, answers. */
async function statusOf(handle: WorkflowHandle): Promise<RolloutStatus | undefined> {
  try {
    return await handle.client.connection.withDeadline(Date.now() + 2_000, () => handle.query<RolloutStatus>('status'));
  } catch {
    return undefined;
  }
}

/** A champion that knows nothing, a challenger that has learnt, and twenty weeks of requests of which all has come true. */
async function writeTrial(context: Context): Promise<void> {
  const { stores } = context;
  const serving = { allowEventTime: true };
  const one = { trees: 1, maxDepth: 1, learningRate: 0.01, earlyStoppingRounds: 0 };
  const asOf = '2024-06-01';
  await trainVersion(context, 'champion', {
    asOf,
    spec: { serving, training: { algorithm: 'gradientBoosting', ...one } },
  });
  await trainVersion(context, 'challenger', { asOf, spec: { serving, training: { algorithm: 'linear' } } });
  await serve(stores, MODEL, { champion: 1 });
  const random = new Random(3);
  const records = Array.from({ length: REQUESTS }, (_, i) => {
    const eventMs = FROM_MS + Math.floor((i / REQUESTS) * WEEKS * 7) * DAY_MS;
    const inputs = visit(random, eventMs);
    const of = { model: MODEL, eventMs, answeredMs: eventMs, maturesMs: eventMs + 7 * DAY_MS, inputs };
    const value = random.float() < 1 / (1 + Math.exp(-(inputs.pages - 20) / 8));
    return [
      answer(`r${i}`, of),
      label(`l${i}`, { model: MODEL, requestId: `r${i}`, value, knownMs: eventMs + 7 * DAY_MS }),
    ];
  });
  const now = FROM_MS + (WEEKS + 1) * 7 * DAY_MS;
  await writeSegment(stores.bucket, records.flat(), { boot: `${now}-00000000`, now });
}

const visit = (random: Random, ms: number) => ({
  pages: Math.floor(random.float() * 40),
  spent: null,
  channel: 'mail',
  visited_on: new Date(ms).toISOString().slice(0, 10),
});

import type { ChildProcess } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import {} from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowExecutionAlreadyStartedError, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { rootCause } from '@temporalio/common';
import { openStores, rollBack, type Stores } from '../../bucket/index.ts';
import { Random } from '../../numerics/index.ts';
import { ModelSpec, TASK_QUEUE, UserError, type RolloutResult, type Stage } from '../../schemas/index.ts';
import { connect, ensureSearchAttributes, type Connected } from '../../workers/temporal/index.ts';
import { register, serve } from '../api/serving/fixture.ts';
import { registerOdd, slow, sometimesNaN, throws } from '../api/serving/challenger/odd-graphs.ts';
import { project, sha, spec } from '../bucket/examples.ts';
import { KillableServer } from '../e2e/kill-server.ts';
import { processesOf } from '../e2e/process.ts';
import { CREDENTIALS, startS3Server, type S3Server } from '../servers/s3.ts';
import { Client, paced } from './client.ts';
import { keepHouse } from './house.ts';
import type { Found } from './invariants.ts';
import { answerOf, GOOD, good } from './models.ts';
import { Replica } from './replica.ts';
import { findRolloutViolations, type Went } from './rollout-invariants.ts';
import {
  isHarmfulChampion,
  LAST,
  MODELS,
  planRollouts,
  type MachineAct,
  type PersonsAct,
  type PlannedRollout,
} from './rollout-schedule.ts';
import { inScratch, type TortureOptions } from './torture.ts';
import { Worker } from './worker.ts';

/** Of versions that do harm, as they are registered after the good ones. */
const HARMFUL = { throws: 4, NaN: 5, hangs: 6 };
const MATURES_AT = 'predicted_at + 10 days';
/** The log's time, in which two days are a second: a trial of weeks is over in ten. */
const LOG_BEGINS_MS = Date.UTC(2024, 0, 1);
const LOG_MS_PER_MS = 2 * 86_400;
const LOG_MS_LATER = 86_400_000;
/** Answers are in the bucket after that, for who watches. */
const SEGMENT_MS = 1_000;
const CUSTOMERS = 3_000;
const MOST_AT_ONCE = 64;
const CHALLENGER_WAIT_MS = 5_000;
/** A person who waits for the rollout says so again and again, without looking whether it is heard. */
const NUDGE_MS = 1_500;
const CALL_MS = 4_000;
/** After the harm has ended, the longest that a rollout takes: a trial that does not decide, worker's takeovers included. */
const END_MS = 180_000;

/** Whole rollouts under traffic, and everything they need ended and brought back at random; then what is left is held against what was promised. */
export const tortureRollouts = (o: TortureOptions): Promise<Found> => inScratch((folder) => Torture.prepare(folder, o));

/** A model, who asks it, and the rollout that it is in. */
interface Model {
  name: string;
  client: Client;
  /** What comes true from then on: the answers of the version that is on trial. */
  truth: { version: number; fromMs: number; before: number };
  open: { went: Went; handle: WorkflowHandle } | undefined;
}

interface Parts {
  folder: string;
  bucket: string;
  s3: S3Server | undefined;
  stores: Stores;
  replicas: Replica[];
  temporal: KillableServer;
  connected: Connected;
  worker: Worker;
}

class Torture {
  readonly #o: TortureOptions;
  readonly #parts: Parts;
  readonly #models: Model[];
  readonly #rollouts: Went[] = [];
  readonly #did: Record<string, number> = {};
  readonly #children = new Set<ChildProcess>();
  readonly #faults: string[] = [];
  readonly #beganMs = performance.now();
  #outages = 0;
  #isDown = false;
  #harmEnds = Infinity;

  private constructor(o: TortureOptions, parts: Parts) {
    this.#o = o;
    this.#parts = parts;
    this.#models = MODELS.map((name) => ({
      name,
      client: new Client(name, parts.replicas, (type) => ['model-failed', 'no-finite-answer'].includes(type)),
      truth: { version: 1, fromMs: LOG_BEGINS_MS, before: 1 },
      open: undefined,
    }));
  }

  static async prepare(folder: string, o: TortureOptions): Promise<Torture> {
    const s3 = o.s3 === undefined ? undefined : await startS3Server(o.s3);
    let temporal: KillableServer | undefined;
    try {
      let bucket = `file:${join(folder, 'bucket')}`;
      if (s3) {
        bucket = `s3://${await s3.newBucket()}`;
        process.env['GAUNTLET_S3_ENDPOINT'] = s3.endpoint;
        process.env['AWS_ACCESS_KEY_ID'] = CREDENTIALS.accessKeyId;
        process.env['AWS_SECRET_ACCESS_KEY'] = CREDENTIALS.secretAccessKey;
      }
      await mkdir(join(folder, 'harness'));
      await mkdir(join(folder, 'housekeeper'));
      const stores = await openStores({ bucket, home: join(folder, 'harness') });
      for (const model of MODELS) await registerModel(stores, model);
      temporal = await KillableServer.start();
      const connected = await connect({ address: temporal.address, namespace: 'default' });
      await ensureSearchAttributes(connected.connection, connected.namespace);
      const worker = await Worker.prepare({ folder, bucket, address: temporal.address });
      const given = { folder, bucket, segmentMs: SEGMENT_MS };
      const replicas = [await Replica.prepare('a', given), await Replica.prepare('b', given)];
      await Promise.all(replicas.map((replica) => replica.start()));
      worker.start();
      return new Torture(o, { folder, bucket, s3, stores, replicas, temporal, connected, worker });
    } catch (error) {
      await temporal?.stop();
      await s3?.stop();
      throw error;
    }
  }

  /** Traffic, rollouts, people and harm side by side; then rollouts end, and one more goes through; then a clean stop. */
  async run(): Promise<void> {
    const { seed, seconds, say } = this.#o;
    const { s3, replicas, worker, folder, connected, temporal } = this.#parts;
    const schedule = planRollouts(seed, { lengthMs: 1000 * seconds, bucketCanFall: s3 !== undefined });
    const acts = [...schedule.machine, ...schedule.people].map(({ name, acts }) => `${name} ${acts.length}`);
    say(`seed ${seed}: ${acts.join(', ')} acts in ${seconds} s`);
    const from = performance.now();
    this.#harmEnds = from + 1000 * seconds;
    let goesOn = true;
    const traffic = this.#models.map((model, i) => this.#traffic(model, seed + i, () => goesOn));
    await Promise.all([
      ...schedule.machine.map((lane) => this.#playOut(lane, from, (act) => this.#harm(act))),
      ...schedule.people.map((lane, i) =>
        this.#playOut(lane, from, (act, id) => this.#actAs(this.#models[i]!, act, id)),
      ),
      ...this.#models.map((model, i) => this.#rollOut(model, schedule.rollouts[i]!)),
    ]);
    goesOn = false;
    await Promise.all(traffic);
    await worker.kill();
    await connected.close();
    await temporal.stop();
    for (const replica of replicas) {
      const code = await replica.stop();
      if (code !== 0) this.#faults.push(`${replica.name} ended with ${code} when it was stopped`);
      const left = await replica.spooled();
      if (left.length > 0)
        this.#faults.push(`${replica.name} was stopped, and its spool still holds ${left.join(', ')}`);
    }
    for (const { client } of this.#models) client.close();
    for (const end of worker.ends) say(`the worker ended by itself: ${end}`);
    this.#did['times that the worker ended by itself'] = worker.ends.length;
    const left = await processesOf(folder);
    if (left.length > 0) this.#faults.push(`processes are left: ${left.join(', ')}`);
  }

  async findViolations(): Promise<Found> {
    const { bucket, folder, replicas } = this.#parts;
    const found = await findRolloutViolations({
      stores: await openStores({ bucket, home: join(folder, 'reader') }),
      folder,
      clients: new Map(this.#models.map(({ name, client }) => [name, client])),
      rollouts: this.#rollouts,
    });
    const violations = [...this.#faults, ...found.violations];
    if (violations.length > 0) for (const replica of replicas) violations.push(...(await replica.errors()).slice(0, 3));
    return { counts: { ...this.#did, ...found.counts }, violations };
  }

  async end(): Promise<void> {
    const { replicas, worker, s3, temporal, connected } = this.#parts;
    for (const child of this.#children) child.kill('SIGKILL');
    await worker.kill();
    await Promise.all(replicas.map((replica) => replica.kill()));
    await connected.close().catch(() => {});
    await temporal.stop();
    await s3?.stop();
  }

  async #playOut<A extends MachineAct | PersonsAct>(
    { name, acts }: { name: string; acts: A[] },
    from: number,
    play: (act: A, id: string) => Promise<void>,
  ): Promise<void> {
    for (const [i, act] of acts.entries()) {
      await sleep(Math.max(0, from + act.atMs - performance.now()));
      // What took its time has no business among the rollouts that are to end undisturbed.
      if (performance.now() > this.#harmEnds) return;
      try {
        await play(act, `${name}-${i}`);
      } catch (error) {
        this.#faults.push(`${JSON.stringify(act)} failed: ${(error as Error).stack}`);
      }
    }
  }

  #count(what: string): void {
    this.#did[what] = (this.#did[what] ?? 0) + 1;
  }

  // Harm.

  async #harm(act: MachineAct): Promise<void> {
    const { replicas, worker, temporal, s3 } = this.#parts;
    switch (act.do) {
      case 'kill-replica': {
        const replica = replicas[act.replica]!;
        await replica.kill();
        await sleep(act.downMs);
        await replica.start();
        break;
      }
      case 'kill-challenger': {
        const pid = await this.#challengerOf(replicas[act.replica]!);
        if (pid === undefined) return this.#count('no challenger to kill');
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          return this.#count('challengers that ended by themselves');
        }
        break;
      }
      case 'kill-worker':
        await worker.kill();
        await sleep(act.downMs);
        worker.start();
        break;
      case 'kill-temporal':
        await temporal.kill();
        await sleep(act.downMs);
        await temporal.start();
        break;
      case 'bucket-down':
        this.#outages++;
        this.#isDown = true;
        await s3!.down(act.signal);
        await sleep(act.downMs);
        await s3!.up();
        this.#isDown = false;
        break;
      case 'keep-house':
        await this.#keepHouse(act.killAfterMs);
        break;
    }
    this.#count(act.do);
  }

  async #challengerOf(replica: Replica): Promise<number | undefined> {
    for (const until = performance.now() + CHALLENGER_WAIT_MS; performance.now() < until; await sleep(200)) {
      const pid = await replica.challengerPid();
      if (pid !== undefined) return pid;
    }
    return undefined;
  }

  async #keepHouse(killAfterMs: number | undefined): Promise<void> {
    const outages = this.#isDown ? -1 : this.#outages;
    const { bucket, folder } = this.#parts;
    const end = await keepHouse({ bucket, home: join(folder, 'housekeeper'), killAfterMs }, this.#children);
    if (end === 'kept' || end === 'killed') return;
    if (this.#outages > outages) this.#count('housekeepers that found no bucket');
    else this.#faults.push(`housekeeping failed: ${end.said}`);
  }

  // Rollouts, and what people do to them.

  /** One after the other until the harm ends; then one that nothing is in the way of. */
  async #rollOut(model: Model, planned: PlannedRollout[]): Promise<void> {
    for (const rollout of planned) {
      if (performance.now() >= this.#harmEnds) break;
      await this.#seeThrough(model, rollout, false);
    }
    await sleep(Math.max(0, this.#harmEnds - performance.now()));
    await this.#seeThrough(model, { ...LAST, pick: 0 }, true);
  }

  async #seeThrough(model: Model, planned: PlannedRollout, isLast: boolean): Promise<void> {
    const head = await this.#persist(() => this.#parts.stores.serving.current(model.name));
    const { champion } = head!.serving;
    const others = GOOD.filter((n) => n !== champion);
    const { challenger, pick } = planned;
    const version = challenger === 'good' ? others[pick % others.length]! : HARMFUL[challenger];
    const fromMs = this.#logMs() + LOG_MS_LATER;
    model.truth = { version, fromMs, before: model.truth.version };
    const stages = planned.stages.map((stage): Stage =>
      stage.kind === 'shadow' ? { ...stage, from: new Date(fromMs).toISOString() } : stage,
    );
    const workflowId = `rollout-${model.name}`;
    const handle = await this.#start(planned.type, workflowId, {
      model: model.name,
      version,
      by: 'ana',
      ...(planned.type === 'shadowTrial' ? { stage: withoutKind(stages[0]!) } : { stages }),
    });
    const runId = handle.firstExecutionRunId;
    const went: Went = {
      model: model.name,
      version,
      planned,
      workflowId,
      runId,
      status: '',
      terminated: false,
      isLast,
    };
    this.#rollouts.push(went);
    const open = { went, handle: this.#parts.connected.client.workflow.getHandle(workflowId, runId) };
    model.open = open;
    this.#count(`rollouts of a challenger that ${challenger === 'good' ? 'is good' : `does harm (${challenger})`}`);
    await this.#untilClosed(open);
    model.open = undefined;
    this.#o.say(
      `${((performance.now() - this.#beganMs) / 1000).toFixed(0)} s: ${model.name}: ${planned.type} of version ${version} (${challenger}; ${planned.stages.map(({ kind }) => kind).join(', ')}): ${went.result ? `${went.result.outcome}: ${went.result.because}` : `${went.status} ${went.failure ?? ''}`}`,
    );
    const left = await this.#persist(() => this.#parts.stores.serving.current(model.name));
    if (!went.terminated && left!.serving.holder === `${workflowId}/${runId}`)
      this.#faults.push(
        `left routed: run ${runId} of ${workflowId} has ended, and holds the model: ${JSON.stringify(left)}`,
      );
  }

  /** A start whose answer was lost has begun it all the same: nobody else starts rollouts of this model. */
  async #start(type: string, workflowId: string, input: object): Promise<{ firstExecutionRunId: string }> {
    const { client } = this.#parts.connected;
    for (; ; await sleep(300))
      try {
        return await this.#call(() =>
          client.workflow.start(type, { taskQueue: TASK_QUEUE, workflowId, args: [input] }),
        );
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) {
          const there = await this.#call(() => client.workflow.getHandle(workflowId).describe()).catch(() => undefined);
          if (there?.status.name === 'RUNNING') return { firstExecutionRunId: there.runId };
        }
        this.#count('calls that Temporal did not answer');
      }
  }

  #call<T>(call: () => Promise<T>): Promise<T> {
    return this.#parts.connected.client.withDeadline(Date.now() + CALL_MS, call);
  }

  async #untilClosed({ went, handle }: { went: Went; handle: WorkflowHandle }): Promise<void> {
    const { planned } = went;
    const needsWord = planned.stages.some(({ kind }) => kind === 'approval');
    const beganMs = performance.now();
    let nudgedMs = -Infinity;
    for (; ; await sleep(250)) {
      const isHarmOver = performance.now() > this.#harmEnds;
      if (performance.now() > Math.max(this.#harmEnds, beganMs) + END_MS) {
        went.status = `still open ${END_MS / 1000} s after the harm had ended`;
        went.failure = await this.#whyOpen(handle);
        return;
      }
      try {
        const { status, closeTime } = await this.#call(() => handle.describe());
        if (status.name !== 'RUNNING') {
          went.status = status.name;
          went.closedAt = closeTime!.toISOString();
          if (status.name === 'COMPLETED') went.result = (await this.#call(() => handle.result())) as RolloutResult;
          else if (status.name === 'FAILED')
            went.failure = await this.#call(() => handle.result()).then(
              () => '',
              (error: unknown) => {
                if (error instanceof WorkflowFailedError) return rootCause(error.cause) ?? String(error);
                throw error;
              },
            );
          return;
        }
        if (performance.now() < nudgedMs + NUDGE_MS) continue;
        nudgedMs = performance.now();
        // Early, late and again: what is out of place is refused.
        if (needsWord) await this.#signal(handle, 'approve');
        if (isHarmOver) await this.#signal(handle, 'resume');
      } catch {
        this.#count('calls that Temporal did not answer');
      }
    }
  }

  /** What its activities fail with, for whoever has to explain it. */
  async #whyOpen(handle: WorkflowHandle): Promise<string> {
    const { raw } = await this.#call(() => handle.describe());
    const pending = (raw.pendingActivities ?? []).map(
      ({ activityType, attempt, lastFailure }) =>
        `${activityType?.name} in attempt ${attempt}${lastFailure ? `, before: ${lastFailure.message}` : ''}`,
    );
    return pending.join('; ');
  }

  #signal(handle: WorkflowHandle, name: string, by = 'ana'): Promise<void> {
    return this.#call(() => handle.signal(name, { by, reason: 'as the seed says' }));
  }

  async #actAs(model: Model, act: PersonsAct, id: string): Promise<void> {
    if (act.do === 'roll-back-by-hand') return this.#rollBack(model.name, act.to, id);
    const { open } = model;
    if (!open) return this.#count('acts with no rollout to act on');
    const { handle, went } = open;
    const isHarmful = went.planned.challenger !== 'good';
    // A person who advances what does harm makes it the champion; one who terminates its bake leaves it to stand.
    if (act.do === 'advance' && isHarmful) return this.#count('acts with no rollout to act on');
    if (act.do === 'terminate' && isHarmfulChampion(went.planned)) return this.#count('acts with no rollout to act on');
    try {
      switch (act.do) {
        case 'pause':
          await this.#signal(handle, 'pause');
          this.#count(act.do);
          await sleep(act.lastsMs);
          return await this.#resume(model, open);
        case 'cancel':
          await this.#call(() => handle.cancel());
          break;
        case 'terminate':
          went.terminated = true;
          await this.#call(() => handle.terminate('as the seed says'));
          break;
        case 'advance':
        case 'rollback':
        case 'reject':
          await this.#signal(handle, act.do);
      }
      this.#count(act.do);
    } catch {
      // It has ended meanwhile, or Temporal is down: an act that was not heard.
      this.#count('acts that were not heard');
    }
  }

  /** Until it is heard, or there is nothing to resume. */
  async #resume(model: Model, open: Model['open']): Promise<void> {
    for (; model.open === open; await sleep(300))
      try {
        return await this.#signal(open!.handle, 'resume');
      } catch {
        this.#count('calls that Temporal did not answer');
      }
  }

  async #rollBack(model: string, to: number | undefined, id: string): Promise<void> {
    const cause = { workflowId: 'rollback', runId: id, step: 'rollback' };
    await this.#persist(async () => {
      try {
        await rollBack(this.#parts.stores.serving, model, to, 'ben', id, cause);
        this.#count('roll-back-by-hand');
      } catch (error) {
        if (!(error instanceof UserError && error.type === 'NothingToRollBackTo')) throw error;
        this.#count('rollbacks with nothing before');
      }
    });
  }

  /** Only a bucket that has fallen is a reason to fail. */
  async #persist<T>(work: () => Promise<T>): Promise<T> {
    for (; ; await sleep(200))
      try {
        return await work();
      } catch (error) {
        if (!this.#parts.s3 || error instanceof UserError || error instanceof RangeError) throw error;
        this.#count('contacts with a bucket that was down');
      }
  }

  // Traffic.

  #logMs(): number {
    return Math.round(LOG_BEGINS_MS + (performance.now() - this.#beganMs) * LOG_MS_PER_MS);
  }

  /** Requests at an even rate, each with all that a harmful version does harm for; of each it becomes known what comes true. */
  async #traffic(model: Model, seed: number, goesOn: () => boolean): Promise<void> {
    const random = new Random(seed + 1);
    const perSecond = this.#o.rate / this.#models.length;
    const leftOut = await paced({ perSecond, mostAtOnce: MOST_AT_ONCE, goesOn }, async (n) => {
      const x = random.uint32() % 1000;
      const noise = random.uint32() % 100;
      const customer = `c${random.uint32() % CUSTOMERS}`;
      const { truth } = model;
      const eventMs = this.#logMs();
      const id = `${model.name}-${n}`;
      const row = { x, customer, throw: 1, ms: 600_000 };
      const answered = await model.client.predict(id, [row], new Date(eventMs).toISOString());
      if (!answered) return;
      const value = answerOf(eventMs < truth.fromMs ? truth.before : truth.version, x) + noise;
      await model.client.label(`l-${id}`, answered.id, value, new Date(eventMs + 1).toISOString());
    });
    const left = 'requests left out, because so many were under way';
    this.#did[left] = (this.#did[left] ?? 0) + leftOut;
  }
}

function withoutKind(stage: Stage): object {
  const { kind: _, ...rest } = stage;
  return rest;
}

/** Three versions that are good, and one of each harm; version 1 serves. */
async function registerModel(stores: Stores, model: string): Promise<void> {
  const { hash } = await stores.projects.create({
    ...project(sha('3')),
    model,
    spec: ModelSpec.parse({ ...spec, name: model, task: 'regression', inputs: { x: { type: 'number' } } }),
  });
  const changes = {
    project: { n: 1, hash },
    serving: { unit: 'customer', unitPii: false, entityPii: false, allowEventTime: true },
  };
  for (const n of GOOD) await register(stores, model, good(n, MATURES_AT), changes);
  for (const odd of [throws(['ms']), { ...sometimesNaN(0.5, ['throw', 'ms']), warmUpRows: [{ x: 1 }] }, await slow()])
    await registerOdd(stores, model, odd, changes);
  await serve(stores, model, { champion: 1 });
}

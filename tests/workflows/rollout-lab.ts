import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Context as ActivityContext, CancelledFailure } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Worker, WorkerOptions, WorkflowBundleWithSourceMap } from '@temporalio/worker';
import type { Context } from '../../activities/context.ts';
import { guarded } from '../../activities/guard.ts';
import { createPipelineActivities, createTrainingActivities } from '../../activities/index.ts';
import { openStores, type Stores } from '../../bucket/index.ts';
import {
  instantMs,
  ModelSpec,
  Stages,
  TASK_QUEUE,
  type LookRef,
  type OpenRollout,
  type PlannedTrial,
  type RolloutResult,
  type RolloutStatus,
  type ShadowPlan,
  type TrialLook,
  type Twin,
  type Verdict,
  type VoteRecord,
  type Watched,
} from '../../schemas/index.ts';
import { bundleWorkflows, createPipelineWorker, createTrainingWorker } from '../../workers/create-workers.ts';
import { executionStateOf } from '../../workers/execution-state.ts';
import { upload } from '../activities/housekeeping/log-bucket.ts';
import { project, sha, spec, version } from '../bucket/examples.ts';
import { createLocalEnv, createTimeSkippingEnv } from '../servers/temporal.ts';
import { answer } from '../sql/log-records.ts';

export type Says = Verdict['says'];

/** What the looks of one model's rollout say. All else is the real thing: routing, votes, ends, on a directory bucket. */
export interface Script {
  /** What the planner says. */
  plan: Says;
  logTime: boolean;
  /** What the look on the given day of the trial says, and whether the trial is over. */
  look(day: number, plan: ShadowPlan): Says | { says: Says; over?: TrialLook['over'] } | Promise<Says>;
  /** What watching says, once it does. */
  watch(kind: 'canary' | 'bake', o: { paused: boolean }): Says | { says: Says; over?: Watched['over'] } | undefined;
  twins(): Promise<void> | void;
}

/** What was asked of the scripted activities, oldest first. */
export interface Asked {
  activity: string;
  now: string;
  stage: number;
  previous?: string | undefined;
  paused?: boolean | undefined;
  pausedMs?: number | undefined;
  plan?: ShadowPlan | undefined;
}

export interface Lab {
  env: TestWorkflowEnvironment;
  stores: Stores;
  context: Context;
  folder: string;
  /** A model with a champion (version 1) and a challenger (version 2), of its own script. */
  model(
    name: string,
    script?: Partial<Script>,
    rollout?: object,
    serving?: object,
  ): Promise<{ script: Script; asked: Asked[] }>;
  start(model: string, input?: object, type?: string): Promise<WorkflowHandle>;
  result(handle: WorkflowHandle): Promise<RolloutResult>;
  status(handle: WorkflowHandle): Promise<RolloutStatus>;
  serving(model: string): Promise<object>;
  /** Skips time until the rollout waits for a person's word. */
  asked(handle: WorkflowHandle): Promise<RolloutStatus>;
  /** Skips time to an hour after the next look; false where the rollout does not wait for one now. */
  skipLook(handle: WorkflowHandle): Promise<boolean>;
  /** Ends the pipeline worker, and starts one with another build of the workflows. */
  deploy(bundle: WorkflowBundleWithSourceMap): Promise<void>;
  stop(): Promise<void>;
}

export const stages = (...given: object[]) => Stages.parse(given);
export const SHADOW = { kind: 'shadow', minimumEffect: 0.001 };
export const APPROVAL = { kind: 'approval' };
export const CANARY = { kind: 'canary', weight: 0.05 };
export const BAKE = { kind: 'bake' };

/** Workers with real activities, but for those that look: these say what a script says. */
export async function startLab(
  o: {
    skipping?: boolean;
    worker?: Partial<WorkerOptions>;
    context?: Partial<Context>;
    bundle?: WorkflowBundleWithSourceMap;
  } = {},
): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), 'gauntlet-lab-'));
  const env = o.skipping === false ? await createLocalEnv() : await createTimeSkippingEnv();
  const stores = await openStores({ bucket: `file:${join(folder, 'bucket')}`, home: folder });
  const context: Context = {
    stores,
    home: folder,
    build: { commit: 'lab', dirty: false, node: '', packages: {} },
    executionState: executionStateOf(env.client),
    embedded: true,
    ...o.context,
  };
  const models = new Map<string, { script: Script; asked: Asked[] }>();
  const scripted = scriptedActivities((name) => models.get(name)!);
  const connected = { connection: env.nativeConnection, namespace: env.namespace ?? 'default', context };
  const pipeline = async (bundle: WorkflowBundleWithSourceMap): Promise<Worker> =>
    createPipelineWorker({
      ...connected,
      bundle,
      overrides: { activities: { ...createPipelineActivities(context), ...scripted.pipeline }, ...o.worker },
    });
  const training = await createTrainingWorker({
    ...connected,
    overrides: { activities: { ...createTrainingActivities(context), ...scripted.training } },
  });
  let worker = await pipeline(o.bundle ?? (await bundleWorkflows()));
  const status = (handle: WorkflowHandle) => handle.query<RolloutStatus>('status');
  // Never to where a timer is about to fire: a task that cancels one that fires meanwhile is refused, and its workflow
  // stands still from then on (temporalio/sdk-java#3088).
  async function skipLook(handle: WorkflowHandle): Promise<boolean> {
    const { nextLookAt } = await status(handle);
    const rest = nextLookAt === undefined ? 0 : instantMs(nextLookAt) - (await env.currentTimeMs());
    if (rest <= 0) return false;
    await env.sleep(rest + 3_600_000);
    return true;
  }
  const runs = [worker.run(), training.run()];
  return {
    env,
    stores,
    context,
    folder,
    async model(name, script = {}, rollout = {}, serving = {}) {
      const known = { script: { ...CALM, ...script }, asked: [] };
      models.set(name, known);
      await writeModel(stores, name, rollout, serving);
      return known;
    },
    start: (model, input = {}, type = 'promotion') =>
      env.client.workflow.start(type, {
        taskQueue: TASK_QUEUE,
        workflowId: `rollout-${model}`,
        args: [{ model, version: 2, by: 'ana', ...input }],
      }),
    result: async (handle) => (await handle.result()) as RolloutResult,
    status,
    skipLook,
    asked: (handle) =>
      until(async () => {
        const is = await status(handle);
        if (is.deadline !== undefined) return is;
        await skipLook(handle);
      }, 'the approval'),
    async serving(model) {
      return (await stores.serving.current(model))!.serving;
    },
    async deploy(bundle) {
      worker.shutdown();
      await runs[0];
      worker = await pipeline(bundle);
      runs[0] = worker.run();
    },
    async stop() {
      for (const one of [worker, training]) if (one.getState() === 'RUNNING') one.shutdown();
      await Promise.allSettled(runs);
      await env.teardown();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const CALM: Script = {
  plan: 'pass',
  logTime: false,
  look: () => 'pass',
  watch: () => 'pass',
  twins: () => {},
};

/** A day's answers in the log of a model, of which one unit has so many. */
export async function writeTraffic({ stores, env }: Lab, model: string, ofOne: number): Promise<void> {
  const atMs = (await env.currentTimeMs()) - 3_600_000;
  const answers = Array.from({ length: 1_200 }, (_, i) =>
    answer(`${model}-${i}`, { model, unit: i < ofOne ? 'largest' : `unit-${i}`, answeredMs: atMs + i }),
  );
  await upload(stores.bucket, atMs, answers, model);
}

let words = 0;

/** What the API writes of a word by somebody whose key it has checked. */
export async function writeWord(
  { stores }: Lab,
  handle: WorkflowHandle,
  says: VoteRecord['says'],
  given: Partial<VoteRecord> = {},
): Promise<string> {
  const { runId } = await handle.describe();
  const written = await stores.votes.create({
    id: `${runId}-${says}-${++words}`,
    model: handle.workflowId.replace('rollout-', ''),
    workflowId: handle.workflowId,
    runId,
    says,
    by: 'bo',
    keyId: 'k1',
    reason: 'because',
    look: '',
    at: '2025-01-01T00:00:00Z',
    ...given,
  });
  return written.key;
}

/** A project, two versions, and the first of them as champion. */
export async function writeModel(
  stores: Stores,
  model: string,
  rollout: object = {},
  serving: object = {},
): Promise<void> {
  const described = ModelSpec.parse({ ...spec, name: model, label: {}, rollout, serving });
  const terms = { unitPii: false, entityPii: false, allowEventTime: false, ...serving };
  await stores.projects.create({ ...project(sha('3')), model, spec: described });
  for (const run of ['run-1', 'run-2']) await stores.versions.create({ ...version(run, model), serving: terms });
  const cause = { workflowId: `rollout-${model}`, runId: 'first', step: 'serve' };
  await stores.serving.append({
    was: 0,
    model,
    serving: { champion: 1, shadows: [] },
    by: 'ana',
    because: 'first',
    cause,
  });
}

/** The activities that look, saying what a script says. */
export function scriptedActivities(of: (model: string) => { script: Script; asked: Asked[] }) {
  const said = (
    kind: LookRef['kind'],
    model: string,
    at: string,
    says: Says,
    because = `${kind} says ${says}`,
  ): LookRef => {
    const key = `looks/${model}/${at.replace(/[-:]/g, '')}-${kind}.json`;
    return { key, sha256: createHash('sha256').update(key).digest('hex'), kind, verdict: { says, because } };
  };
  return {
    training: guarded({
      async prepareTwins({ model }: OpenRollout): Promise<Twin[]> {
        const { script, asked } = of(model);
        asked.push({ activity: 'prepareTwins', now: '', stage: 2 });
        await script.twins();
        return [1, 2].map((k) => ({ seed: k, onnx: sha(String(k)), testLoss: 0.4 + k / 1000 }));
      },
    }),
    pipeline: guarded({
      async planTrial(rollout: OpenRollout, stage: number, twins: unknown[], now: string): Promise<PlannedTrial> {
        const { script, asked } = of(rollout.model);
        asked.push({ activity: 'planTrial', now, stage: twins.length });
        const shadow = rollout.stages[stage]!;
        if (shadow.kind !== 'shadow') throw new TypeError('no shadow stage');
        const ref = said('plan', rollout.model, now, script.plan, `a verdict in about 9 weeks`);
        const plan: ShadowPlan = {
          kind: 'shadow',
          stage: shadow,
          champion: rollout.champion!,
          challenger: rollout.version,
          from: now,
          loss: 'logLoss',
          minimumEffect: shadow.minimumEffect ?? 0.001,
          tightestAt: 16,
          strataEdgesDays: [],
          logTime: script.logTime,
          changed: [],
        };
        return { plan, ref, line: ref.verdict.because };
      },
      async lookAtTrial(
        { model }: OpenRollout,
        stage: number,
        plan: ShadowPlan,
        o: { now: string; startedAt: string; previous?: string },
      ): Promise<TrialLook> {
        const { script, asked } = of(model);
        asked.push({ activity: 'lookAtTrial', now: o.now, stage, previous: o.previous, plan });
        const day = Math.round((instantMs(o.now) - instantMs(o.startedAt)) / 86_400_000);
        const answer = await script.look(day, plan);
        const { says, over } = typeof answer === 'string' ? { says: answer } : { over: undefined, ...answer };
        const ref = said('shadow', model, o.now, says, `day ${day}: ${says}`);
        if (over === 'overtaken') return { line: 'overtaken by a test', over };
        return { ref, line: ref.verdict.because, ...(over && { over }) };
      },
      async watch(
        { model, stages }: OpenRollout,
        stage: number,
        o: { now: string; paused?: boolean; pausedMs?: number },
      ): Promise<Watched> {
        const { script, asked } = of(model);
        const { now, paused, pausedMs } = o;
        asked.push({ activity: 'watch', now, stage, paused, pausedMs });
        const kind = stages[stage]!.kind as 'canary' | 'bake';
        for (;;) {
          const answer = script.watch(kind, { paused: paused ?? false });
          const { says, over } = typeof answer === 'string' ? { says: answer } : { over: undefined, ...answer };
          if (says !== undefined && !(paused && says === 'pass')) {
            const ref = said(kind, model, now, says);
            return { ref, line: ref.verdict.because, ...(over && { over }) };
          }
          try {
            await ActivityContext.current().sleep(20);
          } catch (error) {
            if (!(error instanceof CancelledFailure && error.message === 'CANCELLED')) throw error;
            const ref = said(kind, model, now, 'undecided', `${kind} is told to end`);
            return { ref, line: ref.verdict.because };
          }
        }
      },
    }),
  };
}

/** Asks until it is so; what is asked for happens on the real clock. */
export async function until<T>(ask: () => Promise<T | undefined | false>, what = 'it'): Promise<T> {
  const deadline = Date.now() + 60_000; // where everything else runs beside it
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`${what} did not come about within a minute`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

/**
 * The real workers in a process that kills itself, as if by kill -9, at the moment that GAUNTLET_KILL names; without
 * it, a process like any other. GAUNTLET_HOME, GAUNTLET_BUCKET and TEMPORAL_ADDRESS say where it works.
 */
import type { Context, Info } from '@temporalio/activity';
import {
  Runtime,
  type ActivityExecuteInput,
  type ActivityInboundCallsInterceptor,
  type WorkerOptions,
} from '@temporalio/worker';
import { openStores } from '../../bucket/index.ts';
import { readBuild } from '../../workers/build.ts';
import { bundleWorkflows, createPipelineWorker, createTrainingWorker } from '../../workers/create-workers.ts';
import { openLog, temporalLogger } from '../../workers/log.ts';
import { connectWorker } from '../../workers/temporal/index.ts';
import type { Kill, KillStep } from './kill-plan.ts';

const die = (): void => void process.kill(process.pid, 'SIGKILL');

function isStep(step: KillStep, info: Info, args: unknown[]): boolean {
  return (
    info.workflowType === step.workflow &&
    info.activityType === step.activity &&
    (step.fit === undefined || args.includes(step.fit))
  );
}

function killer({ step, moment, afterMs }: Kill, { info }: Context): ActivityInboundCallsInterceptor {
  return {
    async execute(input: ActivityExecuteInput, next) {
      if (!isStep(step, info, input.args)) return next(input);
      if (moment === 'before') die();
      if (moment === 'amid') setTimeout(die, afterMs);
      const result = await next(input);
      if (moment !== 'reported') die();
      setTimeout(die, afterMs);
      return result;
    },
  };
}

const { GAUNTLET_HOME: home = '', GAUNTLET_BUCKET: bucket = '', GAUNTLET_KILL: named } = process.env;
// Not logTemporal: what the native part says goes there too, so lines wait a tenth of a second to be sorted, and die with us.
Runtime.install({ logger: temporalLogger(openLog(home)), shutdownSignals: [] });
const kill = named ? (JSON.parse(named) as Kill) : undefined;
const overrides: Partial<WorkerOptions> = kill
  ? { interceptors: { activity: [(context) => ({ inbound: killer(kill, context) })] } }
  : {};
const context = { stores: await openStores({ bucket, home }), home, build: await readBuild() };
const o = { connection: await connectWorker(), namespace: 'default', context, overrides };
const workers = await Promise.all([
  createPipelineWorker({ ...o, bundle: await bundleWorkflows() }),
  createTrainingWorker(o),
]);
await Promise.all(workers.map((worker) => worker.run()));

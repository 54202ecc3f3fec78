import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { applyProject } from '../../activities/project/apply.ts';
import { readProjectFolder } from '../../activities/project/read-folder.ts';
import { openStores } from '../../bucket/index.ts';
import { TASK_QUEUE } from '../../schemas/index.ts';
import { connect } from '../../workers/temporal/index.ts';
import { outcomeOf, type Outcome } from './kill-outcome.ts';
import { nameOf, planKills, STEPS, type Kill, type KillStep } from './kill-plan.ts';
import { launchWorkers, whileAlive, type Program } from './kill-process.ts';
import { writeSmallProject } from './small-project.ts';

const MODEL = 'small';
const A_STEP_MS = 90_000;

interface Run {
  outcome: Outcome;
  seconds: number;
}

export interface UndisturbedRun extends Run {
  /** By step: the milliseconds it took. */
  durations: ReadonlyMap<string, number>;
}

export interface KilledRun extends Run {
  kills: (Kill & { seconds: number })[];
  /** By step: the attempt that succeeded. */
  attempts: ReadonlyMap<string, number>;
}

interface Place {
  /** An empty folder's parent: the home is made in it. */
  folder: string;
  name: string;
  address: string;
}

/** A pipeline and its rollout that nobody disturbs. Nothing else may use the Temporal server meanwhile. */
export function runUndisturbed(o: Place): Promise<UndisturbedRun> {
  return inPlace(o, async (client, start) => {
    const handles = await trained(client, await begin(client), start());
    return { durations: new Map((await eventsOf(handles)).map(({ step, ms }) => [step, ms])) };
  });
}

/** The same, but its process is killed once in each of the steps, and started again each time. */
export function runKilled(
  o: Place & {
    seed: number;
    durations: ReadonlyMap<string, number>;
    steps?: readonly KillStep[];
    say?: (line: string) => void;
  },
): Promise<KilledRun> {
  const { steps = STEPS, say = () => {} } = o;
  return inPlace(o, async (client, start) => {
    const pipeline = await begin(client);
    const kills: KilledRun['kills'] = [];
    for (const kill of planKills(steps, o.durations, o.seed)) {
      const began = Date.now();
      await killedItself(start(kill), kill);
      const seconds = since(began);
      kills.push({ ...kill, seconds });
      const ms = kill.moment === 'amid' || kill.moment === 'reported' ? ` ${kill.afterMs} ms` : '';
      say(`killed in ${nameOf(kill.step)}, ${kill.moment}${ms}: ${seconds.toFixed(1)} s`);
    }
    const handles = await trained(client, pipeline, start());
    return { kills, attempts: new Map((await eventsOf(handles)).map(({ step, attempt }) => [step, attempt])) };
  });
}

/** Works with processes on a home and bucket of their own, and says what is in the bucket afterwards. */
async function inPlace<T>(
  o: Place,
  work: (client: Client, start: (kill?: Kill) => Program) => Promise<T>,
): Promise<T & Run> {
  const began = Date.now();
  const home = join(o.folder, o.name);
  await mkdir(home);
  const place = { home, bucket: `file:${join(home, 'bucket')}`, model: MODEL };
  const project = await writeSmallProject(join(home, 'project'), {
    name: MODEL,
    spec: { split: { asOf: '2024-10-15' }, backtest: { until: '2024-12-01' } },
  });
  await applyProject(await openStores(place), await readProjectFolder(project), {
    by: 'tests',
    dryRun: false,
    now: new Date(),
  });
  const connected = await connect({ address: o.address, namespace: 'default' }, {});
  let program: Program | undefined;
  try {
    const done = await work(connected.client, (kill) => {
      program = launchWorkers({ ...place, address: o.address, ...(kill && { kill }) });
      return program;
    });
    await program?.end('SIGKILL');
    return { ...done, outcome: await outcomeOf(place), seconds: since(began) };
  } finally {
    await program?.end('SIGKILL');
    await connected.close();
  }
}

const begin = (client: Client): Promise<WorkflowHandle> =>
  client.workflow.start('trainingPipeline', {
    taskQueue: TASK_QUEUE,
    workflowId: `train-${MODEL}`,
    args: [{ model: MODEL, promote: true }],
  });

/** The pipeline and its rollout, both ended, while this program works on them. */
async function trained(client: Client, pipeline: WorkflowHandle, program: Program): Promise<WorkflowHandle[]> {
  const rollout = client.workflow.getHandle(`rollout-${MODEL}`);
  await whileAlive(program, pipeline.result());
  await whileAlive(program, rollout.result());
  return [pipeline, rollout];
}

async function killedItself(program: Program, kill: Kill): Promise<void> {
  const late = setTimeout(() => void program.end('SIGTERM'), A_STEP_MS);
  const { code, signal } = await program.ended;
  clearTimeout(late);
  if (signal === 'SIGKILL') return;
  throw new Error(
    `the process did not come to ${nameOf(kill.step)} (${kill.moment}); it ended with ${code ?? signal}:\n${program.printed().slice(-2000)}`,
  );
}

interface StepEvent {
  step: string;
  attempt: number;
  ms: number;
}

async function eventsOf(handles: WorkflowHandle[]): Promise<StepEvent[]> {
  const found: StepEvent[] = [];
  for (const [i, handle] of handles.entries()) {
    const workflow = i === 0 ? 'trainingPipeline' : 'promotion';
    const { events = [] } = await handle.fetchHistory();
    const at = (id: unknown) => events!.find((event) => String(event.eventId) === String(id))!;
    const seconds = (event: (typeof events & object)[number]) =>
      Number(event.eventTime!.seconds) + event.eventTime!.nanos! / 1e9;
    for (const event of events!) {
      const done = event.activityTaskCompletedEventAttributes;
      if (!done) continue;
      const started = at(done.startedEventId);
      const { activityType } = at(done.scheduledEventId).activityTaskScheduledEventAttributes!;
      const name = [workflow, activityType!.name!].join(' ');
      const fits = STEPS.filter((step) => [step.workflow, step.activity].join(' ') === name).map(nameOf);
      // Of two fits, the first is seen first.
      const step = fits.find((fit) => !found.some((earlier) => earlier.step === fit)) ?? name;
      found.push({
        step,
        attempt: started.activityTaskStartedEventAttributes!.attempt!,
        ms: 1000 * (seconds(event) - seconds(started)),
      });
    }
  }
  return found;
}

const since = (began: number): number => (Date.now() - began) / 1000;

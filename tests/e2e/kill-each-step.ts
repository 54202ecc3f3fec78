import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { applyProject } from '../../activities/project/apply.ts';
import { readProjectFolder } from '../../activities/project/read-folder.ts';
import { openStores } from '../../bucket/index.ts';
import { TASK_QUEUE } from '../../schemas/index.ts';
import { connect } from '../../workers/temporal/index.ts';
import { outcomeOf, type Outcome } from './kill-outcome.ts';
import { nameOf, planKills, STEPS, type Kill, type KillStep } from './kill-plan.ts';
import { launch, type Program } from './kill-process.ts';
import { writeSmallProject } from './small-project.ts';

const CRASHING = fileURLToPath(new URL('./crashing-process.ts', import.meta.url));
const MODEL = 'small';
const A_STEP_MS = 90_000;

export interface KilledRun {
  reference: Outcome;
  killed: Outcome;
  kills: (Kill & { seconds: number })[];
  /** By step: the attempt that succeeded. */
  attempts: Map<string, number>;
  /** Scratch folders that are left in the home. */
  scratch: string[];
  seconds: { reference: number; killed: number };
}

/**
 * Runs one pipeline undisturbed, and one whose process is killed once in each of the steps and started again each
 * time. Nothing else may use the Temporal server meanwhile.
 */
export async function killInEachStep(o: {
  folder: string;
  address: string;
  seed: number;
  steps?: readonly KillStep[];
  say?: (line: string) => void;
}): Promise<KilledRun> {
  const { steps = STEPS, say = () => {} } = o;
  const project = await writeSmallProject(join(o.folder, 'project'), {
    name: MODEL,
    spec: { split: { asOf: '2024-10-15' }, backtest: { until: '2024-12-01' } },
  });
  const connected = await connect({ address: o.address, namespace: 'default' }, {});
  let program: Program | undefined;
  try {
    const calm = await openPlace(o, 'calm', project);
    let began = Date.now();
    program = calm.start();
    const undisturbed = await trained(connected.client, program);
    await program.end('SIGKILL');
    const reference = { outcome: await calm.outcome(), seconds: since(began) };
    const durations = await durationsOf(undisturbed);

    const rough = await openPlace(o, 'rough', project);
    const kills: KilledRun['kills'] = [];
    began = Date.now();
    const plan = planKills(steps, durations, o.seed);
    const pipeline = await begin(connected.client);
    for (const kill of plan) {
      const from = Date.now();
      program = rough.start(kill);
      await killedItself(program, kill);
      kills.push({ ...kill, seconds: since(from) });
      say(
        `killed in ${nameOf(kill.step)}, ${kill.moment}${kill.afterMs ? ` ${kill.afterMs} ms` : ''}: ${since(from).toFixed(1)} s`,
      );
    }
    program = rough.start();
    const ended = await trained(connected.client, program, pipeline);
    await program.end('SIGKILL');
    return {
      reference: reference.outcome,
      killed: await rough.outcome(),
      kills,
      attempts: await attemptsOf(ended),
      scratch: (await readdir(rough.home)).filter((name) => name.startsWith('scratch-')),
      seconds: { reference: reference.seconds, killed: since(began) },
    };
  } finally {
    await program?.end('SIGKILL');
    await connected.close();
  }
}

async function openPlace(o: { folder: string; address: string }, name: string, project: string) {
  const home = join(o.folder, name);
  await mkdir(home);
  const place = { home, bucket: `file:${join(home, 'bucket')}`, model: MODEL };
  await applyProject(await openStores(place), await readProjectFolder(project), {
    by: 'tests',
    dryRun: false,
    now: new Date(),
  });
  return {
    home,
    outcome: () => outcomeOf(place),
    start: (kill?: Kill) =>
      launch(['--import', 'tsx', CRASHING], {
        printTo: join(home, 'printed.log'),
        env: {
          GAUNTLET_HOME: home,
          GAUNTLET_BUCKET: place.bucket,
          TEMPORAL_ADDRESS: o.address,
          ...(kill && { GAUNTLET_KILL: JSON.stringify(kill) }),
        },
      }),
  };
}

const begin = (client: Client): Promise<WorkflowHandle> =>
  client.workflow.start('trainingPipeline', {
    taskQueue: TASK_QUEUE,
    workflowId: `train-${MODEL}`,
    args: [{ model: MODEL, promote: true }],
  });

/** The pipeline and its rollout, both ended, while this program works on them. */
async function trained(client: Client, program: Program, pipeline?: WorkflowHandle): Promise<WorkflowHandle[]> {
  const died = program.ended.then(({ code, signal }) => {
    throw new Error(
      `the process ended (${code ?? signal}) before the pipeline did:\n${program.printed().slice(-2000)}`,
    );
  });
  died.catch(() => {}); // once the pipeline has ended, it may
  const handle = pipeline ?? (await begin(client));
  const rollout = client.workflow.getHandle(`rollout-${MODEL}`);
  await Promise.race([handle.result(), died]);
  await Promise.race([rollout.result(), died]);
  return [handle, rollout];
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

const durationsOf = async (handles: WorkflowHandle[]): Promise<Map<string, number>> =>
  new Map((await eventsOf(handles)).map(({ step, ms }) => [step, ms]));

const attemptsOf = async (handles: WorkflowHandle[]): Promise<Map<string, number>> =>
  new Map((await eventsOf(handles)).map(({ step, attempt }) => [step, attempt]));

const since = (began: number): number => (Date.now() - began) / 1000;

/**
 * Takes a model from raw data to a version, and to traffic if asked.
 *
 *   project → ingest → expectations → rows → split → preprocess → train → baseline → evaluate → gate
 *     → refit → export → backtest → register → promote
 *
 * Id      any; the CLI, the API and schedules use train-<model>. Trainings run side by side.
 * Cancel  ends it; what was written are sealed parts under their hashes, and no record
 * Leaves  a run's record, registered or halted, and with it a version
 */
import { rootCause, WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  defineQuery,
  isCancellation,
  ParentClosePolicy,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { PipelineActivities, TrainingActivities } from '../activities/index.ts';
import type { RunParts } from '../activities/pipeline/register.ts';
import {
  TRAINING_TASK_QUEUE,
  TrainingPipelineInput,
  type Progress,
  type Step,
  type TrainingPipelineResult,
} from '../schemas/index.ts';
import { causeOf, failOnBadInput, inputOf, mark, now, OUR_MISTAKES } from './manners.ts';

const steps = proxyActivities<PipelineActivities>({
  startToCloseTimeout: '1 hour', // the longest is one SQL over the sources
  scheduleToCloseTimeout: '7 days', // workers may be away for a long weekend
  heartbeatTimeout: '15 seconds', // a dead worker's step goes to another within seconds
  retry: { maximumInterval: '1 minute', nonRetryableErrorTypes: OUR_MISTAKES }, // nor is a person's mistake retried
});
const training = proxyActivities<TrainingActivities>({
  taskQueue: TRAINING_TASK_QUEUE,
  startToCloseTimeout: '24 hours', // the longest training that a plan may ask for; it resumes from checkpoints
  scheduleToCloseTimeout: '7 days', // workers may be away for a long weekend
  heartbeatTimeout: '15 seconds', // it says after every tree how far it is
  retry: { maximumInterval: '1 minute', nonRetryableErrorTypes: OUR_MISTAKES },
});

export const progress = defineQuery<Progress>('progress');

export async function trainingPipeline(given: TrainingPipelineInput): Promise<TrainingPipelineResult> {
  const input = inputOf(TrainingPipelineInput, given, '{"model": "hotel-cancellations"}');
  const story = new Story(input.model);
  setHandler(progress, () => story.progress(), {
    description: 'Which step it is at, and each finished step in one line',
  });
  mark({ model: input.model });
  try {
    return await passSteps(input, story);
  } catch (error) {
    const outcome = isCancellation(error) ? 'cancelled' : 'failed';
    mark({ outcome });
    story.tell(`**${outcome}**: ${rootCause(error) ?? 'no reason was given'}`);
    if (story.hasTrained)
      await CancellationScope.nonCancellable(() =>
        steps.forgetCheckpoints.executeWithOptions({ summary: 'Nobody resumes this run' }, [input.model, story.run]),
      );
    throw error;
  }
}
failOnBadInput(trainingPipeline);

async function passSteps(input: TrainingPipelineInput, story: Story): Promise<TrainingPipelineResult> {
  const startedAt = now();
  const ref = await story.step('project', `Pin the newest project of ${input.model}`, (o) =>
    steps.planRun.executeWithOptions(o, [{ ...input, run: story.run, now: startedAt }]),
  );
  const { datasets } = await story.step('ingest', 'Ingest the sources', (o) =>
    steps.ingest.executeWithOptions(o, [ref, startedAt]),
  );
  const parts: RunParts = { datasets };

  const expected = await story.step('expectations', 'Hold the data against its expectations', (o) =>
    steps.checkExpectations.executeWithOptions(o, [ref, datasets]),
  );
  parts.expectations = expected.results;
  if (!expected.passed) return halt('expectations', expected.reason!);

  const rows = await story.step('rows', 'Run rows.sql and seal the training rows', (o) =>
    steps.sealTrainingRows.executeWithOptions(o, [ref, datasets]),
  );
  parts.rows = { object: rows.object, rowsHash: rows.rowsHash, rows: rows.rows };
  const { split } = await story.step('split', 'Split by maturity', (o) =>
    steps.splitTrainingRows.executeWithOptions(o, [ref, rows]),
  );
  parts.split = split;

  const head = await story.step('preprocess', 'Fit the head of the graph', (o) =>
    steps.fitHead.executeWithOptions(o, [ref, rows, split, 'first']),
  );
  const first = await story.step('train', 'Train on the first part, stop on the second', (o) =>
    training.train.executeWithOptions(o, [ref, rows, split, head.preprocessing, 'first']),
  );
  parts.first = first;
  const baseline = await story.step('baseline', 'Fit the linear baseline', (o) =>
    training.fitBaseline.executeWithOptions(o, [ref, rows, split, 'first']),
  );
  parts.baseline = baseline;
  const { evaluation } = await story.step('evaluate', 'Score the rows that nothing has seen', (o) =>
    steps.evaluate.executeWithOptions(o, [ref, rows, split, first, baseline]),
  );
  parts.evaluation = evaluation;

  const gate = await story.step('gate', "The gate's look", (o) =>
    steps.lookAtGate.executeWithOptions(o, [ref, rows, split, evaluation, first, now()]),
  );
  parts.look = gate.look;
  parts.verdict = gate.verdict;
  if (gate.verdict.says !== 'pass') return halt('gate', gate.verdict.because);

  const served = await story.step('refit', 'Fit the same recipe on all matured rows', (o) => refit(o));
  parts.served = served.main;
  const { onnx } = await story.step('export', 'Build the one graph that serves', (o) =>
    steps.exportGraph.executeWithOptions(o, [ref, served.main]),
  );
  parts.onnx = onnx;
  if (ref.backtest) {
    const backtest = await story.step('backtest', 'Score what came after asOf', (o) =>
      steps.backtest.executeWithOptions(o, [ref, rows, split, evaluation, served.main, served.baseline]),
    );
    if (backtest.backtest) parts.backtest = backtest.backtest;
  }

  const whole = {
    ...parts,
    rows,
    split,
    first,
    served: served.main,
    evaluation,
    look: gate.look,
    verdict: gate.verdict,
    onnx,
  };
  // A version and its run's record belong together: a cancellation waits for both.
  const { version } = await CancellationScope.nonCancellable(() =>
    story.step('register', 'Register the version', async (o) => {
      const registered = await steps.register.executeWithOptions(o, [ref, whole, causeOf('register'), now()]);
      await steps.recordRun.executeWithOptions({ summary: "Write the run's record" }, [
        ref,
        parts,
        { outcome: 'registered', version: registered.version },
        causeOf('record'),
        startedAt,
        now(),
      ]);
      return registered;
    }),
  );
  mark({ outcome: 'registered', version });
  const result = {
    outcome: 'registered' as const,
    model: input.model,
    run: story.run,
    version,
    because: gate.verdict.because,
  };
  if (!input.promote) return result;
  const rollout = await story.step('promote', `Start the rollout of version ${version}`, (o) =>
    startRollout(o, version),
  );
  return {
    ...result,
    ...(rollout.started && { rollout: rollout.started }),
    because: `${result.because}. ${rollout.line}`,
  };

  async function refit(o: { summary: string }) {
    if (!ref.refit) return { main: first, baseline, line: 'left out (split.refit is false): the first fit serves' };
    const fitted = await steps.fitHead.executeWithOptions(o, [ref, rows, split, 'refit']);
    const main = await training.train.executeWithOptions(o, [
      ref,
      rows,
      split,
      fitted.preprocessing,
      'refit',
      first.rounds,
    ]);
    const again = ref.backtest
      ? await training.fitBaseline.executeWithOptions(o, [ref, rows, split, 'refit'])
      : undefined;
    return { main, baseline: again, line: `on all matured rows: ${main.line}` };
  }

  async function startRollout(o: { summary: string }, toServe: number): Promise<{ started?: string; line: string }> {
    const workflowId = `rollout-${input.model}`;
    const plan = await steps.planRollout.executeWithOptions(o, [{ model: input.model, version: toServe }]);
    if (plan.says !== 'serve' && plan.says !== 'stages') return { line: `version ${toServe} waits: ${plan.because}` };
    try {
      // Not waited for: a rollout takes weeks, and this id is wanted for the next training.
      await startChild('promotion', {
        workflowId,
        args: [{ model: input.model, version: toServe, by: input.by ?? workflowInfo().workflowId }],
        parentClosePolicy: ParentClosePolicy.ABANDON,
        staticSummary: `Roll out ${input.model} version ${toServe}`,
      });
      return { started: workflowId, line: `${workflowId} started` };
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError)
        return { line: `version ${toServe} waits: ${workflowId} is running already` };
      throw error;
    }
  }

  async function halt(stage: 'expectations' | 'gate', reason: string): Promise<TrainingPipelineResult> {
    await steps.recordRun.executeWithOptions({ summary: "Write the halted run's record" }, [
      ref,
      parts,
      { outcome: 'halted', stage, reason },
      causeOf('record'),
      startedAt,
      now(),
    ]);
    mark({ outcome: 'halted' });
    story.tell(`**halted at ${stage}**: ${reason}`);
    return { outcome: 'halted', model: input.model, run: story.run, stage, because: reason };
  }
}

/** Keeps what the query, the UI's details and the search attributes say, in step with what runs. */
class Story {
  readonly run: string;
  readonly #model: string;
  readonly #lines: { step: Step; text: string }[] = [];
  #step: Step = 'project';
  /** There may be checkpoints. */
  hasTrained = false;

  constructor(model: string) {
    const { startTime, runId } = workflowInfo();
    this.#model = model;
    this.run = `${startTime.toISOString().replace(/[-:]|\.\d+/g, '')}-${runId.slice(0, 8)}`;
  }

  progress(): Progress {
    return { model: this.#model, run: this.run, step: this.#step, lines: [...this.#lines] };
  }

  async step<T extends { line: string }>(
    step: Step,
    summary: string,
    work: (options: { summary: string }) => Promise<T>,
  ): Promise<T> {
    this.#step = step;
    if (step === 'train') this.hasTrained = true;
    mark({ stage: step });
    this.tell(`*${step}*: ${summary} …`);
    const done = await work({ summary });
    this.#lines.push({ step, text: done.line });
    this.tell('');
    return done;
  }

  tell(last: string): void {
    const lines = this.#lines.map(({ step, text }) => `- **${step}** ${text}`);
    setCurrentDetails([`run \`${this.run}\``, '', ...lines, ...(last ? ['', last] : [])].join('\n'));
  }
}

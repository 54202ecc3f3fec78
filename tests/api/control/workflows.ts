import {
  ApplicationFailure,
  condition,
  defineQuery,
  defineSignal,
  proxyActivities,
  setHandler,
  CancellationScope,
} from '@temporalio/workflow';

const { fit } = proxyActivities<{ fit(): Promise<void> }>({
  startToCloseTimeout: '1 minute',
  scheduleToCloseTimeout: '1 minute',
  heartbeatTimeout: '5 seconds',
});

/** Answers as the pipeline does: a query, a heartbeating activity, a result or a failure. */
export async function trainingPipeline(input: { model: string; overrides?: Record<string, unknown> }): Promise<object> {
  let finished = false;
  setHandler(defineQuery('progress'), () => ({
    model: input.model,
    run: 'r',
    step: 'train',
    lines: [{ step: 'split', text: '38,135 matured rows' }],
  }));
  setHandler(defineSignal('finish'), () => void (finished = true));
  if (input.overrides?.['fail'])
    throw ApplicationFailure.create({
      type: 'BadOverride',
      message: 'fail: no such path in model.yaml',
      nonRetryable: true,
    });
  const scope = new CancellationScope();
  const fitting = scope.run(fit).catch(() => {});
  await condition(() => finished);
  scope.cancel();
  await fitting;
  return { outcome: 'registered', model: input.model, run: 'r', version: 3, because: 'every gate passed' };
}

export async function promotion(input: { model: string; version: number; stages?: unknown[] }): Promise<object> {
  if (input.stages)
    throw ApplicationFailure.create({
      type: 'NeedsStages',
      message: `${input.model} has a champion`,
      nonRetryable: true,
    });
  return { outcome: 'promoted', model: input.model, version: input.version, because: 'no stages' };
}

export async function importLabels(input: { model: string; asOf?: string }): Promise<object> {
  if (input.asOf?.startsWith('1900'))
    throw ApplicationFailure.create({ type: 'LabelsSql', message: 'labels.sql, line 3', nonRetryable: true });
  const until = new Date(input.asOf ?? '2017-01-01').toISOString();
  return { outcome: 'imported', model: input.model, n: 1, until, labels: 2, corrections: 0, because: '2 were new' };
}

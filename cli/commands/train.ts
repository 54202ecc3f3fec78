import type { Command } from 'commander';
import type { Training } from '../../api/control/shapes.ts';
import { command, setting, type CommonOptions } from '../command.ts';
import { apiUrl, whoami } from '../environment.ts';
import { EXIT } from '../exit-codes.ts';
import { paint, say, sayJson, tell } from '../output.ts';

interface TrainOptions extends CommonOptions {
  set: Record<string, unknown>;
  asOf?: string;
  backtestUntil?: string;
  promote?: boolean;
  workflowId?: string;
  follow: boolean;
}

export const trainCommand = (): Command =>
  command(
    'train',
    'Train a model from its newest applied project, and follow the workflow. It goes on when this command is stopped.',
    'gauntlet train hotel-cancellations --set training.maxDepth=8 --promote',
  )
    .argument('<model>')
    .option(
      '--set <path=value>',
      'override a value of model.yaml for this run; may be repeated',
      setting('training.maxDepth=8'),
      {},
    )
    .option('--as-of <time>', 'use only what was known then, such as 2016-07-01')
    .option('--backtest-until <time>', 'then score the rows predicted from as-of to this time')
    .option('--promote', 'start the rollout of the new version')
    .option('--workflow-id <id>', 'workflow id; default train-<model>')
    .option('--no-follow', 'only start it')
    .action(async (model: string, o: TrainOptions) => {
      const [{ createClient }, { followTraining }] = await Promise.all([
        import('../../api/client.ts'),
        import('../follow.ts'),
      ]);
      const client = createClient(apiUrl(o.api));
      const started = await client.train(
        model,
        {
          ...(Object.keys(o.set).length > 0 ? { overrides: o.set } : {}),
          asOf: o.asOf,
          ...(o.backtestUntil ? { backtest: { until: o.backtestUntil } } : {}),
          promote: o.promote,
          by: whoami(),
        },
        o.workflowId,
      );
      if (!o.follow) {
        if (o.json) sayJson(started);
        else say(`${started.workflowId} started${started.ui ? `: ${started.ui}` : ''}`);
        return;
      }
      tell(`${started.workflowId} started${started.ui ? `: ${started.ui}` : ''}`);
      const training = await followTraining(client, started.workflowId, tell);
      if (o.json) sayJson(training);
      else say(endInWords(model, training));
      if (training.result?.outcome !== 'registered') process.exitCode = EXIT.failed;
    });

function endInWords(model: string, { status, result, failure, workflowId }: Training): string {
  if (result?.outcome === 'registered')
    return `${paint('green', 'registered')} ${model} version ${result.version}: ${result.because}${result.rollout ? ` (rollout ${result.rollout} started)` : ''}`;
  if (result) return `${paint('yellow', 'halted')} at ${result.stage ?? 'a step'}: ${result.because}`;
  if (failure) return `${paint('red', status)}: ${failure.message}`;
  return `${workflowId} ended: ${status}`;
}

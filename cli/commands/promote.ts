import type { Command } from 'commander';
import { command, positiveInteger, type CommonOptions } from '../command.ts';
import { apiUrl, whoami } from '../environment.ts';
import { EXIT } from '../exit-codes.ts';
import { paint, say, sayJson } from '../output.ts';

interface PromoteOptions extends CommonOptions {
  to?: number;
  force?: boolean;
  reason?: string;
}

export const promoteCommand = (): Command =>
  command(
    'promote',
    "Start the rollout of a version through its model's stages, and wait a few seconds for its end.",
    'gauntlet promote hotel-cancellations --to 2 --force --reason "the first version was trained on half the data"',
  )
    .argument('<model>')
    .option('--to <n>', 'the version; default: the newest', positiveInteger)
    .option('--force', 'serve at once although another version serves; needs --reason')
    .option('--reason <text>', 'why, for the record')
    .action(async (model: string, o: PromoteOptions, self: Command) => {
      if (o.force && !o.reason) self.error('error: --force needs a --reason');
      const [{ createClient }, { UserError }] = await Promise.all([
        import('../../api/client.ts'),
        import('../../schemas/problem.ts'),
      ]);
      const client = createClient(apiUrl(o.api));
      const version = o.to ?? (await client.model(model)).newest;
      if (version === undefined)
        throw new UserError('NoVersion', `${model} has no version yet. Train one with: gauntlet train ${model}`);
      const promotion = await client.promote(model, {
        version,
        by: whoami(),
        reason: o.reason,
        ...(o.force ? { force: true, stages: [] } : {}),
      });
      const { result, workflowId, ui } = promotion;
      if (result && result.outcome !== 'promoted') process.exitCode = EXIT.failed;
      if (o.json) return sayJson(promotion);
      if (!result) return say(`${workflowId} is under way${ui ? `: ${ui}` : ''}`);
      const colour = result.outcome === 'promoted' ? 'green' : 'yellow';
      say(
        `${paint(colour, result.outcome)} ${model} version ${result.version}${result.revision ? ` (revision ${result.revision})` : ''}: ${result.because}`,
      );
    });

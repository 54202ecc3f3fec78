import type { Command } from 'commander';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl } from '../environment.ts';
import { paint, say, sayJson } from '../output.ts';

export const importLabelsCommand = (): Command =>
  command(
    'import-labels',
    "Bring the labels that a model's sources have into the prediction log, by label.import.sql of its newest applied project, and wait a few seconds for the end. What was imported before is not imported again.",
    'gauntlet import-labels hotel-cancellations',
  )
    .argument('<model>')
    .option('--as-of <time>', 'only labels that were known then, such as 2016-09-01; default: now')
    .action(async (model: string, o: CommonOptions & { asOf?: string }) => {
      const { createClient } = await import('../../api/client.ts');
      const importing = await createClient(apiUrl(o.api)).importLabels(model, { asOf: o.asOf });
      if (o.json) return sayJson(importing);
      const { result, workflowId, ui } = importing;
      if (!result) return say(`${workflowId} is under way${ui ? `: ${ui}` : ''}`);
      say(`${paint(result.outcome === 'imported' ? 'green' : 'dim', result.outcome)} ${model}: ${result.because}`);
    });

import type { Command } from 'commander';
import { command, positiveInteger, type CommonOptions } from '../command.ts';
import { apiUrl } from '../environment.ts';
import { figure, paint, say, sayJson, sayTable, when } from '../output.ts';

export const runsCommand = (): Command =>
  command(
    'runs',
    'List training runs, newest first: how each ended, and its primary metric beside the linear baseline.',
    'gauntlet runs hotel-cancellations --limit 10',
  )
    .argument('[model]')
    .option('--limit <n>', 'at most so many', positiveInteger, 20)
    .action(async (model: string | undefined, o: CommonOptions & { limit: number }) => {
      const { createClient } = await import('../../api/client.ts');
      const runs = await createClient(apiUrl(o.api)).runs({ model, limit: o.limit });
      if (o.json) return sayJson(runs);
      if (runs.length === 0) return say('No run yet. Start one with: gauntlet train <model>');
      sayTable(
        ['RUN', 'MODEL', 'ENDED', 'OUTCOME', 'VERSION', 'METRIC', 'VALUE', 'BASELINE', 'WHY'],
        runs.map((run) => [
          run.id,
          run.model,
          when(run.endedAt),
          paint(run.outcome === 'registered' ? 'green' : 'yellow', run.outcome),
          run.version,
          run.metric,
          figure(run.value),
          figure(run.baseline),
          run.halted ? `${run.halted.stage}: ${run.halted.reason}` : '',
        ]),
      );
    });

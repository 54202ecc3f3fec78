import type { Command } from 'commander';
import type { HistoryEntry } from '../../api/control/shapes.ts';
import { command, positiveInteger, type CommonOptions } from '../command.ts';
import { apiUrl } from '../environment.ts';
import { say, sayJson, sayTable, tell, when } from '../output.ts';

export const historyCommand = (): Command =>
  command(
    'history',
    'Show what a model served when, by whom and why, newest first; with --at, what served at a time.',
    'gauntlet history hotel-cancellations --at 2026-11-24T10:00:00Z',
  )
    .argument('<model>')
    .option('--at <time>', 'what was in force then, and what came before; a date is its first moment, UTC')
    .option('--limit <n>', 'at most so many', positiveInteger, 20)
    .action(async (model: string, o: CommonOptions & { at?: string; limit: number }) => {
      const { createClient } = await import('../../api/client.ts');
      const history = await createClient(apiUrl(o.api)).history(model, { at: o.at, limit: o.limit });
      if (o.json) return sayJson(history);
      if (o.at !== undefined || history.entries.length === 0) say(history.says);
      if (history.entries.length > 0) {
        if (o.at !== undefined) say('');
        sayTable(
          ['REVISION', 'COMMITTED', 'CHAMPION', 'PREVIOUS', 'CANARY', 'SHADOWS', 'BY', 'CAUSE', 'LOOK', 'BECAUSE'],
          history.entries.map((entry) => [
            entry.revision,
            when(entry.committedAt),
            entry.champion,
            entry.previous,
            canaryOf(entry),
            entry.shadows.map(({ version }) => version).join(', ') || undefined,
            entry.by,
            entry.cause.workflowId,
            entry.verdict && `${entry.verdict.kind} ${entry.verdict.says}`,
            entry.because,
          ]),
        );
      }
      if (history.more) tell(`There are older ones: --limit ${o.limit * 5}`);
      if (history.gap !== undefined) tell(`Older ones cannot be read: ${history.gap}`);
    });

const canaryOf = ({ canary }: HistoryEntry): string | undefined =>
  canary && `${canary.version}: ${Number((canary.weight * 100).toPrecision(3))} % until ${when(canary.until)}`;

import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { RollbackResult } from '../../schemas/pipeline.ts';
import { command, positiveInteger, type CommonOptions } from '../command.ts';
import { apiUrl, bucketUrl, gauntletHome, whoami } from '../environment.ts';
import { paint, say, sayJson, tell } from '../output.ts';

interface RollbackOptions extends CommonOptions {
  to?: number;
  reason: string;
}

export const rollbackCommand = (): Command =>
  command(
    'rollback',
    'Serve the version before, at once. Works with Temporal down, and on the bucket itself when the API is down.',
    'gauntlet rollback hotel-cancellations --to 1 --reason "version 2 refuses group bookings"',
  )
    .argument('<model>')
    .option('--to <n>', 'the version; default: the one that served before', positiveInteger)
    .requiredOption('--reason <text>', 'why, for the record')
    .action(async (model: string, o: RollbackOptions) => {
      const { createClient, ApiUnreachable, ApiProblem } = await import('../../api/client.ts');
      const client = createClient(apiUrl(o.api));
      const by = whoami();
      let done: RollbackResult;
      try {
        done = await client.rollback(model, { to: o.to, by, reason: o.reason });
      } catch (error) {
        const down = error instanceof ApiUnreachable || (error instanceof ApiProblem && error.status >= 500);
        if (!down) throw error;
        tell(
          `The API at ${client.url} ${error instanceof ApiUnreachable ? 'does not answer' : `failed (${error.status})`}: rolling back on the bucket itself, ${bucketUrl()}.`,
        );
        const { rollBackOnBucket } = await import('../roll-back-on-bucket.ts');
        done = await rollBackOnBucket(
          { bucket: bucketUrl(), home: gauntletHome() },
          { model, to: o.to, by, reason: o.reason },
          { workflowId: 'cli', runId: randomUUID(), step: 'rollback' },
        );
      }
      if (o.json) return sayJson(done);
      say(
        `${paint('green', 'rolled back')} ${model} from version ${done.from} to ${done.to} (revision ${done.revision})`,
      );
    });

import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { RollbackResult } from '../../schemas/pipeline.ts';
import { command, positiveInteger, type CommonOptions } from '../command.ts';
import { apiUrl, bucketUrl, gauntletHome, isBucketOf, whoami } from '../environment.ts';
import { paint, say, sayJson, tell } from '../output.ts';

/** An API that hangs is as good as none. */
const API_TIMEOUT_MS = 5_000;

interface RollbackOptions extends CommonOptions {
  to?: number;
  reason: string;
}

export const rollbackCommand = (): Command =>
  command(
    'rollback',
    'Take back what is being tried out beside the champion, or else the champion: the version before serves, at once; again, the one before that. Works with Temporal down, and on the bucket itself when the API is down.',
    'gauntlet rollback hotel-cancellations --to 1 --reason "version 2 refuses group bookings"',
  )
    .argument('<model>')
    .option(
      '--to <n>',
      'the version; default: the champion alone while something is tried out beside it, else the one before that was not rolled back',
      positiveInteger,
    )
    .requiredOption('--reason <text>', 'why, for the record')
    .action(async (model: string, o: RollbackOptions) => {
      const { createClient, ApiUnreachable, ApiProblem } = await import('../../api/client.ts');
      const client = createClient(apiUrl(o.api), {
        fetch: (url, init) => fetch(url, { ...init, signal: AbortSignal.timeout(API_TIMEOUT_MS) }),
      });
      const by = whoami();
      // One request, whoever writes it: the API may have done it although its answer was lost.
      const requestId = randomUUID();
      let done: RollbackResult;
      try {
        done = await client.rollback(model, { to: o.to, by, reason: o.reason, requestId });
      } catch (error) {
        const down = error instanceof ApiUnreachable || (error instanceof ApiProblem && error.status >= 500);
        if (!down) throw error;
        const failed = `The API at ${client.url} ${error instanceof ApiUnreachable ? 'does not answer' : `failed (${error.status})`}`;
        if (!isBucketOf(client.url)) {
          const { UserError } = await import('../../schemas/problem.ts');
          throw new UserError(
            'ApiUnreachable',
            `${failed}, and which bucket it serves from is not known here, so nothing was rolled back. Set GAUNTLET_BUCKET to its bucket, and the same command works without it: ${error.message}`,
          );
        }
        tell(`${failed}: rolling back on the bucket itself, ${bucketUrl()}.`);
        const { rollBackOnBucket } = await import('../roll-back-on-bucket.ts');
        done = await rollBackOnBucket(
          { bucket: bucketUrl(), home: gauntletHome() },
          { model, to: o.to, by, reason: o.reason },
          requestId,
        );
      }
      if (o.json) return sayJson(done);
      const what =
        done.from === done.to
          ? `${model}: version ${done.to} serves alone, nothing is tried out beside it (revision ${done.revision}). The version before it: the same once more`
          : `${model} from version ${done.from} to ${done.to} (revision ${done.revision})`;
      say(`${paint('green', 'rolled back')} ${what}`);
    });

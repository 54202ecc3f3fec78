import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Rollout } from '../../api/control/shapes.ts';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl } from '../environment.ts';
import { sayJson, tell } from '../output.ts';

const POLL_MS = 1_000;
/** A restart of the API or of Temporal is waited out; longer than this it is gone. */
const PATIENCE_MS = 60_000;

export const rolloutCommand = (): Command =>
  command(
    'rollout',
    'Show where the rollout of a model stands, or how its last one ended: stages, the newest look with its figures, votes, what comes next. Fails when it ended otherwise than promoted or passed.',
    'gauntlet rollout hotel-cancellations --follow',
  )
    .argument('<model>')
    .option('--follow', 'stay until it ends, and tell what happens; it goes on when this command is stopped')
    .action(async (model: string, o: CommonOptions & { follow?: boolean }) => {
      const [{ createClient, ApiProblem, ApiUnreachable }, { exitCodeOf, sayRollout }] = await Promise.all([
        import('../../api/client.ts'),
        import('../rollout.ts'),
      ]);
      const client = createClient(apiUrl(o.api));
      const told = new Set<string>();
      const follow = async (): Promise<Rollout> => {
        for (let lastAnswer = Date.now(); ; await sleep(POLL_MS)) {
          try {
            const rollout = await client.rollout(model);
            lastAnswer = Date.now();
            for (const line of linesOf(rollout).filter((one) => !told.has(one))) {
              told.add(line);
              tell(line);
            }
            if (rollout.state !== 'running') return rollout;
          } catch (error) {
            const passing = error instanceof ApiUnreachable || (error instanceof ApiProblem && error.status === 503);
            if (!passing || Date.now() - lastAnswer > PATIENCE_MS) throw error;
          }
        }
      };
      const rollout = await (o.follow ? follow() : client.rollout(model));
      process.exitCode = exitCodeOf(rollout);
      if (o.json) return sayJson(rollout);
      await sayRollout(client, model, rollout);
    });

/** What happened, and the newest look, each said once. */
function linesOf({ status, waiting }: Rollout): string[] {
  const look = status?.look;
  return [
    ...(status?.lines ?? []),
    ...(look ? [`look ${look.key} ${look.verdict.says}: ${look.verdict.because}`] : []),
    ...(status?.refused ?? []).map((line) => `refused: ${line}`),
    ...(waiting === undefined ? [] : [`waiting: ${waiting}`]),
  ];
}

import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { command, positiveInteger, type CommonOptions } from '../command.ts';
import { apiUrl, whoami } from '../environment.ts';
import { sayJson } from '../output.ts';
import type { Stages } from '../rollout.ts';

interface StartOptions extends CommonOptions {
  to?: number;
  reason?: string;
  supersede?: boolean;
}

interface TrialOptions extends StartOptions {
  from?: string;
  alpha?: number;
  maxUnseen?: number;
  minimumEffect?: number;
  maxDuration?: string;
}

export const trialCommand = (): Command =>
  begins(
    command(
      'trial',
      "Hold a version against the champion on the champion's own requests: its shadow stage alone, which changes nothing.",
      'gauntlet trial hotel-cancellations --to 2 --max-unseen 0.3',
    ),
  )
    .option('--from <time>', 'requests from here on are evidence')
    .option('--alpha <share>', 'chance of each wrong verdict', share)
    .option(
      '--max-unseen <share>',
      'largest share of requests in horizon strata of too few blocks, for a verdict',
      share,
    )
    .option('--minimum-effect <loss>', 'least improvement of the mean loss', amount)
    .option('--max-duration <while>', 'undecided then is inconclusive: "26 weeks"')
    .action((model: string, o: TrialOptions) => {
      const { from, alpha, maxUnseen, minimumEffect, maxDuration } = o;
      const given = Object.entries({ from, alpha, maxUnseen, minimumEffect, maxDuration });
      const stage = Object.fromEntries(given.filter(([, value]) => value !== undefined));
      return begin(model, o, { kind: 'shadowTrial', ...(Object.keys(stage).length > 0 && { stage }) });
    });

export const canaryCommand = (): Command =>
  begins(
    command(
      'canary',
      'Give a version some of the traffic, stage by stage, and all of it if it harms nobody: the canary stages and the bake of its model alone.',
      'gauntlet canary hotel-cancellations --to 2 --stages canary-only.yaml',
    ),
  )
    .option('--stages <file>', "a YAML list of canary stages and a bake, in place of model.yaml's")
    .action(async (model: string, o: StartOptions & { stages?: string }) => {
      const { readYaml } = await import('../rollout.ts');
      const stages = o.stages === undefined ? undefined : ((await readYaml(o.stages)) as Stages);
      return begin(model, o, { kind: 'canaryRollout', ...(stages && { stages }) });
    });

const begins = (made: Command): Command =>
  made
    .argument('<model>')
    .option('--to <n>', 'the version; default: the newest', positiveInteger)
    .option('--supersede', 'end the rollout that runs, if any, cleanly first')
    .option('--reason <text>', 'why, for the record');

async function begin(model: string, o: StartOptions, body: object): Promise<void> {
  const [{ createClient }, { exitCodeOf, sayStart, versionOf }] = await Promise.all([
    import('../../api/client.ts'),
    import('../rollout.ts'),
  ]);
  const client = createClient(apiUrl(o.api));
  const version = await versionOf(client, model, o.to);
  const { reason, supersede } = o;
  const started = await client.startRollout(model, {
    version,
    by: whoami(),
    reason,
    ...(supersede && { supersede }),
    ...body,
  });
  process.exitCode = exitCodeOf({ result: started.result, state: 'running' });
  if (o.json) return sayJson(started);
  sayStart(model, version, started);
}

function share(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value < 1)) throw new InvalidArgumentError('It must be a share from 0 to 1, such as 0.3.');
  return value;
}

function amount(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

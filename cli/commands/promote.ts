import type { Command } from 'commander';
import { command, positiveInteger, type CommonOptions } from '../command.ts';
import { apiUrl, whoami } from '../environment.ts';
import { sayJson } from '../output.ts';
import type { Stages } from '../rollout.ts';

interface PromoteOptions extends CommonOptions {
  to?: number;
  stages?: string;
  force?: boolean;
  reason?: string;
  supersede?: boolean;
}

export const promoteCommand = (): Command =>
  command(
    'promote',
    "Start the rollout of a version through its model's stages, and wait a few seconds for its end.",
    'gauntlet promote hotel-cancellations\ngauntlet promote hotel-cancellations --to 2 --force --reason "the first version was trained on half the data"',
  )
    .argument('<model>')
    .option('--to <n>', 'the version; default: the newest', positiveInteger)
    .option('--stages <file>', "a YAML list of stages, in place of model.yaml's")
    .option('--supersede', 'end the rollout that runs, if any, cleanly first')
    .option('--force', 'serve at once although another version serves; needs --reason')
    .option('--reason <text>', 'why, for the record')
    .action(async (model: string, o: PromoteOptions, self: Command) => {
      if (o.force && !o.reason) self.error('error: --force needs a --reason');
      if (o.force && o.stages !== undefined) self.error('error: --force serves without stages, so not with --stages');
      const [{ createClient }, { exitCodeOf, readYaml, sayStart, versionOf }] = await Promise.all([
        import('../../api/client.ts'),
        import('../rollout.ts'),
      ]);
      const client = createClient(apiUrl(o.api));
      // The API says what of it is no stage.
      const stages = o.stages === undefined ? undefined : ((await readYaml(o.stages)) as Stages);
      const version = await versionOf(client, model, o.to);
      const started = await client.startRollout(model, {
        version,
        by: whoami(),
        reason: o.reason,
        ...(stages && { stages }),
        ...(o.supersede && { supersede: true }),
        ...(o.force ? { force: true, stages: [] } : {}),
      });
      process.exitCode = exitCodeOf({ result: started.result, state: 'running' });
      if (o.json) return sayJson(started);
      sayStart(model, version, started);
    });

import type { Command } from 'commander';
import type { Client } from '../../api/client.ts';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl } from '../environment.ts';
import { sayJson } from '../output.ts';
import type { Stages } from '../rollout.ts';

export const judgeCommand = (): Command =>
  command(
    'judge',
    'Judge the evidence of a look again, by its own plan or by another: what would have been said. Nothing is written.',
    'gauntlet judge looks/hotel-cancellations/20161021T000000.000Z-shadow.json --plan stricter.yaml',
  )
    .argument('<look>', 'key of the look, or 8 digits of its hash')
    .option('--plan <file>', 'a stage in YAML, with other limits')
    .option('--model <model>', 'whose look it is, where a hash is given; default: every model is looked through')
    .action(async (look: string, o: CommonOptions & { plan?: string; model?: string }) => {
      const [{ createClient }, { sayJudged }, { readYaml }] = await Promise.all([
        import('../../api/client.ts'),
        import('../look.ts'),
        import('../rollout.ts'),
      ]);
      const client = createClient(apiUrl(o.api));
      // The API says what of it is no stage.
      const plan = o.plan === undefined ? undefined : ((await readYaml(o.plan)) as NonNullable<Stages>[number]);
      const model = o.model ?? /^looks\/([^/]+)\//.exec(look)?.[1] ?? (await modelOf(client, look));
      const judged = await client.judge(model, look, plan ? { plan } : {});
      if (o.json) return sayJson(judged);
      sayJudged(judged);
    });

async function modelOf(client: Client, look: string): Promise<string> {
  const [{ ApiProblem }, { UserError }] = await Promise.all([
    import('../../api/client.ts'),
    import('../../schemas/problem.ts'),
  ]);
  for (const { model } of await client.models())
    try {
      await client.look(model, look);
      return model;
    } catch (error) {
      if (!(error instanceof ApiProblem && error.status === 404)) throw error;
    }
  throw new UserError(
    'UnknownLook',
    `${look} is no look of any model: expected a key (looks/<model>/...) or at least 8 digits of a hash. gauntlet looks <model> lists them.`,
  );
}

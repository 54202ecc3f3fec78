import { Option, type Command } from 'commander';
import { command, positiveInteger, type CommonOptions } from '../command.ts';
import { apiUrl } from '../environment.ts';
import { paint, say, sayJson, sayTable, tell, when } from '../output.ts';

const KINDS = ['gate', 'plan', 'shadow', 'approval', 'canary', 'bake'] as const;

interface LooksOptions extends CommonOptions {
  kind?: (typeof KINDS)[number];
  before?: string;
  limit: number;
}

export const looksCommand = (): Command =>
  command(
    'looks',
    'List the looks at a model, newest first: what was seen and what was said of it; or show one.',
    'gauntlet looks hotel-cancellations --kind shadow\ngauntlet looks hotel-cancellations 20161021T000000.000Z-shadow',
  )
    .argument('<model>')
    .argument('[look]', 'key of a look, its last part, or 8 digits of its hash')
    .addOption(new Option('--kind <kind>', 'only those of this kind').choices([...KINDS]))
    .option('--before <key>', 'only older ones than this')
    .option('--limit <n>', 'at most so many', positiveInteger, 20)
    .action(async (model: string, named: string | undefined, o: LooksOptions) => {
      const { createClient } = await import('../../api/client.ts');
      const client = createClient(apiUrl(o.api));
      if (named !== undefined) {
        const found = await client.look(model, named);
        if (o.json) return sayJson(found);
        const { sayLook } = await import('../look.ts');
        return sayLook(found);
      }
      const { kind, before, limit } = o;
      const { looks, next } = await client.looks(model, { kind, before, limit });
      if (o.json) return sayJson({ looks, next });
      if (looks.length === 0) return say(`No look at ${model} yet: a training's gate is the first.`);
      sayTable(
        ['AT', 'KIND', 'VERSIONS', 'HASH', 'SAYS', 'BECAUSE'],
        looks.map((look) => [
          when(look.at),
          look.kind,
          look.versions.join(' / ') || undefined,
          look.sha256.slice(0, 8),
          paint(
            look.verdict.says === 'pass' ? 'green' : look.verdict.says === 'fail' ? 'red' : 'yellow',
            look.verdict.says,
          ),
          look.verdict.because,
        ]),
      );
      if (next !== undefined) tell(`There are older ones: --before ${next}`);
    });

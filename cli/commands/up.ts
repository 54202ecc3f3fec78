import { InvalidArgumentError, type Command } from 'commander';
import { command } from '../command.ts';
import { gauntletHome } from '../environment.ts';

export const upCommand = (): Command =>
  command(
    'up',
    'Bring up everything in this one process: Temporal, workers and API, with the example models. Ctrl-C stops it all.',
    'gauntlet up --port 3000',
    { api: false },
  )
    .option('--port <port>', 'port of the API (PORT; default 3000, or the next free one)', port)
    .option('--home <folder>', 'where local state is kept (GAUNTLET_HOME; default .gauntlet)')
    .option('--train <model...>', 'train and serve these models, where they are not served yet')
    .option('--json', 'each line as one JSON object: {"says": "..."}')
    .action(async (o: { port?: number; home?: string; train?: string[]; json?: boolean }) => {
      const { up } = await import('../up.ts');
      const named = process.env['PORT'];
      await up({
        port: o.port ?? (named ? port(named) : undefined),
        home: o.home ?? gauntletHome(),
        train: o.train ?? [],
        json: o.json,
      });
    });

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535)
    throw new InvalidArgumentError('A port is a whole number from 0 to 65535.');
  return value;
}

import { InvalidArgumentError, Option, type Command } from 'commander';
import { command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';

interface Given {
  act: '1' | '2';
  approve?: boolean;
  home?: string;
  port?: number;
  daysPerSecond?: number;
  stay?: boolean;
}

export const demoCommand = (): Command =>
  command(
    'demo',
    'Eight months of real bookings in a few minutes: a trial, your word, canaries, a new champion, and two that are rolled back.',
    'gauntlet demo\ngauntlet demo --approve --stay\ngauntlet demo --act 2',
    { api: false },
  )
    .addOption(
      new Option('--act <n>', '1: the whole gauntlet; 2: a model of every label known so far, against matured ones')
        .choices(['1', '2'])
        .default('1'),
    )
    .option('--approve', 'wait for nobody')
    .option('--home <folder>', 'keep its state there; default a temporary folder, removed at the end')
    .option('--port <port>', 'port of its API; default 3000, or the next free one', positive)
    .option('--days-per-second <n>', 'of the log, while the trial runs; default 2, in act 2 4', positive)
    .option('--stay', 'leave everything up at the end, until Ctrl-C')
    .action(async ({ act, ...o }: Given) => {
      const [{ demo }, { ACTS }] = await Promise.all([import('../demo/demo.ts'), import('../demo/acts.ts')]);
      const ended = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ended.abort());
      const { ok } = await demo({ ...o, act: ACTS[act], signal: ended.signal });
      if (!ok) process.exitCode = EXIT.failed;
    });

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

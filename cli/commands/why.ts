import { InvalidArgumentError, type Command } from 'commander';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl } from '../environment.ts';
import { paint, say, sayJson } from '../output.ts';

interface WhyOptions extends CommonOptions {
  around?: string;
  row: number;
  model?: string;
}

export const whyCommand = (): Command =>
  command(
    'why',
    'Explain an answer by its request id: what was asked and said, which version said it and why that one, its training run, the data behind it, what shadows said, and what came true.',
    'gauntlet why 0195f1c2-6f2e-7c1a-9d55-2b1c0f6c7a10',
  )
    .argument('<request id>', 'requestId of the answer, or its header x-request-id')
    .option('--around <time>', "when it was asked, within a day: for a client's own id from longer ago than 31 days")
    .option('--row <n>', 'which row of the request', place, 0)
    .option('--model <model>', 'where several models answered the same id')
    .action(async (requestId: string, o: WhyOptions) => {
      const { createClient } = await import('../../api/client.ts');
      const { around, row, model } = o;
      const why = await createClient(apiUrl(o.api)).why(requestId, { around, row, model });
      if (o.json) return sayJson(why);
      say(`${paint('bold', requestId)}  ${why.says}`);
      for (const { step, says, key, gone } of why.steps)
        say(
          [
            `  -> ${paint('bold', step.padEnd(8))} ${says}`,
            ...(gone === undefined ? [] : [paint('yellow', gone)]),
            ...(key === undefined ? [] : [paint('dim', key)]),
          ].join('  '),
        );
      if (why.others.length > 0) say(`Also answered under this id: ${why.others.join(', ')} (--model)`);
    });

function place(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('It must be a whole number from 0.');
  return value;
}

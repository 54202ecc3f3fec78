import type { Command } from 'commander';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl } from '../environment.ts';
import { EXIT } from '../exit-codes.ts';
import { mark, say, sayJson } from '../output.ts';
import { sayModels } from './models.ts';

export const statusCommand = (): Command =>
  command(
    'status',
    'Say what is up and what serves. Fails when bucket or Temporal does not answer.',
    'gauntlet status',
  ).action(async (o: CommonOptions) => {
    const { createClient } = await import('../../api/client.ts');
    const client = createClient(apiUrl(o.api));
    const status = await client.status();
    if (!status.bucket.ok || !status.temporal.ok) process.exitCode = EXIT.failed;
    if (o.json) return sayJson(status);
    say(`api       ${mark('ok')}  ${client.url}`);
    say(`bucket    ${mark(status.bucket.ok ? 'ok' : 'fail')}  ${status.bucket.because}`);
    say(
      `temporal  ${mark(status.temporal.ok ? 'ok' : 'fail')}  ${status.temporal.because}${status.temporal.ui ? `  ${status.temporal.ui}` : ''}`,
    );
    for (const { check, says, found, next } of status.replica)
      if (says !== 'ok') say(`${check}  ${mark(says)}  ${found}${next === undefined ? '' : `\n  next: ${next}`}`);
    say('');
    sayModels(status.models);
  });

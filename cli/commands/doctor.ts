import type { Command } from 'commander';
import type { Diagnosis } from '../../api/control/shapes.ts';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl, bucketUrl, gauntletHome } from '../environment.ts';
import { EXIT } from '../exit-codes.ts';
import { mark, say, sayJson } from '../output.ts';

export const doctorCommand = (): Command =>
  command(
    'doctor',
    'Check what Gauntlet stands on, and say what to do about what is wanting. Looks for itself when the API is down.',
    'gauntlet doctor',
  ).action(async (o: CommonOptions) => {
    const { createClient, ApiUnreachable } = await import('../../api/client.ts');
    const client = createClient(apiUrl(o.api));
    let diagnosis: Diagnosis;
    try {
      diagnosis = await client.doctor();
      diagnosis.checks.unshift({ check: 'api', says: 'ok', found: client.url });
      if (diagnosis.says === 'fail') process.exitCode = EXIT.failed;
    } catch (error) {
      if (!(error instanceof ApiUnreachable)) throw error;
      const { diagnoseWithoutApi } = await import('../diagnose-without-api.ts');
      diagnosis = await diagnoseWithoutApi(client.url, { bucket: bucketUrl(), home: gauntletHome() });
      process.exitCode = EXIT.unreachable;
    }
    if (o.json) return sayJson(diagnosis);
    const width = Math.max(...diagnosis.checks.map(({ check }) => check.length));
    for (const { check, says, found, next } of diagnosis.checks) {
      say(`${mark(says)}${' '.repeat(5 - says.length)} ${check.padEnd(width)}  ${found}`);
      if (next) say(`${' '.repeat(6 + width + 2)}-> ${next}`);
    }
  });

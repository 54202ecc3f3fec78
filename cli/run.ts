import { CommanderError } from 'commander';
import type { UserError } from '../schemas/problem.ts';
import { EXIT } from './exit-codes.ts';
import { createProgram } from './program.ts';

/** Runs one command line and gives its exit code. Every error ends here, in words. */
export async function run(argv: string[]): Promise<number> {
  try {
    process.exitCode = EXIT.ok;
    await createProgram().parseAsync(argv, { from: 'user' });
    return Number(process.exitCode);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    // Here, because loading it costs more than all of --help.
    const { UserError } = await import('../schemas/problem.ts');
    process.stderr.write(`${error instanceof UserError ? userErrorText(error) : faultText(error)}\n`);
    return error instanceof UserError && error.type === 'ApiUnreachable' ? EXIT.unreachable : EXIT.failed;
  }
}

const debugging = () => process.env['GAUNTLET_DEBUG'] === '1';

/** What a person reads: the message, and the places that it does not name itself. */
export function userErrorText(error: UserError): string {
  const issues = error.issues
    .filter(({ at, found }) => !(error.message.includes(at) && error.message.includes(found))) // not said yet
    .map(({ at, found, expected }) => `  ${at}: found ${found}; expected ${expected}`);
  return [error.message, ...issues, ...(debugging() && error.stack ? [error.stack] : [])].join('\n');
}

function faultText(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (debugging()) return error instanceof Error ? (error.stack ?? message) : message;
  return `gauntlet failed: ${message}\nThis is a fault of ours or of the machine. GAUNTLET_DEBUG=1 shows the trace.`;
}

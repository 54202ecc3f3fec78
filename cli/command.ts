import { Command, InvalidArgumentError } from 'commander';
import { EXIT_CODES_HELP } from './exit-codes.ts';

export interface CommonOptions {
  json?: boolean;
  api?: string;
}

/** A command with what every command has: an example in its help and, where it asks the API, --json and --api. */
export function command(name: string, description: string, example: string, o: { api?: boolean } = {}): Command {
  const made = new Command(name)
    .description(description)
    .addHelpText('after', `\nExample:\n${example.replace(/^/gm, '  ')}\n${EXIT_CODES_HELP}`);
  if (o.api !== false)
    made
      .option('--json', 'answer as one JSON value on stdout')
      .option('--api <url>', 'address of the API (GAUNTLET_API; default: the one that runs here, else port 3000)');
  return made;
}

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number from 1.');
  return value;
}

/** Reads `path=value`, once or repeated: the value is JSON where it reads as JSON, else text. */
export const setting =
  (example: string) =>
  (text: string, before: Record<string, unknown> = {}): Record<string, unknown> => {
    const at = text.indexOf('=');
    if (at < 1) throw new InvalidArgumentError(`It must be a path and a value, such as ${example}.`);
    const [path, value] = [text.slice(0, at), text.slice(at + 1)];
    try {
      return { ...before, [path]: JSON.parse(value) as unknown };
    } catch {
      return { ...before, [path]: value };
    }
  };

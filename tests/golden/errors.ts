import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { UserError } from '../../schemas/index.ts';

/**
 * Holds the whole text of an error against tests/golden/errors/<name>.txt. UPDATE_GOLDEN=1 writes the file anew.
 *
 * @param hide  what differs between machines, and what stands for it in the file
 */
export async function expectGoldenError(name: string, act: () => unknown, hide: Record<string, string> = {}): Promise<UserError> {
  const error = await Promise.resolve()
    .then(act)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  if (error === undefined) throw new Error(`golden error ${name}: nothing was thrown`);
  if (!(error instanceof UserError)) throw error instanceof Error ? error : new Error('something other than an Error was thrown', { cause: error });
  let text = `${error.type}\n${error.message}\n`;
  for (const [value, stands] of Object.entries(hide)) text = text.replaceAll(value, stands);
  const file = fileURLToPath(new URL(`errors/${name}.txt`, import.meta.url));
  if (process.env.UPDATE_GOLDEN === '1') {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  expect(existsSync(file), `${file} is missing: run the test with UPDATE_GOLDEN=1, and read what it wrote`).toBe(true);
  expect(text).toBe(readFileSync(file, 'utf8'));
  return error;
}

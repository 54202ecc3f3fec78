import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Runs one of these files as a process of its own, behind `before` if given (a shell line that ends in exec "$@"). */
export function startChild(file: string, args: string[], before?: string[]): ChildProcessWithoutNullStreams {
  const command = [process.execPath, '--import', 'tsx', fileURLToPath(new URL(file, import.meta.url)), ...args];
  const [program, ...rest] = before ? [...before, ...command] : command;
  // tsx keeps what it compiled in the temporary folder, where a limit on file sizes would cut it short.
  return spawn(program!, rest, { env: { ...process.env, TSX_DISABLE_CACHE: before ? '1' : '' } });
}

/** Its lines, one at a time. */
export function linesOf(child: ChildProcessWithoutNullStreams): () => Promise<string> {
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the process ended');
    return value;
  };
}

/** All that it prints until it ends well. */
export async function outputOf(child: ChildProcessWithoutNullStreams): Promise<string> {
  let out = '';
  let err = '';
  child.stdout.on('data', (text) => (out += String(text)));
  child.stderr.on('data', (text) => (err += String(text)));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`ended with ${code}: ${err}`);
  return out;
}

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const HOUSEKEEPER = fileURLToPath(new URL('housekeeper-program.ts', import.meta.url));

/**
 * Compacts the log in a process of its own, which may be killed meanwhile.
 *
 * @param children  holds it while it runs, for whoever has to end everything
 */
export async function keepHouse(
  o: { bucket: string; home: string; killAfterMs: number | undefined },
  children: Set<ChildProcess>,
): Promise<'kept' | 'killed' | { said: string }> {
  const child = fork(HOUSEKEEPER, [o.bucket, o.home], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let said = '';
  child.stderr!.on('data', (text: Buffer) => void (said += text.toString()));
  children.add(child);
  const ended = once(child, 'exit');
  const { killAfterMs } = o;
  if (killAfterMs !== undefined) child.once('message', () => void setTimeout(() => child.kill('SIGKILL'), killAfterMs));
  await ended;
  children.delete(child);
  if (child.exitCode === 0) return 'kept';
  return child.signalCode === null ? { said } : 'killed';
}

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Program {
  pid: number;
  /** What it has printed so far. */
  printed(): string;
  /** Resolves when it has ended. */
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Sends the signal and waits for the end. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
}

/** A Node process of this project that prints to a file, in this environment but for what would lead it elsewhere. */
export function launch(args: string[], o: { env: Record<string, string>; printTo: string }): Program {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(GAUNTLET_|TEMPORAL_|PORT$|VITEST)/.test(name));
  const file = openSync(o.printTo, 'a');
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...Object.fromEntries(inherited), ...o.env },
    stdio: ['ignore', file, file],
  });
  closeSync(file);
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  ended.catch(() => {}); // told to whoever waits for it
  return {
    pid: child.pid!,
    printed: () => readFileSync(o.printTo, 'utf8'),
    ended,
    async end(signal) {
      child.kill(signal);
      await ended;
    },
  };
}

/** Asks again and again until there is an answer; throws what `otherwise` says when the time is up. */
export async function until<T>(
  ask: () => T | undefined | Promise<T | undefined>,
  o: { withinMs: number; otherwise: () => string },
): Promise<T> {
  const deadline = Date.now() + o.withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(o.otherwise());
    await new Promise((done) => setTimeout(done, 20));
  }
}

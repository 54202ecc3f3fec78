import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Kill } from './kill-plan.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CRASHING = fileURLToPath(new URL('./crashing-process.ts', import.meta.url));

export interface Program {
  pid: number;
  /** What it has printed so far. */
  printed(): string;
  /** Resolves when it has ended. */
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Sends the signal and waits for the end. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
}

/** The real workers in a process of their own, which kills itself as told. Nothing else leads it elsewhere. */
export function launchWorkers(o: { home: string; bucket: string; address: string; kill?: Kill }): Program {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(GAUNTLET_|TEMPORAL_|PORT$|VITEST)/.test(name));
  const printTo = join(o.home, 'printed.log');
  const file = openSync(printTo, 'a');
  const child = spawn(process.execPath, ['--import', 'tsx', CRASHING], {
    cwd: ROOT,
    env: {
      ...Object.fromEntries(inherited),
      GAUNTLET_HOME: o.home,
      GAUNTLET_BUCKET: o.bucket,
      TEMPORAL_ADDRESS: o.address,
      ...(o.kill && { GAUNTLET_KILL: JSON.stringify(o.kill) }),
    },
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
    printed: () => readFileSync(printTo, 'utf8'),
    ended,
    async end(signal) {
      child.kill(signal);
      await ended;
    },
  };
}

/** Waits for what the program works on; throws what it printed if it ends first. */
export async function whileAlive<T>(program: Program, work: Promise<T>): Promise<T> {
  const died = program.ended.then(({ code, signal }) => {
    throw new Error(`the process ended (${code ?? signal}) before its work did:\n${program.printed().slice(-2000)}`);
  });
  died.catch(() => {}); // once the work has ended, it may
  return Promise.race([work, died]);
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

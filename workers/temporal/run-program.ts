import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface ProgramResult {
  ok: boolean;
  stdout: string;
  stderr: string;
  /** Why it failed, in one line. */
  why: string;
}

/** Runs a program to its end or its time limit; never throws. */
export function runProgram(
  file: string,
  args: string[],
  o: { env: NodeJS.ProcessEnv; timeoutMs: number; cwd?: string },
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    execFile(
      file,
      args,
      { env: o.env, cwd: o.cwd, timeout: o.timeoutMs, killSignal: 'SIGKILL', maxBuffer: 16 << 20 },
      (err, stdout, stderr) => {
        const why = !err
          ? ''
          : err.killed
            ? `no end after ${Math.round(o.timeoutMs / 1000)} seconds`
            : lastLine(stderr) || lastLine(stdout) || err.message;
        resolve({ ok: !err, stdout, stderr, why });
      },
    );
  });
}

/** The full path of a program on PATH. */
export function onPath(name: string, env: NodeJS.ProcessEnv): string | undefined {
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    if (folder === '') continue;
    const path = join(folder, name);
    if (isExecutable(path)) return path;
  }
  return undefined;
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function lastLine(text: string): string {
  const line = text.trim().split('\n').at(-1) ?? '';
  return line.length > 160 ? `${line.slice(0, 160)}...` : line;
}

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { anyFree } from '../../workers/temporal/ports.ts';
import { temporalBinary } from '../servers/temporal.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const COMMAND = join(ROOT, 'bin/gauntlet.js');

/** A folder that stands for a newcomer's machine: a home, model projects, and ports of its own for Temporal. */
export interface Machine {
  folder: string;
  home: string;
  models: string;
  env: NodeJS.ProcessEnv;
  remove(): Promise<void>;
}

export async function prepareMachine(): Promise<Machine> {
  const folder = await mkdtemp(join(tmpdir(), 'gauntlet-machine-'));
  const [home, models] = [join(folder, 'home'), join(folder, 'models')];
  await mkdir(home);
  await mkdir(models);
  // Tests run side by side: each has a dev server on ports that it keeps, as a home that was used before has.
  await writeFile(
    join(home, 'temporal-ports.json'),
    JSON.stringify({ port: await anyFree(), uiPort: await anyFree() }),
  );
  return {
    folder,
    home,
    models,
    env: {
      ...onlyWhatProgramsNeed(process.env),
      PATH: `${dirname(await temporalBinary())}${delimiter}${process.env['PATH']}`,
      GAUNTLET_HOME: home,
      GAUNTLET_MODELS: models,
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Nothing that would name another server, bucket or port. */
function onlyWhatProgramsNeed(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^(GAUNTLET_|TEMPORAL_|VITEST|PORT$|NODE_ENV$|FORCE_COLOR$)/.test(name)),
  );
}

/** A process of ours that runs, and what it has said. */
export class Started {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  #errors = '';
  #hear = () => {};

  constructor(command: string, args: string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(command, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let rest = '';
    this.child.stdout!.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop()!;
      this.lines.push(...parts);
      this.#hear();
    });
    this.child.stderr!.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.ended = new Promise((done) => this.child.once('close', (code, signal) => done(code ?? signal!)));
    void this.ended.then(() => this.#hear());
  }

  get errors(): string {
    return this.#errors;
  }

  /** Waits for a line; fails with everything that was said when the process ends without it. */
  async said(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.lines.find((line) => pattern.test(line));
      if (found !== undefined) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`it ended and never said ${pattern}:\n${this.lines.join('\n')}\n${this.errors}`);
      await new Promise<void>((done) => (this.#hear = done));
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

export const startGauntlet = (args: string[], env: NodeJS.ProcessEnv): Started =>
  new Started(process.execPath, [COMMAND, ...args], env);

/** One command line to its end. */
export async function runGauntlet(
  args: string[],
  env: NodeJS.ProcessEnv,
): Promise<{ code: number | string; stdout: string; stderr: string }> {
  const ran = startGauntlet(args, env);
  const code = await ran.ended;
  return { code, stdout: ran.lines.join('\n'), stderr: ran.errors };
}

export interface DevServerNote {
  pid: number;
  port: number;
}

export const devServerOf = async (home: string): Promise<DevServerNote> =>
  JSON.parse(await readFile(join(home, 'temporal.json'), 'utf8')) as DevServerNote;

/** Process ids whose command line or environment names the folder. */
export async function processesOf(folder: string): Promise<number[]> {
  if (process.platform !== 'linux') {
    const { stdout } = spawnSync('ps', ['-Ao', 'pid=,command='], { encoding: 'utf8' });
    return stdout
      .split('\n')
      .filter((line) => line.includes(folder))
      .map((line) => Number.parseInt(line, 10));
  }
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0 && pid !== process.pid);
  const named = await Promise.all(
    pids.map(async (pid) => {
      const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => '');
      return (await read('cmdline')).includes(folder) || (await read('environ')).includes(folder) ? pid : 0;
    }),
  );
  return named.filter((pid) => pid > 0);
}

/** For the end of a file whose tests failed half way: ends what still runs from the folder, each by its id. */
export async function endProcessesOf(folder: string): Promise<void> {
  for (const pid of await processesOf(folder)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself meanwhile.
    }
  }
}

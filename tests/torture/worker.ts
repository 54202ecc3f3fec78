import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflows } from '../../workers/create-workers.ts';

const PROGRAM = fileURLToPath(new URL('worker-program.ts', import.meta.url));
/** As whoever looks after processes would, not to start a broken one in a loop. */
const AGAIN_MS = 500;

/** Both workers in a process of their own, which is killed and comes back, and is brought back where it ends by itself. */
export class Worker {
  readonly #args: string[];
  readonly #home: string;
  #child: ChildProcess | undefined;
  #wanted = false;
  #keeping: Promise<void> = Promise.resolve();
  /** How often it ended though nobody killed it, and what it said then. */
  readonly ends: string[] = [];

  private constructor(args: string[], home: string) {
    this.#args = args;
    this.#home = home;
  }

  static async prepare(o: { folder: string; bucket: string; address: string }): Promise<Worker> {
    const [home, bundle] = [join(o.folder, 'worker'), join(o.folder, 'workflows.json')];
    await mkdir(home);
    await writeFile(bundle, JSON.stringify(await bundleWorkflows()));
    return new Worker([o.bucket, home, o.address, bundle], home);
  }

  start(): void {
    this.#wanted = true;
    this.#keeping = this.#keep();
  }

  async kill(): Promise<void> {
    this.#wanted = false;
    this.#child?.kill('SIGKILL');
    await this.#keeping;
  }

  async #keep(): Promise<void> {
    while (this.#wanted) {
      const child = fork(PROGRAM, this.#args, {
        execArgv: ['--import', 'tsx'],
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
        env: { ...process.env, GAUNTLET_HOME: this.#home },
      });
      this.#child = child;
      let said = '';
      child.stderr!.on('data', (text: Buffer) => void (said = (said + text.toString()).slice(-1_000)));
      await once(child, 'exit');
      if (!this.#wanted) return;
      this.ends.push(`${child.exitCode ?? child.signalCode}: ${said}`);
      await sleep(AGAIN_MS);
    }
  }
}

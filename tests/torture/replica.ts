import { execFile, fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { anyFree } from '../../workers/temporal/ports.ts';

const PROGRAM = fileURLToPath(new URL('replica-program.ts', import.meta.url));
const READY_LIMIT_MS = 180_000;

/** From a start to the end of the process. */
export interface Life {
  replica: string;
  /** Before the signal was sent, by performance.now(). */
  killedMs?: number;
  stoppedMs?: number;
}

/** An API replica with a home of its own, which is killed and comes back on the same port. */
export class Replica {
  readonly name: string;
  readonly home: string;
  readonly port: number;
  readonly #bucket: string;
  readonly #segmentMs: number | undefined;
  #child: ChildProcess | undefined;
  life: Life;
  /** As a load balancer sees it. */
  ready = false;

  private constructor(name: string, o: { folder: string; bucket: string; segmentMs?: number; port: number }) {
    this.name = name;
    this.home = join(o.folder, name);
    this.port = o.port;
    this.#bucket = o.bucket;
    this.#segmentMs = o.segmentMs;
    this.life = { replica: name };
  }

  /** `segmentMs`: after so long its answers are in the bucket. */
  static async prepare(name: string, o: { folder: string; bucket: string; segmentMs?: number }): Promise<Replica> {
    const replica = new Replica(name, { ...o, port: await anyFree() });
    await mkdir(replica.home, { recursive: true });
    return replica;
  }

  /** Until /ready says so. One that ends before, because the bucket is down, is started again. */
  async start(): Promise<void> {
    this.ready = false;
    this.life = { replica: this.name };
    const deadline = performance.now() + READY_LIMIT_MS;
    for (let said = ''; ;) {
      if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) {
        const child = fork(PROGRAM, [this.#bucket, this.home, String(this.port), String(this.#segmentMs ?? '')], {
          execArgv: ['--import', 'tsx'],
          stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
          env: { ...process.env, GAUNTLET_HOME: this.home },
        });
        child.stderr!.on('data', (text: Buffer) => void (said = (said + text.toString()).slice(-2_000)));
        this.#child = child;
      }
      const isReady = await fetch(`http://127.0.0.1:${this.port}/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isReady) break;
      if (performance.now() > deadline) throw new Error(`replica ${this.name} does not become ready: ${said}`);
      await sleep(50);
    }
    this.ready = true;
  }

  /** Until what the serving log names as canary and shadows can be asked here. */
  async challengersLoaded(): Promise<void> {
    while (!(await this.hasLoaded())) await sleep(50);
  }

  /** Whether there are challengers, and all of them can be asked. */
  async hasLoaded(): Promise<boolean> {
    const response = await fetch(`http://127.0.0.1:${this.port}/ready`);
    const { status } = (await response.json()) as { status: { challengers: { loaded: boolean }[] } };
    return status.challengers.length > 0 && status.challengers.every(({ loaded }) => loaded);
  }

  /** `ready` stays as it is: clients find out by themselves. */
  async kill(): Promise<void> {
    this.life.killedMs = performance.now();
    await this.#end('SIGKILL');
  }

  /** @returns its exit code */
  async stop(): Promise<number | null> {
    this.life.stoppedMs = performance.now();
    return await this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
    return child.exitCode;
  }

  /** Of the process that scores canaries and shadows, while there is one. */
  async challengerPid(): Promise<number | undefined> {
    const { stdout } = await promisify(execFile)('ps', ['-Ao', 'pid=,ppid=,command=']);
    for (const line of stdout.split('\n')) {
      const [, pid, parent, command] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
      if (Number(parent) === this.#child?.pid && command?.includes('challenger/child')) return Number(pid);
    }
    return undefined;
  }

  /** What it logged as errors, each once. */
  async errors(): Promise<string[]> {
    const lines = (await readFile(join(this.home, 'replica.log'), 'utf8')).split('\n');
    const errors = lines.flatMap((line) => {
      const { level, time: _, requestId: __, ...said } = JSON.parse(line || '{}') as Record<string, unknown>;
      return (level as number) >= 50 ? `${this.name} says: ${JSON.stringify(said)}` : [];
    });
    return [...new Set(errors)];
  }

  /** Files of the prediction log that wait here for the bucket. */
  async spooled(): Promise<string[]> {
    const names = await readdir(join(this.home, 'spool'), { recursive: true }).catch(() => []);
    return names.filter((name) => /\.(ndjson|open)$/.test(name));
  }
}

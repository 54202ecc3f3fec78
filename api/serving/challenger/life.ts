import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Logger } from 'pino';
import { RESIDENT_LOOK_MS, residentBytes } from '../../../onnx/index.ts';
import type { Order, Report } from './messages.ts';

export type Death = 'crashed' | 'hung' | 'memory' | 'ended';

/** A graph that throws writes a line for every run. */
const LINES_A_SECOND = 10;
const LINE_CHARACTERS = 1000;

/** One life of the child: its process, watched. Whatever ends it, `onDeath` is called once, and nothing is heard after. */
export class Life {
  /** Ends when the process is gone. */
  readonly gone: Promise<void>;
  rssBytes = 0;
  private readonly child: ChildProcess | undefined;
  private readonly o: LifeOptions;
  private readonly look: NodeJS.Timeout;
  private limit: NodeJS.Timeout | undefined;
  private over = false;

  constructor(o: LifeOptions) {
    this.o = o;
    let left: () => void = () => undefined;
    this.gone = new Promise((resolve) => (left = resolve));
    this.look = setInterval(() => void this.lookAtMemory(), RESIDENT_LOOK_MS);
    this.look.unref();
    try {
      // Not child.ts itself: a process that node starts has no loader for TypeScript until it registers its own.
      this.child = fork(new URL('./child.js', import.meta.url), [String(process.pid)], {
        serialization: 'advanced',
        execArgv: [],
        env: { ...withoutSecrets(process.env), NODE_OPTIONS: withoutInspector(process.env['NODE_OPTIONS']) },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      });
    } catch (error) {
      // Out of memory or of files. The caller is not done with its constructor yet.
      left();
      queueMicrotask(() => this.end('crashed', `it could not be started: ${messageOf(error)}`));
      return;
    }
    this.child.on('message', (report) => {
      if (!this.over) o.onReport(report as Report);
    });
    this.child.on('exit', (code, signal) => {
      left();
      this.end('crashed', signal === null ? `it ended with code ${code}` : `it was killed by ${signal}`);
    });
    this.child.on('error', (error) => {
      if (this.child!.pid === undefined) left();
      this.end('crashed', messageOf(error));
    });
    this.hear('stdout');
    this.hear('stderr');
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** The answer must come within limitMs: then it hangs, and is killed. {@link answered} stops the clock. */
  send(order: Order, limitMs?: number): void {
    if (limitMs !== undefined) this.mustAnswerWithin(limitMs);
    // Where the pipe is closed already, the exit comes next.
    this.child?.send(order, () => undefined);
  }

  mustAnswerWithin(limitMs: number): void {
    clearTimeout(this.limit);
    // Where it was we who stood still, the answer lies in the pipe: it is read before the second look.
    const limit = setTimeout(() => {
      setImmediate(() => {
        if (this.limit === limit) this.end('hung', `it gave no answer for ${limitMs} ms`);
      });
    }, limitMs);
    this.limit = limit;
  }

  answered(): void {
    clearTimeout(this.limit);
    this.limit = undefined;
  }

  end(death: Death, detail: string): void {
    if (this.over) return;
    this.over = true;
    clearInterval(this.look);
    this.answered();
    this.rssBytes = 0;
    this.child?.kill('SIGKILL');
    this.o.onDeath(death, detail);
  }

  private async lookAtMemory(): Promise<void> {
    if (this.pid === undefined) return;
    const bytes = await residentBytes(this.pid);
    if (bytes === undefined || this.over) return;
    this.rssBytes = bytes;
    if (bytes > this.o.limitMb * MB)
      this.end(
        'memory',
        `it took ${Math.round(bytes / MB)} MB of memory; GAUNTLET_CHALLENGER_MB allows ${this.o.limitMb}`,
      );
  }

  private hear(stream: 'stdout' | 'stderr'): void {
    const source = this.child![stream];
    if (!source) return;
    let second = 0;
    let lines = 0;
    createInterface({ input: source }).on('line', (line) => {
      const now = Math.floor(performance.now() / 1000);
      if (now !== second) {
        if (lines > LINES_A_SECOND) this.o.log.warn({ lines: lines - LINES_A_SECOND }, `more ${stream}, left out`);
        second = now;
        lines = 0;
      }
      lines++;
      if (lines <= LINES_A_SECOND)
        this.o.log.warn({ pid: this.pid, [stream]: line.slice(0, LINE_CHARACTERS) }, 'the challenger process writes');
    });
  }
}

interface LifeOptions {
  /** Resident memory above which it is killed. */
  limitMb: number;
  log: Logger;
  onReport: (report: Report) => void;
  onDeath: (death: Death, detail: string) => void;
}

const MB = 2 ** 20;

/** Two processes cannot listen on one inspector's port. */
const withoutInspector = (options: string | undefined): string | undefined =>
  options
    ?.split(' ')
    .filter((option) => !option.startsWith('--inspect'))
    .join(' ');

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The child runs graphs that others made; it reads no bucket and hashes nothing. */
function withoutSecrets(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^AWS_|^TEMPORAL_|KEY|SECRET|TOKEN|PASSWORD/i.test(name)),
  );
}

import { fork, type ChildProcess } from 'node:child_process';
import type { Stores } from '../../bucket/index.ts';
import { RESIDENT_LOOK_MS, residentBytes } from '../../onnx/index.ts';
import type { ModelVersion, RawRow } from '../../schemas/index.ts';
import { BATCH_ROWS, type Score, type Scored, type Scorer } from './scorer.ts';

export type ToChild =
  | { kind: 'open'; bytes: Uint8Array; sha256: string; inputs: ModelVersion['inputs'] }
  | { kind: 'score'; rows: (RawRow | null)[]; predictedAt: Float64Array };
export type FromChild = { kind: 'opened' } | { kind: 'scored'; scores: Score[] } | { kind: 'failed'; because: string };

/** A batch takes some milliseconds, on a busy machine a second. */
const BATCH_MS = 60_000;
const OPEN_MS = 120_000;
/** Batches that may be lost before the rest is given up: each costs as long as a batch may take. */
const MOST_LOST = 3;
/** Looks that follow each other closely need not start a process each. */
const IDLE_MS = 60_000;
const LIMIT_MB = 1024;
const MB = 2 ** 20;
/** By the graph's hash and the limit: processes that nobody uses just now. */
const idle = new Map<string, { life: Life; timer: NodeJS.Timeout }>();

export interface ChildLimits {
  batchMs?: number;
  /** Resident memory above which the process is ended: GAUNTLET_CHALLENGER_MB. */
  limitMb?: number | undefined;
  /** Aborted, it ends the process in the middle of a run, and `score` throws the signal's reason. */
  signal?: AbortSignal;
}

/**
 * A scorer in a process of its own, for graphs that nobody has seen at work: one that hangs, crashes or takes too much
 * memory is ended, and the rows of that batch are lost. After three such batches the rest is lost too, so that a graph
 * that always hangs costs three times what a batch may take.
 *
 * `score` throws where the graph cannot be opened.
 */
export async function openChildScorer(
  stores: Pick<Stores, 'objects'>,
  { onnx, inputs }: Scored,
  { batchMs = BATCH_MS, limitMb = LIMIT_MB, signal }: ChildLimits = {},
): Promise<Scorer> {
  const bytes = await stores.objects.read(onnx.sha256);
  const name = `${onnx.sha256} ${limitMb}`;
  let life: Life | undefined;
  let deaths = 0;
  let lost: string | undefined;
  const lose = (): undefined => {
    signal?.throwIfAborted();
    lost = life?.end('it gave no answer in time');
    life = undefined;
    deaths++;
  };
  const score = async (rows: (RawRow | null)[], predictedAt: Float64Array) => {
    if (!life) {
      life = takeIdle(name);
      if (!life) {
        life = new Life(limitMb);
        const opened = await life.ask({ kind: 'open', bytes, sha256: onnx.sha256, inputs }, OPEN_MS);
        if (opened?.kind === 'failed') throw new Error(opened.because);
        if (!opened) return lose();
      }
    }
    const answer = await life.ask({ kind: 'score', rows, predictedAt }, batchMs);
    return answer?.kind === 'scored' ? answer.scores : lose();
  };
  const abort = (): void => void life?.end('it is not wanted any more');
  signal?.addEventListener('abort', abort);
  return {
    get gaveUp() {
      return deaths === MOST_LOST;
    },
    get lost() {
      return lost;
    },
    async score(rows, predictedAt) {
      const scores: Score[] = [];
      for (let from = 0; from < rows.length; from += BATCH_ROWS) {
        signal?.throwIfAborted();
        const batch = rows.slice(from, from + BATCH_ROWS);
        const times = predictedAt.slice(from, from + BATCH_ROWS);
        const answered = deaths < MOST_LOST ? await score(batch, times) : undefined;
        scores.push(...(answered ?? batch.map(() => undefined)));
      }
      return scores;
    },
    async close() {
      signal?.removeEventListener('abort', abort);
      if (life) keepIdle(name, life);
    },
  };
}

function takeIdle(name: string): Life | undefined {
  const kept = idle.get(name);
  if (!kept) return undefined;
  idle.delete(name);
  clearTimeout(kept.timer);
  if (!kept.life.isAlive) return undefined;
  kept.life.hold();
  return kept.life;
}

function keepIdle(name: string, life: Life): void {
  takeIdle(name)?.end('another one is idle');
  const timer = setTimeout(() => takeIdle(name)?.end('it was idle'), IDLE_MS);
  timer.unref();
  life.letGo();
  idle.set(name, { life, timer });
}

/** One life of the process. */
class Life {
  readonly #child: ChildProcess;
  readonly #look: NodeJS.Timeout;
  #answer: ((answer: FromChild | undefined) => void) | undefined;
  #ended: string | undefined;

  constructor(limitMb: number) {
    // No secret of ours is any business of a graph.
    const { PATH, HOME, TMPDIR } = process.env;
    this.#child = fork(new URL('./score-child.js', import.meta.url), [String(process.pid)], {
      serialization: 'advanced',
      execArgv: [],
      env: { PATH, HOME, TMPDIR },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const settle = (answer?: FromChild): void => {
      this.#answer?.(answer);
      this.#answer = undefined;
    };
    this.#child.on('message', (answer: FromChild) => settle(answer));
    this.#child.on('exit', (code, signal) => {
      this.end(signal === null ? `it ended with code ${code}` : `it was killed by ${signal}`);
      settle();
    });
    this.#child.on('error', ({ message }) => {
      this.end(message);
      settle();
    });
    this.#look = setInterval(() => void this.#lookAtMemory(limitMb), RESIDENT_LOOK_MS);
    this.#look.unref();
  }

  async #lookAtMemory(limitMb: number): Promise<void> {
    const bytes = this.#child.pid === undefined ? undefined : await residentBytes(this.#child.pid);
    if (bytes !== undefined && bytes > limitMb * MB)
      this.end(`it took ${Math.round(bytes / MB)} MB of memory; GAUNTLET_CHALLENGER_MB allows ${limitMb}`);
  }

  /** Its answer; undefined where it ended or took too long. One question at a time. */
  async ask(message: ToChild, ms: number): Promise<FromChild | undefined> {
    const answer = new Promise<FromChild | undefined>((resolve) => (this.#answer = resolve));
    if (this.isAlive) this.#child.send(message, (error) => error && this.#answer?.(undefined));
    else this.#answer?.(undefined);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), ms)));
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  get isAlive(): boolean {
    return this.#child.connected && this.#ended === undefined;
  }

  /** Idle, it keeps nobody from ending: it ends with its parent. */
  letGo(): void {
    this.#child.unref();
    this.#child.channel?.unref();
  }

  hold(): void {
    this.#child.ref();
    this.#child.channel?.ref();
  }

  /** @returns why it was ended: what was said first */
  end(because: string): string {
    clearInterval(this.#look);
    this.#child.kill('SIGKILL');
    return (this.#ended ??= because);
  }
}

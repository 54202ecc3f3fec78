import { fork, type ChildProcess } from 'node:child_process';
import type { Stores } from '../../bucket/index.ts';
import type { ModelVersion, RawRow } from '../../schemas/index.ts';
import { BATCH_ROWS, type Scored, type Scorer } from './scorer.ts';

export type ToChild =
  | { kind: 'open'; bytes: Uint8Array; sha256: string; inputs: ModelVersion['inputs'] }
  | { kind: 'score'; rows: (RawRow | null)[]; predictedAt: Float64Array };
export type FromChild =
  { kind: 'opened' } | { kind: 'scored'; scores: (number[] | null)[] } | { kind: 'failed'; because: string };

/** A batch takes some milliseconds, on a busy machine a second. */
const BATCH_MS = 60_000;
const OPEN_MS = 120_000;
/** Batches that may be lost before the rest is given up: each costs as long as a batch may take. */
const MOST_LOST = 3;
/** Looks that follow each other closely need not start a process each. */
const IDLE_MS = 60_000;
/** By the graph's hash: processes that nobody uses just now. */
const idle = new Map<string, { life: Life; timer: NodeJS.Timeout }>();

/**
 * A scorer in a process of its own, for graphs that nobody has seen at work: one that hangs or crashes is ended, and the
 * rows of that batch have no scores. After three such batches the rest has none either.
 *
 * @throws {Error} if the process cannot be started, or the graph cannot be opened
 */
export async function openChildScorer(
  stores: Pick<Stores, 'objects'>,
  { onnx, inputs }: Scored,
  o: { batchMs?: number } = {},
): Promise<Scorer> {
  const bytes = await stores.objects.read(onnx.sha256);
  const open = async (): Promise<Life> => {
    const kept = takeIdle(onnx.sha256);
    if (kept) return kept;
    const life = new Life();
    const answer = await life.ask({ kind: 'open', bytes, sha256: onnx.sha256, inputs }, OPEN_MS);
    if (answer?.kind === 'opened') return life;
    life.end();
    throw new Error(answer?.kind === 'failed' ? answer.because : 'the process that scores could not be started');
  };
  let life: Life | undefined = await open();
  let lost = 0;
  return {
    async score(rows, predictedAt) {
      const scores: (number[] | null)[] = [];
      for (let from = 0; from < rows.length; from += BATCH_ROWS) {
        const batch = rows.slice(from, from + BATCH_ROWS);
        const nothing = batch.map(() => null);
        if (lost === MOST_LOST) {
          scores.push(...nothing);
          continue;
        }
        life ??= await open();
        const times = predictedAt.slice(from, from + BATCH_ROWS);
        const answer = await life.ask({ kind: 'score', rows: batch, predictedAt: times }, o.batchMs ?? BATCH_MS);
        if (answer?.kind === 'scored') {
          scores.push(...answer.scores);
          continue;
        }
        life.end();
        life = undefined;
        lost++;
        scores.push(...nothing);
      }
      return scores;
    },
    async close() {
      if (life) keepIdle(onnx.sha256, life);
    },
  };
}

function takeIdle(sha256: string): Life | undefined {
  const kept = idle.get(sha256);
  if (!kept) return undefined;
  idle.delete(sha256);
  clearTimeout(kept.timer);
  if (!kept.life.isAlive) return undefined;
  kept.life.hold();
  return kept.life;
}

function keepIdle(sha256: string, life: Life): void {
  takeIdle(sha256)?.end();
  const timer = setTimeout(() => takeIdle(sha256)?.end(), IDLE_MS);
  timer.unref();
  life.letGo();
  idle.set(sha256, { life, timer });
}

/** One life of the process. */
class Life {
  readonly #child: ChildProcess;
  #answer: ((answer: FromChild | undefined) => void) | undefined;

  constructor() {
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
    this.#child.on('exit', () => settle());
    this.#child.on('error', () => settle());
  }

  /** Its answer; undefined where it ended or took too long. One question at a time. */
  async ask(message: ToChild, ms: number): Promise<FromChild | undefined> {
    const answer = new Promise<FromChild | undefined>((resolve) => (this.#answer = resolve));
    if (this.#child.connected) this.#child.send(message, (error) => error && this.#answer?.(undefined));
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
    return this.#child.connected;
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

  end(): void {
    this.#child.kill('SIGKILL');
  }
}

import { setImmediate as turn } from 'node:timers/promises';
import type { OnnxModel } from '../../onnx/index.ts';
import type { Column, Columns, ModelVersion, Output } from '../../schemas/index.ts';

/** Rows that go through the graph at once, where they come from several requests. */
const BATCH_ROWS = 64;

export interface Scored {
  outputs: (Output | { failed: string })[];
  /** The run that the rows were in, all of it. */
  graphMs: number;
}

/** The caller's own deadline passed before its rows were scored. */
export class DeadlinePassed extends Error {}

interface Waiting {
  rows: Columns;
  predictedAt: Float64Array;
  /** performance.now() after which nobody waits for it. */
  giveUpAt: number;
  resolve(scored: Scored): void;
  reject(error: unknown): void;
}

/**
 * A version in memory. Its session closes when it has been retired and its last request has left.
 *
 * Requests that come while the graph runs are its next run, up to 64 rows: many clients cost few runs, and a lone
 * request never waits for company. A row's output does not depend on its batch.
 */
export class LoadedModel {
  readonly version: ModelVersion;
  private readonly onnx: OnnxModel;
  private readonly observe: (batchRows: number) => void;
  private waiting: Waiting[] = [];
  private running = false;
  private requests = 0;
  private closing: Promise<void> | undefined;
  private left: () => void = () => undefined;

  constructor(version: ModelVersion, onnx: OnnxModel, observe: (batchRows: number) => void = () => undefined) {
    this.version = version;
    this.onnx = onnx;
    this.observe = observe;
  }

  /**
   * @param predictedAt  [rows] seconds since 1970
   * @throws {DeadlinePassed} where `giveUpAt` passed first
   */
  predict(rows: Columns, predictedAt: Float64Array, giveUpAt = Infinity): Promise<Scored> {
    this.requests++;
    return new Promise((resolve, reject) => {
      this.waiting.push({ rows, predictedAt, giveUpAt, resolve, reject });
      if (!this.running) void this.run();
    });
  }

  /** Keeps the session open until the work has ended: it may want the version only after it has waited for another. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    this.requests++;
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  private leave(): void {
    this.requests--;
    if (this.requests === 0) this.left();
  }

  /** Nobody will ask for it any more. Ends when its last request has left and the session is closed. */
  retire(): Promise<void> {
    this.closing ??= this.close();
    return this.closing;
  }

  private async run(): Promise<void> {
    this.running = true;
    for (let batch = this.next(); batch.length > 0; batch = this.next()) {
      await this.runBatch(batch);
      // Those that were just answered ask again: read what has arrived, or every batch leaves out who is in the other.
      await turn();
    }
    this.running = false;
  }

  /** The requests of the next run: at least one, however many rows it has. */
  private next(): Waiting[] {
    const now = performance.now();
    let rows = 0;
    let taken = 0;
    const batch: Waiting[] = [];
    for (const one of this.waiting) {
      if (batch.length > 0 && rows + one.rows.rows > BATCH_ROWS) break;
      taken++;
      if (one.giveUpAt < now) {
        one.reject(new DeadlinePassed());
        this.leave();
      } else {
        rows += one.rows.rows;
        batch.push(one);
      }
    }
    this.waiting = taken === this.waiting.length ? [] : this.waiting.slice(taken);
    return batch;
  }

  private async runBatch(batch: Waiting[]): Promise<void> {
    const from = performance.now();
    try {
      const together = batch.length === 1 ? batch[0]! : joined(batch);
      const outputs = await this.onnx.predict(together.rows, together.predictedAt);
      const graphMs = performance.now() - from;
      this.observe(outputs.length);
      let at = 0;
      for (const { rows, resolve } of batch) resolve({ outputs: outputs.slice(at, (at += rows.rows)), graphMs });
    } catch (error) {
      if (batch.length > 1) {
        // One of them may be to blame: each by itself, so that the others have their answers.
        for (const one of batch) await this.runBatch([one]);
        return;
      }
      batch[0]!.reject(error);
    }
    for (const _ of batch) this.leave();
  }

  private async close(): Promise<void> {
    if (this.requests > 0) await new Promise<void>((resolve) => (this.left = resolve));
    await this.onnx.close();
  }
}

function joined(batch: readonly Waiting[]): Pick<Waiting, 'rows' | 'predictedAt'> {
  const rows = batch.reduce((sum, one) => sum + one.rows.rows, 0);
  const predictedAt = new Float64Array(rows);
  const columns: Record<string, Column> = {};
  for (const [name, first] of Object.entries(batch[0]!.rows.columns))
    columns[name] =
      first instanceof Float64Array
        ? joinNumbers(
            batch.map((one) => one.rows.columns[name] as Float64Array),
            rows,
          )
        : joinTexts(batch.map((one) => one.rows.columns[name] as (string | null)[]));
  let at = 0;
  for (const one of batch) {
    predictedAt.set(one.predictedAt, at);
    at += one.rows.rows;
  }
  return { rows: { rows, columns }, predictedAt };
}

function joinTexts(pieces: readonly (string | null)[][]): (string | null)[] {
  const whole: (string | null)[] = [];
  for (const piece of pieces) for (const text of piece) whole.push(text);
  return whole;
}

function joinNumbers(pieces: readonly Float64Array[], length: number): Float64Array {
  const whole = new Float64Array(length);
  let at = 0;
  for (const piece of pieces) {
    if (piece.length === 1) whole[at] = piece[0]!;
    else whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

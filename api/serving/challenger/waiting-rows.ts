import type { Columns } from '../../../schemas/index.ts';
import type { Slice } from './packing.ts';

/** Rows that are to be scored by one version, together. */
export interface Waiting {
  readonly key: string;
  readonly rows: Columns;
  readonly predictedAt: Float64Array;
  /** Rows before this have been sent. */
  sent: number;
  /** It is in line. */
  waits: boolean;
}

/** Those that wait for one version. */
interface Line<W> {
  readonly key: string;
  /** From `first` on; those that do not wait any more are passed over. */
  all: W[];
  first: number;
  waiting: number;
}

/** So many that were taken are kept before the rest is moved up. */
const TAKEN = 256;

/**
 * Rows that wait, by version: first come, first served within one, and the versions in turn. O(1) but for what is taken,
 * and the number of versions.
 *
 * Not sets: each time a set through which much passes is laid out anew its old table keeps the next one, and what that
 * holds, from being collected young.
 */
export class WaitingRows<W extends Waiting> {
  rows = 0;
  /** None is empty. The first is next. */
  private lines: Line<W>[] = [];

  add(waiting: W): void {
    const line = this.lines.find(({ key }) => key === waiting.key);
    if (line) {
      line.all.push(waiting);
      line.waiting++;
    } else this.lines.push({ key: waiting.key, all: [waiting], first: 0, waiting: 1 });
    waiting.waits = true;
    this.rows += waiting.rows.rows - waiting.sent;
  }

  /** Nobody waits for it any more. */
  drop(waiting: W): void {
    if (!waiting.waits) return;
    const line = this.lines.find(({ key }) => key === waiting.key)!;
    waiting.waits = false;
    line.waiting--;
    this.rows -= waiting.rows.rows - waiting.sent;
    if (line.waiting === 0) this.lines = this.lines.filter((one) => one !== line);
  }

  has(key: string): boolean {
    return this.lines.some((line) => line.key === key);
  }

  /** At most maxRows rows of one version; what is left of the last one stays first in line. */
  take(maxRows: number): { key: string; slices: (Slice & { of: W })[] } | undefined {
    const line = this.lines.shift();
    if (!line) return undefined;
    const slices: (Slice & { of: W })[] = [];
    let room = maxRows;
    while (room > 0 && line.waiting > 0) {
      const of = line.all[line.first]!;
      if (of.waits) {
        const from = of.sent;
        const to = Math.min(of.rows.rows, from + room);
        slices.push({ rows: of.rows, predictedAt: of.predictedAt, from, to, of });
        of.sent = to;
        room -= to - from;
        if (to < of.rows.rows) break;
        of.waits = false;
        line.waiting--;
      }
      line.first++;
    }
    this.rows -= maxRows - room;
    if (line.waiting > 0) this.lines.push(line);
    if (line.first >= TAKEN) {
      line.all = line.all.slice(line.first);
      line.first = 0;
    }
    return { key: line.key, slices };
  }

  /** All that waits; nothing waits after it. */
  clear(): W[] {
    const all = this.lines.flatMap((line) => line.all.slice(line.first).filter(({ waits }) => waits));
    for (const one of all) one.waits = false;
    this.lines = [];
    this.rows = 0;
    return all;
  }
}

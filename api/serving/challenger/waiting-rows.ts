import type { Columns } from '../../../schemas/index.ts';
import type { Slice } from './packing.ts';

/** Rows that are to be scored by one version, together. */
export interface Waiting {
  key: string;
  rows: Columns;
  predictedAt: Float64Array;
  /** Rows before this have been sent. */
  sent: number;
}

/** Rows that wait, by version: first come, first served within one, and the versions in turn. O(1) but for what is taken. */
export class WaitingRows<W extends Waiting> {
  rows = 0;
  private readonly byKey = new Map<string, Set<W>>();

  add(waiting: W): void {
    const others = this.byKey.get(waiting.key);
    if (others) others.add(waiting);
    else this.byKey.set(waiting.key, new Set([waiting]));
    this.rows += waiting.rows.rows - waiting.sent;
  }

  /** Nobody waits for it any more. */
  drop(waiting: W): void {
    const others = this.byKey.get(waiting.key);
    if (!others?.delete(waiting)) return;
    this.rows -= waiting.rows.rows - waiting.sent;
    if (others.size === 0) this.byKey.delete(waiting.key);
  }

  has(key: string): boolean {
    return this.byKey.has(key);
  }

  /** At most maxRows rows of one version; what is left of the last one stays first in line. */
  take(maxRows: number): { key: string; slices: (Slice & { of: W })[] } | undefined {
    const next = this.byKey.entries().next().value;
    if (!next) return undefined;
    const [key, others] = next;
    const slices: (Slice & { of: W })[] = [];
    let room = maxRows;
    for (const of of others) {
      if (room === 0) break;
      const from = of.sent;
      const to = Math.min(of.rows.rows, from + room);
      slices.push({ rows: of.rows, predictedAt: of.predictedAt, from, to, of });
      of.sent = to;
      room -= to - from;
      if (to === of.rows.rows) others.delete(of);
    }
    this.rows -= maxRows - room;
    this.byKey.delete(key);
    if (others.size > 0) this.byKey.set(key, others);
    return { key, slices };
  }

  /** All that waits; nothing waits after it. */
  clear(): W[] {
    const all = [...this.byKey.values()].flatMap((others) => [...others]);
    this.byKey.clear();
    this.rows = 0;
    return all;
  }
}

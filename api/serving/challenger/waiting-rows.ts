import type { Columns } from '../../../schemas/index.ts';
import type { Slice } from './packing.ts';

/** Rows that are to be scored by one version, together. */
export interface Waiting {
  readonly key: string;
  readonly rows: Columns;
  readonly predictedAt: Float64Array;
  /** Rows before this have been sent. */
  sent: number;
  /** Kept by {@link WaitingRows}: where it stands in its line, while it waits. */
  slot?: number | undefined;
}

/** Those that wait for one version. */
interface Line<W> {
  readonly key: string;
  /** In the order in which they came, from `first` on; empty where one does not wait any more. */
  slots: (W | undefined)[];
  first: number;
  waiting: number;
}

/** So many empty slots, and as many more as there are full ones, are kept before those that wait move up. */
const EMPTY_SLOTS = 256;

/**
 * Rows that wait, by version: first come, first served within one, and the versions in turn. O(1) but for what is taken,
 * and the number of versions.
 *
 * Not sets: each time a set through which much passes is laid out anew its old table keeps the next one, and what that
 * holds, from being collected young.
 */
export class WaitingRows<W extends Waiting> {
  rows = 0;
  /** In each somebody waits. The first is next. */
  private lines: Line<W>[] = [];

  add(waiting: W): void {
    let line = this.lines.find(({ key }) => key === waiting.key);
    if (!line) this.lines.push((line = { key: waiting.key, slots: [], first: 0, waiting: 0 }));
    waiting.slot = line.slots.push(waiting) - 1;
    line.waiting++;
    this.rows += waiting.rows.rows - waiting.sent;
  }

  /** Nobody waits for it any more. */
  drop(waiting: W): void {
    if (waiting.slot === undefined) return;
    const line = this.lines.find(({ key }) => key === waiting.key)!;
    this.rows -= waiting.rows.rows - waiting.sent;
    leave(line, waiting);
    if (line.waiting === 0) this.lines = this.lines.filter((one) => one !== line);
  }

  has(key: string): boolean {
    return this.lines.some((line) => line.key === key);
  }

  /** Whose rows are taken next. */
  get nextKey(): string | undefined {
    return this.lines[0]?.key;
  }

  /** At most maxRows rows of one version; what is left of the last one stays first in line. */
  take(maxRows: number): { key: string; slices: (Slice & { of: W })[] } | undefined {
    const line = this.lines.shift();
    if (!line) return undefined;
    const slices: (Slice & { of: W })[] = [];
    let room = maxRows;
    while (room > 0 && line.waiting > 0) {
      const of = line.slots[line.first];
      if (of) {
        const from = of.sent;
        const to = Math.min(of.rows.rows, from + room);
        slices.push({ rows: of.rows, predictedAt: of.predictedAt, from, to, of });
        of.sent = to;
        room -= to - from;
        if (to < of.rows.rows) break;
        leave(line, of);
      } else line.first++;
    }
    this.rows -= maxRows - room;
    if (line.waiting > 0) this.lines.push(line);
    return { key: line.key, slices };
  }

  /** All that waits; nothing waits after it. */
  clear(): W[] {
    const all = this.lines.flatMap(({ slots }) => slots.filter((one) => one !== undefined));
    for (const one of all) one.slot = undefined;
    this.lines = [];
    this.rows = 0;
    return all;
  }
}

function leave<W extends Waiting>(line: Line<W>, waiting: W): void {
  line.slots[waiting.slot!] = undefined;
  waiting.slot = undefined;
  line.waiting--;
  if (line.slots.length <= 2 * line.waiting + EMPTY_SLOTS) return;
  line.slots = line.slots.filter((one) => one !== undefined);
  line.first = 0;
  for (const [slot, one] of line.slots.entries()) one!.slot = slot;
}

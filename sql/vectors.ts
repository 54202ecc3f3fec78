import type { DuckDBDataChunk } from '@duckdb/node-api';

/**
 * The data behind a chunk's vectors, without a call per value.
 *
 * The client's typings call these fields private, its JavaScript does not, and there is no public way that is not
 * tens of times slower; so this file, and no other, reaches for them. A test holds them against getItem.
 */
interface RawVector {
  items?: Float64Array;
  dataView?: DataView;
  validity: { data: BigUint64Array | null };
  getItem(i: number): string | null;
}

/** Copies a DOUBLE column of a chunk to `into`, from `offset` on. The column must hold no NULL. */
export function copyDoubles(chunk: DuckDBDataChunk, column: number, into: Float64Array, offset: number): void {
  into.set((chunk.getColumnVector(column) as unknown as RawVector).items!, offset);
}

/**
 * Reads VARCHAR columns. Columns of a table repeat few texts, and short ones (12 bytes at most) lie whole in the
 * vector, so a small cache by those bytes saves nearly all decoding, and equal texts share one string.
 */
export class TextReader {
  readonly #bytes = new Int32Array(CACHE_SLOTS * 4);
  readonly #texts = new Array<string | undefined>(CACHE_SLOTS);

  append(chunk: DuckDBDataChunk, column: number, into: (string | null)[]): void {
    const vector = chunk.getColumnVector(column) as unknown as RawVector;
    const view = vector.dataView!;
    const words = new Int32Array(view.buffer, view.byteOffset, chunk.rowCount * 4);
    const bits = vector.validity.data;
    const valid = bits && new Uint32Array(bits.buffer, bits.byteOffset, bits.length * 2);
    for (let row = 0; row < chunk.rowCount; row++) {
      if (valid && ((valid[row >>> 5]! >>> (row & 31)) & 1) === 0) into.push(null);
      else if (words[row * 4]! <= 12) into.push(this.#short(vector, words, row));
      else into.push(vector.getItem(row));
    }
  }

  #short(vector: RawVector, words: Int32Array, row: number): string {
    const [length, a, b, c] = [words[row * 4]!, words[row * 4 + 1]!, words[row * 4 + 2]!, words[row * 4 + 3]!];
    let hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35) ^ length;
    hash = (hash ^ (hash >>> 15)) & (CACHE_SLOTS - 1);
    const at = hash * 4;
    const kept = this.#texts[hash];
    const same =
      this.#bytes[at] === length && this.#bytes[at + 1] === a && this.#bytes[at + 2] === b && this.#bytes[at + 3] === c;
    if (kept !== undefined && same) return kept;
    const text = vector.getItem(row)!;
    this.#bytes.set([length, a, b, c], at);
    this.#texts[hash] = text;
    return text;
  }
}

const CACHE_SLOTS = 4096;

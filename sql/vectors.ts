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

/** A DOUBLE column of a chunk that holds no NULL; valid as long as the chunk is. */
export function doublesOf(chunk: DuckDBDataChunk, column: number): Float64Array {
  return (chunk.getColumnVector(column) as unknown as RawVector).items!;
}

/**
 * Reads VARCHAR columns. Columns of a table repeat few texts, most of them short: a text of at most 12 bytes lies whole
 * in its vector, behind its length, so a small cache by those 16 bytes saves nearly all decoding, and equal texts share
 * one string. (A longer one is an address, and costs a call of about 2 us.)
 */
export class TextReader {
  readonly #keys = new Int32Array(CACHE_SLOTS * 4);
  readonly #texts = Array.from<string | undefined>({ length: CACHE_SLOTS });

  append(chunk: DuckDBDataChunk, column: number, into: (string | null)[]): void {
    const vector = chunk.getColumnVector(column) as unknown as RawVector;
    const { buffer, byteOffset } = vector.dataView!;
    const words = new Int32Array(buffer, byteOffset, chunk.rowCount * 4);
    const bytes = Buffer.from(buffer, byteOffset, chunk.rowCount * 16);
    const bits = vector.validity.data;
    const valid = bits && new Uint32Array(bits.buffer, bits.byteOffset, bits.length * 2);
    for (let row = 0; row < chunk.rowCount; row++) {
      if (valid && ((valid[row >>> 5]! >>> (row & 31)) & 1) === 0) into.push(null);
      else if (words[row * 4]! <= 12) into.push(this.#short(vector, words, bytes, row));
      else into.push(vector.getItem(row));
    }
  }

  #short(vector: RawVector, words: Int32Array, bytes: Buffer, row: number): string {
    const at = row * 4;
    const [length, a, b, c] = [words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!];
    let hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35) ^ length;
    hash = (hash ^ (hash >>> 15)) & (CACHE_SLOTS - 1);
    const [keys, key] = [this.#keys, hash * 4];
    const kept = this.#texts[hash];
    if (kept !== undefined && keys[key] === length && keys[key + 1] === a && keys[key + 2] === b && keys[key + 3] === c)
      return kept;
    const isAscii = ((a | b | c) & 0x80808080) === 0;
    const text = isAscii ? bytes.toString('latin1', at * 4 + 4, at * 4 + 4 + length) : vector.getItem(row)!;
    keys[key] = length;
    keys[key + 1] = a;
    keys[key + 2] = b;
    keys[key + 3] = c;
    this.#texts[hash] = text;
    return text;
  }
}

const CACHE_SLOTS = 4096;

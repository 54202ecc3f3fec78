const LEAST_BYTES = 256 * 1024;

/** Of a text in UTF-8: three for each of UTF-16's. */
const mostBytes = (text: string): number => 3 * text.length;

/** Lines as bytes, one below the other: as text each would be an object until all are joined to be written. */
export class LineBuffer {
  rows = 0;
  #bytes = Buffer.alloc(0);
  /** What is in it: [from, to). */
  #from = 0;
  #to = 0;

  get byteLength(): number {
    return this.#to - this.#from;
  }

  /** @returns the bytes that the line takes */
  add(line: string): number {
    const most = mostBytes(line);
    if (this.#bytes.length - this.#to < most) this.#grow(most);
    const bytes = this.#bytes.write(line, this.#to);
    this.#to += bytes;
    this.rows++;
    return bytes;
  }

  /** Whether with this line there would be more bytes than so many. */
  isAbove(limit: number, line: string): boolean {
    const room = limit - this.byteLength;
    // Counting them costs as much as writing them.
    return mostBytes(line) > room && Buffer.byteLength(line) > room;
  }

  /** All of it, which is nobody else's then. */
  take(): Buffer {
    const taken = this.#bytes.subarray(this.#from, this.#to);
    this.#from = this.#to;
    this.rows = 0;
    return taken;
  }

  #grow(room: number): void {
    const next = Buffer.allocUnsafeSlow(Math.max(LEAST_BYTES, 2 * this.byteLength + room));
    this.#to = this.#bytes.copy(next, 0, this.#from, this.#to);
    this.#from = 0;
    this.#bytes = next;
  }
}

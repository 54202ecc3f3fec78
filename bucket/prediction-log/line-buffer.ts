const LEAST_BYTES = 256 * 1024;

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

  /** @param bytes  Buffer.byteLength of the line */
  add(line: string, bytes: number): void {
    if (this.#bytes.length - this.#to < bytes) this.#grow(bytes);
    this.#to += this.#bytes.write(line, this.#to);
    this.rows++;
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

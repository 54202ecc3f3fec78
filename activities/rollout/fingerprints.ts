/**
 * A set of texts in 16 bytes each or so, for the millions of requests of a busy stage. Two texts that share their 53 bits
 * count as one: of a million, with a chance of 1 in 18,000.
 */
export class Fingerprints {
  #slots = new Float64Array(1024);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** True where it is new. */
  add(text: string): boolean {
    const fingerprint = fingerprintOf(text);
    const slot = this.#slotOf(fingerprint);
    if (this.#slots[slot] !== EMPTY) return false;
    this.#slots[slot] = fingerprint;
    this.#size++;
    if (2 * this.#size > this.#slots.length) this.#grow();
    return true;
  }

  has(text: string): boolean {
    return this.#slots[this.#slotOf(fingerprintOf(text))] !== EMPTY;
  }

  /** Where it is, or would be. */
  #slotOf(fingerprint: number): number {
    let slot = fingerprint % this.#slots.length;
    while (this.#slots[slot] !== EMPTY && this.#slots[slot] !== fingerprint) slot = (slot + 1) % this.#slots.length;
    return slot;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Float64Array(2 * before.length);
    for (const fingerprint of before) if (fingerprint !== EMPTY) this.#slots[this.#slotOf(fingerprint)] = fingerprint;
  }
}

const EMPTY = 0;

/**
 * 1 to 2^53: two 32-bit hashes of the text's characters, mixed.
 *
 * @see bryc, cyrb53, https://github.com/bryc/code/blob/master/jshash/experimental/cyrb53.js
 */
function fingerprintOf(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const character = text.charCodeAt(i);
    a = Math.imul(a ^ character, 0x9e3779b1);
    b = Math.imul(b ^ character, 0x5f356495);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return (b & 0x1fffff) * 2 ** 32 + (a >>> 0) + 1;
}

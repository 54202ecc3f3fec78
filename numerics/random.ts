/**
 * Seeded random numbers: xoshiro128** with its state filled by SplitMix32. Not for secrets.
 *
 * Everything is 32-bit integer arithmetic, so a seed gives the same draws on every machine.
 *
 * @see Blackman & Vigna 2021, doi:10.1145/3460772
 * @example new Random(7).float() // 0.23382771760225296
 */
export class Random {
  #state: Uint32Array;

  /** @param seed a non-negative integer, or the `state()` of another generator to go on from */
  constructor(seed: number | readonly number[]) {
    if (typeof seed === 'number') {
      if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`Random: seed ${seed}`);
      this.#state = new Uint32Array(4);
      let counter = ((seed % 2 ** 32) ^ Math.floor(seed / 2 ** 32)) >>> 0;
      for (let i = 0; i < 4; i++) {
        counter = (counter + 0x9e3779b9) >>> 0;
        this.#state[i] = mix32(counter);
      }
    } else {
      if (seed.length !== 4 || seed.every((word) => word === 0)) throw new RangeError('Random: not a state');
      this.#state = Uint32Array.from(seed);
    }
  }

  /** Four 32-bit words: all there is to know. */
  state(): number[] {
    return [...this.#state];
  }

  /** Uniform on 0 … 2^32 − 1. */
  uint32(): number {
    const s = this.#state;
    const result = Math.imul(rotateLeft(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const carried = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= carried;
    s[3] = rotateLeft(s[3]!, 11);
    return result;
  }

  /** Uniform on [0, 1), a multiple of 2^−32. */
  float(): number {
    return this.uint32() / 2 ** 32;
  }

  /**
   * `size` of the integers 0 … of − 1, each as likely as the other, without repetition, ascending.
   * Knuth's selection sampling: one draw per candidate. O(of).
   */
  sample(of: number, size: number): Int32Array {
    if (size < 0 || size > of) throw new RangeError(`Random.sample: ${size} of ${of}`);
    const chosen = new Int32Array(size);
    let found = 0;
    for (let i = 0; found < size; i++) if (this.float() * (of - i) < size - found) chosen[found++] = i;
    return chosen;
  }
}

/** The finaliser of SplitMix32. */
function mix32(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

const rotateLeft = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

import { ModelVersion, type Cause } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { sameCause } from './cause.ts';
import { createRecord, numbersUnder, readRecord, readRecords } from './records.ts';

/** versions/<model>/<n>.json: what can be served. */
export class Versions {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** Gives it the next number; the same cause again is the same version. */
  async create(version: Omit<ModelVersion, 'n'>): Promise<ModelVersion> {
    const made = await this.#madeBy(version.model, version.cause);
    if (made) return made;
    for (let n = ((await this.numbers(version.model)).at(-1) ?? 0) + 1; ; n++) {
      const key = keyOf(version.model, n);
      const { created, record } = await createRecord(this.#bucket, ModelVersion, key, { ...version, n });
      if (created || sameCause(record.cause, version.cause)) return record;
    }
  }

  read(model: string, n: number): Promise<ModelVersion | undefined> {
    return readRecord(this.#bucket, ModelVersion, keyOf(model, n));
  }

  async newest(model: string): Promise<ModelVersion | undefined> {
    const n = (await this.numbers(model)).at(-1);
    return n === undefined ? undefined : this.read(model, n);
  }

  /** Newest first. */
  async list(model: string): Promise<ModelVersion[]> {
    const keys = (await this.numbers(model)).reverse().map((n) => keyOf(model, n));
    return readRecords(this.#bucket, ModelVersion, keys);
  }

  /** Ascending. */
  numbers(model: string): Promise<number[]> {
    return numbersUnder(this.#bucket, `versions/${model}/`);
  }

  async #madeBy(model: string, cause: Cause): Promise<ModelVersion | undefined> {
    return (await this.list(model)).find((version) => sameCause(version.cause, cause));
  }
}

export const keyOf = (model: string, n: number): string => `versions/${model}/${n}.json`;

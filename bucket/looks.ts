import type * as z from 'zod';
import { Look } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { createRecord, keysUnder, readRecord, readRecords } from './records.ts';

/** looks/<model>/<time>-<kind>.json: evidence and verdict. The time is the workflow's, so who repeats a look finds it written. */
export class Looks {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** Writes it, or gives the look that is there under its model, time and kind. */
  async create(look: z.input<typeof Look>): Promise<{ key: string; look: Look }> {
    // 20160701T000000.000Z: colons are no part of keys.
    const time = new Date(look.at).toISOString().replace(/[-:]/g, '');
    const key = `looks/${look.model}/${time}-${look.kind}.json`;
    return { key, look: (await createRecord(this.#bucket, Look, key, look)).record };
  }

  read(key: string): Promise<Look | undefined> {
    return readRecord(this.#bucket, Look, key);
  }

  /** Newest first. */
  async list(model: string): Promise<{ key: string; look: Look }[]> {
    const keys = (await keysUnder(this.#bucket, `looks/${model}/`)).reverse();
    const looks = await readRecords(this.#bucket, Look, keys);
    return keys.map((key, i) => ({ key, look: looks[i]! }));
  }
}

import { VoteRecord } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { isKey } from './key.ts';
import { createRecord, readRecord } from './records.ts';

/** votes/<model>/<id>.json: what somebody said whose key the API had checked. The same id again is the same vote. */
export class Votes {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** Writes it, or gives the one that is there under its id. */
  async create(vote: VoteRecord): Promise<{ key: string; vote: VoteRecord }> {
    const key = `votes/${vote.model}/${vote.id}.json`;
    return { key, vote: (await createRecord(this.#bucket, VoteRecord, key, vote)).record };
  }

  /** Whatever names it may have come from a person: what is no key of a vote is none. */
  async read(key: string): Promise<VoteRecord | undefined> {
    return key.startsWith('votes/') && isKey(key) ? readRecord(this.#bucket, VoteRecord, key) : undefined;
  }
}

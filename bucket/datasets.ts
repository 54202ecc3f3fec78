import { DatasetVersion } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { createRecord, readRecord } from './records.ts';

/** datasets/<name>/<hash>.json: one version of a source's data, by the hash of its content. */
export class Datasets {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** The same content is the same version: what was written first stands. */
  async create(version: DatasetVersion): Promise<DatasetVersion> {
    const key = keyOf(version.name, version.hash);
    return (await createRecord(this.#bucket, DatasetVersion, key, version)).record;
  }

  read(name: string, hash: string): Promise<DatasetVersion | undefined> {
    return readRecord(this.#bucket, DatasetVersion, keyOf(name, hash));
  }
}

export const keyOf = (name: string, hash: string): string => `datasets/${name}/${hash}.json`;

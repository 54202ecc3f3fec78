import { TwinRecord } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { createRecord, readRecord } from './records.ts';

/** twins/<model>/<version>/<k>.json: a version's recipe under other seeds. */
export class Twins {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  read(model: string, version: number, k: number): Promise<TwinRecord | undefined> {
    return readRecord(this.#bucket, TwinRecord, keyOf(model, version, k));
  }

  /** A twin is trained once: who comes second gets the one that is there. */
  async create(twin: TwinRecord): Promise<TwinRecord> {
    return (await createRecord(this.#bucket, TwinRecord, keyOf(twin.model, twin.version, twin.k), twin)).record;
  }
}

const keyOf = (model: string, version: number, k: number): string => `twins/${model}/${version}/${k}.json`;

import { LabelImport } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { createRecord, numbersUnder, readRecord } from './records.ts';

/** label-imports/<model>/<n>.json: what was imported from a source, and up to when. */
export class LabelImports {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  async newest(model: string): Promise<LabelImport | undefined> {
    const n = (await numbersUnder(this.#bucket, `label-imports/${model}/`)).at(-1);
    return n === undefined ? undefined : readRecord(this.#bucket, LabelImport, keyOf(model, n));
  }

  read(model: string, n: number): Promise<LabelImport | undefined> {
    return readRecord(this.#bucket, LabelImport, keyOf(model, n));
  }

  /** False where another import took the number first. */
  async create(made: LabelImport): Promise<boolean> {
    return (await createRecord(this.#bucket, LabelImport, keyOf(made.model, made.n), made)).created;
  }
}

const keyOf = (model: string, n: number): string => `label-imports/${model}/${n}.json`;

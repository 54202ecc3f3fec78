import { Run } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { createRecord, keysUnder, readRecord, readRecords } from './records.ts';

/** runs/<model>/<id>.json: the record of a training run, and its checkpoints while it lasts. */
export class Runs {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** A run is recorded once: who repeats it gets the record that is there. */
  async create(run: Run): Promise<Run> {
    return (await createRecord(this.#bucket, Run, keyOf(run.model, run.id), run)).record;
  }

  read(model: string, id: string): Promise<Run | undefined> {
    return readRecord(this.#bucket, Run, keyOf(model, id));
  }

  /** Newest first: ids begin with the time. */
  async list(model?: string, most = Number.POSITIVE_INFINITY): Promise<Run[]> {
    const keys = await keysUnder(this.#bucket, model === undefined ? 'runs/' : `runs/${model}/`);
    const records = keys.map((key) => ({ key, id: /^runs\/[^/]+\/([^/]+)\.json$/.exec(key)?.[1] }));
    const newest = records
      .filter((record): record is { key: string; id: string } => record.id !== undefined)
      .sort((a, b) => (a.id < b.id ? 1 : -1))
      .slice(0, most);
    return readRecords(
      this.#bucket,
      Run,
      newest.map(({ key }) => key),
    );
  }

  /** Training is deterministic, so a checkpoint that is there already is as good as this one. */
  async writeCheckpoint(model: string, run: string, n: number, state: Uint8Array): Promise<void> {
    await this.#bucket.create(`${checkpoints(model, run)}${n}`, state);
  }

  async lastCheckpoint(model: string, run: string): Promise<{ n: number; bytes: Uint8Array } | undefined> {
    const prefix = checkpoints(model, run);
    const n = Math.max(0, ...(await keysUnder(this.#bucket, prefix)).map((key) => Number(key.slice(prefix.length))));
    const bytes = n > 0 ? await this.#bucket.read(`${prefix}${n}`) : undefined;
    return bytes && { n, bytes };
  }

  /** Of the run and of everything that was trained within it. */
  async removeCheckpoints(model: string, run: string): Promise<void> {
    for (const key of await keysUnder(this.#bucket, `runs/${model}/${run}/`)) await this.#bucket.remove(key);
  }
}

export const keyOf = (model: string, id: string): string => `runs/${model}/${id}.json`;

const checkpoints = (model: string, run: string): string => `runs/${model}/${run}/checkpoints/`;

import { Project } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { createRecord, keysUnder, numbersUnder, readRecord } from './records.ts';

/** projects/<model>/<n>.json: what `gauntlet apply` stored. */
export class Projects {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  async newest(model: string): Promise<Project | undefined> {
    const n = (await this.#numbers(model)).at(-1);
    return n === undefined ? undefined : this.at(model, n);
  }

  at(model: string, n: number): Promise<Project | undefined> {
    return readRecord(this.#bucket, Project, keyOf(model, n));
  }

  /** The newest project of this hash. */
  async byHash(model: string, hash: string): Promise<Project | undefined> {
    for (const n of (await this.#numbers(model)).reverse()) {
      const project = await this.at(model, n);
      if (project?.hash === hash) return project;
    }
    return undefined;
  }

  /** Names of all models that were ever applied, in order. */
  async models(): Promise<string[]> {
    return [...new Set((await keysUnder(this.#bucket, 'projects/')).map((key) => key.split('/')[1]!))].sort();
  }

  /** Gives it the next number. Of two at once with the same hash, the second gets the first's. */
  async create(project: Omit<Project, 'n'>): Promise<Project> {
    for (let n = ((await this.#numbers(project.model)).at(-1) ?? 0) + 1; ; n++) {
      const { created, record } = await createRecord(this.#bucket, Project, keyOf(project.model, n), { ...project, n });
      if (created || record.hash === project.hash) return record;
    }
  }

  #numbers(model: string): Promise<number[]> {
    return numbersUnder(this.#bucket, `projects/${model}/`);
  }
}

export const keyOf = (model: string, n: number): string => `projects/${model}/${n}.json`;

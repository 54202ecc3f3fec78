import * as z from 'zod';
import { ModelName, Revision, UserError } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { holderOf, sameCause } from './cause.ts';
import { padded } from './key.ts';
import { createRecord, decodeRecord, encodeRecord, keysUnder, readRecord, readRecords } from './records.ts';

/** How many entries a replica reads at most before it knows the state of every model, but for lost tables. */
export const TABLE_EVERY = 256;

/** serving-tables/<n>.json: the newest revision of every model, as of entry n. */
const ServingTable = z.strictObject({ n: z.int().nonnegative(), models: z.record(ModelName, Revision) });
export type ServingTable = z.infer<typeof ServingTable>;

export type NewRevision = z.input<typeof NewRevision> & {
  /** The holder that is taken over from, which the writer knows to have ended. */
  takeFrom?: string;
  /** Rollback only: whoever holds the model. */
  force?: true;
};
const NewRevision = Revision.omit({ n: true, committedAt: true });

export type Appended =
  | { ok: true; n: number }
  /** `moved`: the model has a newer revision than `was`. `held`: another rollout holds the model. */
  | { ok: false; why: 'moved' | 'held'; head: Revision };

/**
 * The serving log: one, gapless, for the whole bucket. An entry is one model's whole serving state.
 *
 * Creating entry n + 1 where entry n is the head is a compare-and-swap, because a key is created once. So entries are
 * numbered without gaps, `was` always names the model's entry before, and of two writers that saw the same state one wins.
 */
export class ServingLog {
  readonly bucket: Bucket;
  readonly #now: () => number;
  /** As far as this process has read. Entries never change, so it is only ever behind, never wrong. */
  #known: ServingTable | undefined;

  constructor(bucket: Bucket, o: { now?: () => number } = {}) {
    this.bucket = bucket;
    this.#now = o.now ?? Date.now;
  }

  /** Entry n. */
  at(n: number): Promise<Revision | undefined> {
    return readRecord(this.bucket, Revision, entryKey(n));
  }

  /** The entry after n, once it is there: one GET. */
  next(n: number): Promise<Revision | undefined> {
    return this.at(n + 1);
  }

  /** The newest revision of every model, and the number of the last entry; from a table and the entries after it. */
  async table(): Promise<ServingTable> {
    const table = this.#known ? copyOf(this.#known) : await this.#coldStart();
    for (let entry = await this.next(table.n); entry; entry = await this.next(table.n)) followInPlace(table, entry);
    if (!this.#known || this.#known.n < table.n) this.#known = copyOf(table);
    return table;
  }

  /** The newest revision of one model. */
  async current(model: string): Promise<Revision | undefined> {
    return (await this.table()).models[model];
  }

  /**
   * Appends one model's new state. Safe to repeat: an append whose cause is found at or after `was` is that entry.
   *
   * Refused as `moved` where the model's newest entry is not `was`, and as `held` where a rollout holds the model that is
   * neither the writer's own nor the one named by `takeFrom`.
   */
  async append({ takeFrom, force, ...given }: NewRevision): Promise<Appended> {
    const wanted = NewRevision.parse(given);
    for (;;) {
      const table = await this.table();
      const head = table.models[wanted.model];
      const made = head && (await this.#madeSince(head, wanted));
      if (made) return { ok: true, n: made.n };
      if ((head?.n ?? 0) !== wanted.was) {
        if (!head) throw new RangeError(`append: ${wanted.model} has no revision, so none can be ${wanted.was}`);
        return { ok: false, why: 'moved', head };
      }
      const holder = head?.serving.holder;
      if (head && holder !== undefined && !force && holder !== takeFrom && holder !== holderOf(wanted.cause))
        return { ok: false, why: 'held', head };
      const entry = { ...wanted, n: table.n + 1, committedAt: new Date(this.#now()).toISOString() };
      const { created, record } = await createRecord(this.bucket, Revision, entryKey(entry.n), entry);
      if (!created) continue; // Another was first: read on from there, and ask again.
      followInPlace(table, record);
      if (table.n % TABLE_EVERY === 0) await this.#writeTable(table);
      return { ok: true, n: record.n };
    }
  }

  /** A model's entries, newest first, by their `was`. @throws {UserError} BrokenRecord where one is damaged or lost */
  async *history(head: Revision): AsyncIterable<Revision> {
    for (let entry: Revision | undefined = head; entry;) {
      yield entry;
      if (entry.was === 0) return;
      const { was, n }: Revision = entry;
      entry = await this.at(was);
      if (!entry)
        throw new UserError(
          'BrokenRecord',
          `${entryKey(n)} follows ${entryKey(was)}, which is not in the bucket. Restore it from a backup of the bucket.`,
        );
    }
  }

  async #madeSince(head: Revision, wanted: z.infer<typeof NewRevision>): Promise<Revision | undefined> {
    if (head.n < wanted.was) return undefined;
    for await (const entry of this.history(head)) {
      if (sameCause(entry.cause, wanted.cause)) return entry;
      if (entry.n <= wanted.was) return undefined;
    }
    return undefined;
  }

  async #coldStart(): Promise<ServingTable> {
    const table = (await this.#newestTable()) ?? { n: 0, models: {} };
    const keys = await keysUnder(this.bucket, 'serving/', entryKey(table.n));
    for (const entry of await readRecords(this.bucket, Revision, keys)) followInPlace(table, entry);
    return table;
  }

  async #newestTable(): Promise<ServingTable | undefined> {
    for (const key of (await keysUnder(this.bucket, 'serving-tables/')).reverse()) {
      const bytes = await this.bucket.read(key);
      if (bytes)
        try {
          return decodeRecord(ServingTable, key, bytes);
        } catch {
          // A table is a short cut: the entries behind it are the truth, so an older one only makes the start longer.
        }
    }
    return undefined;
  }

  async #writeTable(table: ServingTable): Promise<void> {
    const models = Object.fromEntries(Object.entries(table.models).sort(([a], [b]) => (a < b ? -1 : 1)));
    try {
      await this.bucket.create(
        `serving-tables/${padded(table.n)}.json`,
        encodeRecord(ServingTable, { ...table, models }),
      );
    } catch {
      // The entry is committed, and that is what the caller asked for; without its table the next start reads more.
    }
  }
}

export const entryKey = (n: number): string => `serving/${padded(n)}.json`;

const copyOf = ({ n, models }: ServingTable): ServingTable => ({ n, models: { ...models } });

/** Brings a table to the state after one more entry. */
function followInPlace(table: ServingTable, entry: Revision): void {
  if (entry.n !== table.n + 1)
    throw new Error(`serving entry ${table.n + 1} is missing: ${entry.n} follows ${table.n}`);
  table.n = entry.n;
  table.models[entry.model] = entry;
}

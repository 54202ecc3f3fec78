import { createHash } from 'node:crypto';
import type * as z from 'zod';
import { Look, UserError, type LookRef } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { decodeRecord, encodeRecord, keysUnder, readRecord, readRecords } from './records.ts';

const HASH_PREFIX = /^[0-9a-f]{8,64}$/;
const AT_ONCE = 16;

/** looks/<model>/<time>-<kind>.json: evidence and verdict. The time is the workflow's, so who repeats a look finds it written. */
export class Looks {
  readonly #bucket: Bucket;
  /** By key: looks never change. */
  readonly #hashes = new Map<string, string>();

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /**
   * Writes it, or gives the look that is there under its model, time and kind.
   *
   * @returns sha256: of the bytes as they are stored, which a person approves
   */
  async create(look: z.input<typeof Look>): Promise<{ key: string; look: Look; sha256: string }> {
    const key = keyOf(look);
    const bytes = encodeRecord(Look, look);
    const stored = (await this.#bucket.create(key, bytes)) ? bytes : await this.#bucket.read(key);
    if (!stored) throw new Error(`${key} was taken and is not there now`);
    return { key, look: decodeRecord(Look, key, stored), sha256: this.#hashed(key, stored) };
  }

  read(key: string): Promise<Look | undefined> {
    return readRecord(this.#bucket, Look, key);
  }

  /** The look under this key with its hash, as others refer to it. */
  async readWithHash(key: string): Promise<{ key: string; look: Look; sha256: string } | undefined> {
    const bytes = await this.#bucket.read(key);
    return bytes && { key, look: decodeRecord(Look, key, bytes), sha256: this.#hashed(key, bytes) };
  }

  /** Newest first. @param o.before  only looks older than this key; @param o.limit  at most so many */
  async list(model: string, o: { before?: string; limit?: number } = {}): Promise<{ key: string; look: Look }[]> {
    const { before, limit } = o;
    const keys = (await this.#keys(model))
      .reverse()
      .filter((key) => before === undefined || key < before)
      .slice(0, limit);
    const looks = await readRecords(this.#bucket, Look, keys);
    return keys.map((key, i) => ({ key, look: looks[i]! }));
  }

  /**
   * A look by its key, or by the first 8 or more digits of its hash.
   *
   * @throws {UserError} if it is neither, there is none, or several begin so
   */
  async find(model: string, text: string): Promise<{ key: string; look: Look; sha256: string }> {
    if (text.startsWith(`looks/${model}/`) && text.endsWith('.json')) {
      const found = await this.readWithHash(text);
      if (found) return found;
      throw noSuchLook(`There is no look ${text}.`, model);
    }
    const digits = text.toLowerCase();
    if (!HASH_PREFIX.test(digits))
      throw noSuchLook(
        `${JSON.stringify(text.slice(0, 100))} names no look of ${model}: expected its key (looks/${model}/...) or at least 8 digits of its hash.`,
        model,
      );
    const keys = await this.#withHash(model, digits);
    if (keys.length === 1) return (await this.readWithHash(keys[0]!))!;
    if (keys.length === 0) throw noSuchLook(`No look of ${model} has a hash that begins with ${digits}.`, model);
    throw new UserError(
      'AmbiguousLook',
      `${digits} begins the hashes of ${keys.length} looks of ${model}: ${keys.slice(0, 5).join(', ')}${keys.length > 5 ? ', …' : ''}. Give more digits, or the key.`,
    );
  }

  async #withHash(model: string, digits: string): Promise<string[]> {
    const keys = await this.#keys(model);
    const unread = keys.filter((key) => !this.#hashes.has(key));
    const reader = async (): Promise<void> => {
      for (let key = unread.pop(); key !== undefined; key = unread.pop()) {
        const bytes = await this.#bucket.read(key);
        if (bytes) this.#hashed(key, bytes);
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, unread.length) }, reader));
    return keys.filter((key) => this.#hashes.get(key)?.startsWith(digits));
  }

  async #keys(model: string): Promise<string[]> {
    return (await keysUnder(this.#bucket, `looks/${model}/`)).filter((key) => key.endsWith('.json'));
  }

  #hashed(key: string, bytes: Uint8Array): string {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    this.#hashes.set(key, sha256);
    return sha256;
  }
}

/** A written look as others refer to it. */
export const refOf = ({ key, look, sha256 }: { key: string; look: Look; sha256: string }): LookRef => ({
  key,
  sha256,
  kind: look.kind,
  verdict: look.verdict,
});

/** 20160701T000000.000Z: colons are no part of keys. */
export const keyOf = ({ model, at, kind }: Pick<z.input<typeof Look>, 'model' | 'at' | 'kind'>): string =>
  `looks/${model}/${new Date(at).toISOString().replace(/[-:]/g, '')}-${kind}.json`;

const noSuchLook = (what: string, model: string): UserError =>
  new UserError('UnknownLook', `${what} See which there are with: npx gauntlet looks ${model}`);

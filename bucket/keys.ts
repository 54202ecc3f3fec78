import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { ApiKey, KeyRevocation, UserError, type Scope } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { createRecord, keysUnder, readRecord, readRecords } from './records.ts';

/** An API key as the bucket has it. */
export interface KnownKey {
  key: ApiKey;
  revoked?: KeyRevocation;
}

/**
 * keys/<id>.json: API keys, of which only a hash is kept; keys/<id>.revoked.json ends one before it expires. Whoever can
 * write to the bucket can make keys: the bucket's owner is Gauntlet's.
 */
export class Keys {
  readonly #bucket: Bucket;
  /** Keys never change once they are written, and neither do revocations. */
  readonly #keys = new Map<string, ApiKey>();
  readonly #revoked = new Map<string, KeyRevocation>();

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** The secret is in the answer and nowhere else: it cannot be shown again. */
  async create(o: {
    name: string;
    scopes: Scope[];
    expiresAt: string;
    createdBy: string;
    now: string;
  }): Promise<{ key: ApiKey; secret: string }> {
    for (;;) {
      const id = randomBytes(6).toString('hex');
      const secret = secretOf(id);
      const { name, scopes, expiresAt, createdBy, now } = o;
      const { created, record } = await createRecord(this.#bucket, ApiKey, keyOf(id), {
        id,
        name,
        scopes,
        sha256: sha256(secret),
        createdAt: now,
        expiresAt,
        createdBy,
      });
      if (created) return { key: record, secret };
    }
  }

  /** Oldest first. What was read before is not read again, so that asking often costs one listing. */
  async list(): Promise<KnownKey[]> {
    const ids: string[] = [];
    const revoked: string[] = [];
    for (const key of await keysUnder(this.#bucket, 'keys/')) {
      const [, id, end] = /^keys\/([0-9a-f]+)(\.revoked)?\.json$/.exec(key) ?? [];
      if (id !== undefined) (end === undefined ? ids : revoked).push(id);
    }
    for (const key of await readRecords(this.#bucket, ApiKey, unread(ids, this.#keys).map(keyOf)))
      this.#keys.set(key.id, key);
    for (const end of await readRecords(this.#bucket, KeyRevocation, unread(revoked, this.#revoked).map(revocationOf)))
      this.#revoked.set(end.id, end);
    const known = ids.flatMap((id): KnownKey[] => {
      const key = this.#keys.get(id);
      const ended = revoked.includes(id) ? this.#revoked.get(id) : undefined;
      return key ? [{ key, ...(ended && { revoked: ended }) }] : [];
    });
    return known.sort((a, b) => a.key.createdAt.localeCompare(b.key.createdAt));
  }

  /**
   * Ends a key for good. Safe to repeat: the first revocation stays.
   *
   * @throws {UserError} where there is no such key
   */
  async revoke(id: string, o: { by: string; now: string; reason?: string | undefined }): Promise<KnownKey> {
    const key = /^[0-9a-f]+$/.test(id) ? await readRecord(this.#bucket, ApiKey, keyOf(id)) : undefined;
    if (!key)
      throw new UserError(
        'NoSuchKey',
        `There is no API key ${id.slice(0, 40)}. gauntlet keys list shows those there are.`,
      );
    const { record } = await createRecord(this.#bucket, KeyRevocation, revocationOf(id), {
      id,
      at: o.now,
      by: o.by,
      ...(o.reason !== undefined && { reason: o.reason }),
    });
    return { key, revoked: record };
  }
}

/** Whether a secret is the key's. Takes as long whatever is wrong with it. */
export function isSecretOf({ sha256: kept }: ApiKey, secret: string): boolean {
  return timingSafeEqual(Buffer.from(kept, 'hex'), Buffer.from(sha256(secret), 'hex'));
}

/** gk_<id>_<256 random bits>: the id says which key it is, and the beginning lets scanners for leaked secrets find it. */
export const secretOf = (id: string): string => `gk_${id}_${randomBytes(32).toString('hex')}`;

/** The id that a secret names; undefined for what is no secret of ours. */
export const keyIdOf = (secret: string): string | undefined => /^gk_([0-9a-f]{1,40})_[0-9a-f]{64}$/.exec(secret)?.[1];

const keyOf = (id: string): string => `keys/${id}.json`;
const revocationOf = (id: string): string => `keys/${id}.revoked.json`;
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const unread = (ids: readonly string[], read: ReadonlyMap<string, unknown>): string[] =>
  ids.filter((id) => !read.has(id));

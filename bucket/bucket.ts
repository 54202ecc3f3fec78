/**
 * Everything at rest. A key is written once and never overwritten, so whatever was read may be cached for ever.
 *
 * Promises: a key is whole or absent after kill -9; of racing creates exactly one wins.
 */
export interface Bucket {
  /** True iff the key now holds these very bytes: created now, or found to hold them already. */
  create(key: string, body: Uint8Array | { file: string }): Promise<boolean>;
  /** The bytes, a range of them (`to` exclusive), or undefined where there is no such key. */
  read(key: string, range?: { from: number; to?: number }): Promise<Uint8Array | undefined>;
  /**
   * Keys in byte order, strictly after `after`. Some stores (SeaweedFS) go folder by folder instead: a/1, a-b, where byte
   * order is a-b, a/1. So rely on the order, and give `after`, only where no folder's name begins another name beside it.
   */
  list(prefix: string, after?: string): AsyncIterable<{ key: string; bytes: number }>;
  /** Retention and compaction only. A key that is not there is no error. */
  remove(key: string): Promise<void>;
}

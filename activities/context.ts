import type { Stores } from '../bucket/index.ts';
import type { Build, PiiHasher } from '../schemas/index.ts';

/** What activities are given: the stores, a folder for scratch files, and which code this is. */
export interface Context {
  stores: Stores;
  /** GAUNTLET_HOME: caches and scratch files of this machine; nothing in it is truth. */
  home: string;
  build: Build;
  /** Of GAUNTLET_PII_KEY; absent: models with personal values are refused. */
  pii?: PiiHasher | undefined;
}

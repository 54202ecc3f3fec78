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
  /** Whether a workflow's execution still runs: who holds a model and does not is taken over from. Absent: nobody is. */
  executionState?: (workflowId: string, runId: string) => Promise<'open' | 'closed' | 'unknown'>;
  /** Gauntlet brought up its own Temporal server: votes whose `by` nobody checked count, unless a stage says otherwise. */
  embedded?: boolean;
  /** GAUNTLET_CHALLENGER_MB: memory above which a process that scores for a trial is ended; absent: 1024. */
  challengerMb?: number;
  /** Where people find this Gauntlet, for links in reminders. */
  url?: string;
  /** What `$NAME` in a model.yaml stands for; absent: the process's. */
  env?: Readonly<Record<string, string | undefined>>;
}

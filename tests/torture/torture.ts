import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Found } from './invariants.ts';

export interface TortureOptions {
  seed: number;
  seconds: number;
  /** Requests a second; fewer where the machine does not give that many. */
  rate: number;
  /** Folder of the S3 server; absent: a bucket in a directory, which does not fall. */
  s3?: string;
  say(line: string): void;
}

/** In a folder of its own, which goes with it: what is prepared is tortured, and what is left is held against what was promised. */
export async function inScratch(
  prepare: (folder: string) => Promise<{
    run(): Promise<void>;
    findViolations(): Promise<Found>;
    end(): Promise<void>;
  }>,
): Promise<Found> {
  const folder = await mkdtemp(join(tmpdir(), 'gauntlet-torture-'));
  let torture: Awaited<ReturnType<typeof prepare>> | undefined;
  try {
    torture = await prepare(folder);
    await torture.run();
    return await torture.findViolations();
  } finally {
    await torture?.end();
    await rm(folder, { recursive: true, force: true });
  }
}

import { existsSync } from 'node:fs';
import { openStores, rollBack, rollbackCause } from '../bucket/index.ts';
import type { RollbackInput, RollbackResult } from '../schemas/pipeline.ts';
import { UserError } from '../schemas/problem.ts';
import { bucketFolder } from './environment.ts';

/**
 * Rolls back with neither API nor Temporal: the serving log is in the bucket, and whoever serves follows it.
 *
 * @throws {UserError} when there is no such bucket, model or version, or nothing to roll back to
 */
export async function rollBackOnBucket(
  where: { bucket: string; home: string },
  { model, to, by, reason }: RollbackInput,
  requestId: string,
): Promise<RollbackResult> {
  const folder = bucketFolder(where.bucket);
  // Opening a directory bucket makes an empty one, which would hide that the address is wrong.
  if (folder !== undefined && !existsSync(folder))
    throw new UserError(
      'NoBucket',
      `There is no bucket at ${where.bucket}. Set GAUNTLET_BUCKET (or GAUNTLET_HOME) to the one that the API uses.`,
    );
  const { serving } = await openStores(where);
  return rollBack(serving, model, to, by, reason, rollbackCause(requestId));
}

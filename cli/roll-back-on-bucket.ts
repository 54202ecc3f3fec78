import { rollBack, rollbackCause } from '../bucket/index.ts';
import type { RollbackInput, RollbackResult } from '../schemas/pipeline.ts';
import { openOwnStores } from './own-stores.ts';

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
  const { serving } = await openOwnStores(where);
  return rollBack(serving, model, to, by, reason, rollbackCause(requestId));
}

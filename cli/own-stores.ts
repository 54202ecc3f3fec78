import { existsSync } from 'node:fs';
import { openStores, type Stores } from '../bucket/index.ts';
import { UserError } from '../schemas/problem.ts';
import { bucketFolder } from './environment.ts';

/**
 * The bucket itself, without an API.
 *
 * @throws {UserError} when there is none: opening a directory bucket makes an empty one, which would hide that the address
 *   is wrong
 */
export async function openOwnStores(where: { bucket: string; home: string }): Promise<Stores> {
  const folder = bucketFolder(where.bucket);
  if (folder !== undefined && !existsSync(folder))
    throw new UserError(
      'NoBucket',
      `There is no bucket at ${where.bucket}. Set GAUNTLET_BUCKET (or GAUNTLET_HOME) to the one that the API uses.`,
    );
  return openStores(where);
}

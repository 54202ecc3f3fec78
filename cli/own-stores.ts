import { existsSync } from 'node:fs';
import { openStores, type Stores } from '../bucket/index.ts';
import { UserError } from '../schemas/problem.ts';
import { bucketFolder } from './environment.ts';

/**
 * The bucket itself, without an API.
 *
 * @param o.make  make it where it is not there yet, and say so by `made`
 * @throws {UserError} when there is none: opening a directory bucket makes an empty one, which would hide that the address
 *   is wrong
 */
export async function openOwnStores(
  where: { bucket: string; home: string },
  o: { make?: boolean; made?: (bucket: string) => void } = {},
): Promise<Stores> {
  const folder = bucketFolder(where.bucket);
  const isMissing = folder !== undefined && !existsSync(folder);
  if (isMissing && !o.make)
    throw new UserError(
      'NoBucket',
      `There is no bucket at ${where.bucket}. Set GAUNTLET_BUCKET (or GAUNTLET_HOME) to the one that the API uses.`,
    );
  const stores = await openStores(where);
  if (isMissing) o.made?.(where.bucket);
  return stores;
}

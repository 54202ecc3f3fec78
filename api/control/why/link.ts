import { isKey } from '../../../bucket/index.ts';
import { damageOf } from './find.ts';

export interface Link<T> {
  key?: string;
  record?: T;
  gone?: string;
}

/** One record, or why it is not there. */
export async function link<T>(
  key: string,
  read: () => Promise<T | undefined>,
  check?: { isIt: (record: T) => boolean; otherwise: string },
): Promise<Link<T>> {
  if (!isKey(key)) return { gone: `${key} is no key of a bucket: whatever names it was altered.` };
  try {
    const record = await read();
    if (!record) return { key, gone: `${key} is not in the bucket (any more). Restore it from a backup to see it.` };
    return check && !check.isIt(record) ? { key, gone: `${key} ${check.otherwise}.` } : { key, record };
  } catch (error) {
    return { key, gone: damageOf(error) };
  }
}

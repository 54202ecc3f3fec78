import { gunzipSync } from 'node:zlib';
import type { Bucket } from '../../../bucket/index.ts';
import { LogRecord } from '../../../schemas/index.ts';

/** Every record of the raw log, in the order of its keys, read by its schema. */
export async function recordsOf(bucket: Bucket): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for await (const { key } of bucket.list('log/raw/')) {
    const lines = gunzipSync((await bucket.read(key))!)
      .toString()
      .trimEnd()
      .split('\n');
    records.push(...lines.map((line) => LogRecord.parse(JSON.parse(line))));
  }
  return records;
}

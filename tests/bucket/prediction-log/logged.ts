/** What of the prediction log is in a bucket. */
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import type { Bucket } from '../../../bucket/index.ts';
import { LogRecord } from '../../../schemas/index.ts';
import { idOf } from './records.ts';

export interface Logged {
  keys: string[];
  /** Of each boot in the order of `seq`. */
  records: LogRecord[];
  ids: string[];
}

/** Everything that was uploaded. Each line has to be a whole record, and each key has to tell who wrote its records, and when. */
export async function loggedIn(bucket: Bucket): Promise<Logged> {
  const keys: string[] = [];
  const records: LogRecord[] = [];
  for await (const { key } of bucket.list('log/')) {
    const [, date, hh, ms, boot] =
      /^log\/raw\/(\d{4}-\d\d-\d\d)\/(\d\d)\/(\d{13})-(.+)-\d+\.ndjson\.gz$/.exec(key) ?? expect.fail(key);
    expect(new Date(Number(ms)).toISOString().slice(0, 13)).toBe(`${date}T${hh}`);
    const text = gunzipSync((await bucket.read(key))!).toString('utf8');
    expect(text.endsWith('\n')).toBe(true);
    for (const line of text.slice(0, -1).split('\n')) {
      const record = LogRecord.parse(JSON.parse(line));
      expect(record.boot).toBe(boot);
      records.push(record);
    }
    keys.push(key);
  }
  records.sort((a, b) => (a.boot === b.boot ? a.seq - b.seq : a.boot < b.boot ? -1 : 1));
  return { keys, records, ids: records.map(idOf) };
}

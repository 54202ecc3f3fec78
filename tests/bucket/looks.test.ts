import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openBucket, type Bucket } from '../../bucket/index.ts';
import { Looks, refOf } from '../../bucket/looks.ts';
import * as examples from './examples.ts';

let folder: string;
let bucket: Bucket;
let looks: Looks;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-looks-'));
  bucket = await openBucket(`file:${folder}`);
  looks = new Looks(bucket);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const at = (second: number) => `2026-11-24T10:00:${String(second).padStart(2, '0')}.000Z`;

it('a look’s hash is that of its stored bytes, and the same whoever writes it again', async () => {
  const first = await looks.create(examples.look(at(1)));
  const bytes = (await bucket.read(first.key))!;
  expect(first.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
  const again = await new Looks(bucket).create(examples.look(at(1), 'something else'));
  expect(again).toEqual(first);
  expect(refOf(first)).toEqual({ key: first.key, sha256: first.sha256, kind: 'gate', verdict: first.look.verdict });
});

it('looks come newest first, as many and from where one asks', async () => {
  const keys: string[] = [];
  for (let second = 1; second <= 5; second++) keys.unshift((await looks.create(examples.look(at(second)))).key);
  const keysOf = async (o?: { before?: string; limit?: number }) =>
    (await looks.list('churn', o)).map(({ key }) => key);
  expect(await keysOf()).toEqual(keys);
  expect(await keysOf({ limit: 2 })).toEqual(keys.slice(0, 2));
  expect(await keysOf({ before: keys[1]!, limit: 2 })).toEqual(keys.slice(2, 4));
});

it('a look is found by its key and by 8 digits of its hash, in whatever case', async () => {
  const wanted = await looks.create(examples.look(at(1)));
  await looks.create(examples.look(at(2)));
  const fresh = new Looks(bucket);
  for (const text of [wanted.key, wanted.sha256, wanted.sha256.slice(0, 8), wanted.sha256.slice(0, 8).toUpperCase()])
    expect(await fresh.find('churn', text)).toEqual(wanted);
});

it('what names no look, none, or several is refused in words', async () => {
  await looks.create(examples.look(at(1)));
  await expect(looks.find('churn', 'abc')).rejects.toThrow(/at least 8 digits of its hash/);
  await expect(looks.find('churn', '0'.repeat(64))).rejects.toThrow(/No look of churn has a hash that begins/);
  await expect(looks.find('churn', 'looks/churn/nothing.json')).rejects.toThrow(/There is no look/);
  // Another model's look is not looked for.
  await expect(looks.find('churn', 'looks/fraud/x.json')).rejects.toThrow(/names no look of churn/);
  // The same bytes under a second key have the same hash.
  const { key, sha256 } = await looks.find('churn', (await looks.list('churn'))[0]!.key);
  await bucket.create('looks/churn/20260101T000000.000Z-gate.json', (await bucket.read(key))!);
  await expect(looks.find('churn', sha256.slice(0, 9))).rejects.toThrow(
    /2 looks of churn.*Give more digits, or the key/,
  );
});

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStores, type Stores } from '../../bucket/index.ts';
import { serve } from '../api/serving/fixture.ts';
import { CREDENTIALS, installS3Server, startS3Server } from '../servers/s3.ts';
import { Client, paced } from '../torture/client.ts';
import { lostAnswers, readLog, wrongLabels, type Log } from '../torture/invariants.ts';
import { MODEL, registerModels } from '../torture/models.ts';
import { Replica } from '../torture/replica.ts';

// LOG_SURVIVES=long takes what the promise says: ten kills, and a bucket that is away for a minute.
const isLong = process.env['LOG_SURVIVES'] === 'long';
const KILLS = isLong ? 10 : 3;
const AWAY_MS = isLong ? 60_000 : 10_000;
const BACK_WITHIN_MS = 30_000;
/** Answers until a process that was just started runs at its speed. */
const WARM = isLong ? 3_000 : 300;
/** A machine that asks less has not shown what is said of 2,000 requests a second. */
const LEAST_RATE = isLong ? 1_800 : 0;
const installed = await installS3Server();

let folder: string;
let replica: Replica | undefined;
const undo: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-log-survives-'));
});
afterEach(async () => {
  await replica?.kill();
  for (const step of undo.splice(0).reverse()) await step();
  await rm(folder, { recursive: true, force: true });
});

async function prepare(bucket: string): Promise<{ stores: Stores; replica: Replica; client: Client }> {
  await mkdir(join(folder, 'home'));
  const stores = await openStores({ bucket, home: join(folder, 'home') });
  await registerModels(stores);
  await serve(stores, MODEL, { champion: 1 });
  replica = await Replica.prepare('replica', { folder, bucket });
  await replica.start();
  const client = new Client(MODEL, [replica]);
  undo.push(async () => client.close());
  return { stores, replica, client };
}

/**
 * Asks until it is told to end, and labels one answer in so many. A label is synced before it is acknowledged, and with
 * it the answers before: where there are many labels, few answers can be lost.
 */
function underLoad(client: Client, name: string, perSecond: number, labelEvery = 50): { end(): Promise<unknown> } {
  let goesOn = true;
  const traffic = paced({ perSecond, mostAtOnce: 64, goesOn: () => goesOn }, async (n) => {
    const answered = await client.predict(`${name}-${n}`, [{ x: n % 1000, customer: 'c' }]);
    if (answered && n % labelEvery === 0) await client.label(`${name}-${n}`, answered.id, n);
  });
  return {
    end: () => {
      goesOn = false;
      return traffic;
    },
  };
}

/** Resolves when the client has so many answers more. */
const answers = (client: Client, more: number) => {
  const from = client.answered.length;
  return expect.poll(() => client.answered.length, { timeout: 60_000, interval: 5 }).toBeGreaterThan(from + more);
};

/** What holds of every log, whatever happened. */
function expectOnce(client: Client, log: Log): void {
  expect(client.failures).toEqual([]);
  expect(log.duplicates).toBe(0);
  expect(log.broken).toBe(0);
  expect(wrongLabels(client, log)).toEqual([]);
  expect(client.acknowledged.length).toBeGreaterThan(0);
}

describe('the prediction log of a replica', () => {
  it(`that is killed ${KILLS} times under load loses the answers of the last 50 ms before at most, and counts none twice`, async () => {
    const { stores, replica, client } = await prepare(`file:${join(folder, 'bucket')}`);
    const rates: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const load = underLoad(client, `k${kill}`, 2_000, kill % 2 === 0 ? Infinity : 50);
      await answers(client, WARM);
      const [from, before] = [performance.now(), client.answered.length];
      // Wherever in a segment, or between two, it is.
      await answers(client, 1_000 + 700 * kill);
      rates.push((1000 * (client.answered.length - before)) / (performance.now() - from));
      await replica.kill();
      await load.end();
      await replica.start();
    }
    expect(await replica.stop()).toBe(0);
    expect(await replica.spooled()).toEqual([]);
    const log = await readLog(stores, MODEL, folder);
    expectOnce(client, log);
    const lost = lostAnswers(client, log);
    console.log(
      `${KILLS} kills at ${rates.map((rate) => rate.toFixed(0)).join(', ')} requests/s: of ${client.answered.length} answers ${lost.count} are lost, the oldest ${lost.oldestMs.toFixed(0)} ms before its kill`,
    );
    expect(lost.violations).toEqual([]);
    expect(Math.min(...rates)).toBeGreaterThan(LEAST_RATE);
  }, 240_000);

  it('that is told to stop under load finishes what it accepted, and all of it is in the bucket', async () => {
    const { stores, replica, client } = await prepare(`file:${join(folder, 'bucket')}`);
    const load = underLoad(client, 'r', 1_000);
    await answers(client, 1_000);
    expect(await replica.stop()).toBe(0);
    await load.end();
    expect(await replica.spooled()).toEqual([]);
    const log = await readLog(stores, MODEL, folder);
    expectOnce(client, log);
    // Of what was not answered nothing was computed either.
    expect(log.answers.map(({ id }) => id).sort()).toEqual(client.answered.map(({ id }) => id).sort());
  }, 120_000);

  it.skipIf(!installed.ok)(
    `whose bucket is away for ${AWAY_MS / 1000} s goes on answering, and has everything there once within 30 s of its return`,
    async () => {
      const s3 = await startS3Server(installed.ok ? installed.folder : '');
      undo.push(() => s3.stop());
      process.env['GAUNTLET_S3_ENDPOINT'] = s3.endpoint;
      process.env['AWS_ACCESS_KEY_ID'] = CREDENTIALS.accessKeyId;
      process.env['AWS_SECRET_ACCESS_KEY'] = CREDENTIALS.secretAccessKey;
      const { stores, replica, client } = await prepare(`s3://${await s3.newBucket()}`);
      const load = underLoad(client, 'r', 300);
      await answers(client, 300);
      await s3.down('SIGKILL');
      const from = performance.now();
      await answers(client, 300);
      // Segments are closed every 5 s: those that wait are more than the one that is being written.
      await expect.poll(() => replica.spooled(), { timeout: 60_000 }).toContainEqual(expect.stringMatching(/ndjson$/));
      await expect.poll(() => performance.now() - from, { timeout: 2 * AWAY_MS }).toBeGreaterThan(AWAY_MS);
      await answers(client, 10);
      await s3.up();
      const back = performance.now();
      const awaySeconds = Math.round((back - from) / 1000);
      await load.end();
      expect(client.unheard).toEqual([]);
      // A server that has come back accepts connections a while before it can answer all of them.
      let log: Log | undefined;
      let lookedMs: number;
      do {
        lookedMs = performance.now() - back;
        log = await readLog(stores, MODEL, folder).catch((error: unknown) => {
          if (lookedMs > BACK_WITHIN_MS) throw error;
          return undefined;
        });
      } while ((log?.answers.length ?? 0) < client.answered.length && lookedMs < BACK_WITHIN_MS);
      console.log(
        `a bucket was away for ${awaySeconds} s: all of ${client.answered.length} answers were there ${(lookedMs / 1000).toFixed(0)} s after its return`,
      );
      expect(log?.answers.map(({ id }) => id).sort()).toEqual(client.answered.map(({ id }) => id).sort());
      expectOnce(client, log!);
      expect(await replica.stop()).toBe(0);
    },
    360_000,
  );
});

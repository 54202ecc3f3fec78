import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCloseHour, createPlanHousekeeping } from '../../../activities/housekeeping/close-hour.ts';
import type { Context } from '../../../activities/context.ts';
import { rowsKey } from '../../../bucket/index.ts';
import { ModelSpec } from '../../../schemas/index.ts';
import { openDatabase } from '../../../sql/database.ts';
import { project, spec } from '../../bucket/examples.ts';
import { answer, DAY_MS, HOUR_MS, label, shadow, T0 } from '../../sql/log-records.ts';
import { between, keepHouse, keysOf, openLog, over, readLog, upload } from './log-bucket.ts';

let folder: string;
let context: Context;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-housekeeping-'));
  context = await openLog(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const at = (ms: number): string => new Date(ms).toISOString();
const HOUR = '2026-11-24T09:00:00.000Z';
const ENDS = Date.parse(HOUR) + HOUR_MS;
const bucket = () => context.stores.bucket;
const keepFor = (model: string, logDays: number) =>
  context.stores.projects.create({
    ...project('a'.repeat(64)),
    model,
    spec: ModelSpec.parse({ ...spec, label: {}, name: model, retention: { logDays } }),
  });

describe('an hour', () => {
  it('is closed 15 minutes after its end, by model, with a manifest, and only then are its segments removed', async () => {
    const segments = [
      await upload(bucket(), T0, [answer('r2'), answer('x', { model: 'fraud' }), 'broken'], 'b1', 0),
      await upload(
        bucket(),
        T0 + 1,
        [answer('r1'), shadow('r1'), label('l1', { requestId: 'r1' }), answer('r1')],
        'b1',
        1,
      ),
    ];
    const open = await upload(bucket(), T0 + HOUR_MS, [answer('r3')]);
    expect(await keepHouse(context, at(ENDS + 15 * 60_000 - 1))).toEqual({ closed: [], waiting: 0, retired: [] });

    const now = at(ENDS + 15 * 60_000);
    const { closed } = await keepHouse(context, now);
    expect(closed).toEqual([
      { hour: HOUR, k: 1, segments: 2, answers: 3, shadowScores: 1, labels: 1, broken: 1, removed: 2 },
    ]);
    expect(await keysOf(bucket())).toEqual([
      'log/hours/2026-11-24/09/0001.json',
      open,
      'log/rows/churn/2026-11-24/09/0001.parquet',
      'log/rows/fraud/2026-11-24/09/0001.parquet',
    ]);
    const manifest = (await context.stores.logHours.manifest(HOUR, 1))!;
    const parquet = (await bucket().read(manifest.models['churn']!.key))!;
    expect(manifest).toEqual({
      hour: HOUR,
      k: 1,
      segments,
      models: {
        churn: {
          key: 'log/rows/churn/2026-11-24/09/0001.parquet',
          sha256: createHash('sha256').update(parquet).digest('hex'),
          bytes: parquet.length,
          answers: 2,
          shadowScores: 1,
          labels: 1,
        },
        fraud: expect.objectContaining({ answers: 1, shadowScores: 0, labels: 0 }) as object,
      },
      broken: 1,
      because: 'closed',
      closedAt: now,
    });
    expect(await readLog(context, 'churn')).toEqual({
      answers: ['r1', 'r2', 'r3'],
      shadows: ['r1'],
      labels: ['l1'],
      broken: 1,
      unknown: 0,
    });
    expect(await keepHouse(context, now)).toEqual({ closed: [], waiting: 0, retired: [] });
  });

  it('takes late segments into a successor, and leaves models that they do not hold as they are', async () => {
    await upload(bucket(), T0, [answer('r1'), answer('x', { model: 'fraud' })]);
    await keepHouse(context, at(ENDS + HOUR_MS));
    const before = (await context.stores.logHours.manifest(HOUR, 1))!;
    await upload(bucket(), T0 + 5, [answer('r2'), answer('r1'), 'broken'], 'late');
    const { closed } = await keepHouse(context, at(ENDS + 2 * HOUR_MS));
    expect(closed).toMatchObject([{ k: 2, segments: 1, answers: 1, broken: 1, removed: 2 }]);
    const after = (await context.stores.logHours.manifest(HOUR, 2))!;
    expect(after).toMatchObject({
      because: 'late segments',
      models: { fraud: before.models['fraud'], churn: { answers: 2 } },
    });
    expect(after.segments).toEqual([...before.segments, expect.stringContaining('late') as string]);
    expect(await keysOf(bucket(), 'log/rows/')).toEqual([after.models['churn']!.key, after.models['fraud']!.key]);
    expect((await readLog(context, 'churn')).answers).toEqual(['r1', 'r2']);
  });

  it('of nothing but broken lines is closed too, and so is one of a damaged segment', async () => {
    await upload(bucket(), T0, ['broken', '{}']);
    await bucket().create('log/raw/2026-11-24/09/1780000000001-b1-0.ndjson.gz', new TextEncoder().encode('no gzip'));
    expect((await keepHouse(context, at(ENDS + HOUR_MS))).closed).toMatchObject([{ broken: 3, answers: 0 }]);
    expect((await context.stores.logHours.manifest(HOUR, 1))!.models).toEqual({});
  });

  it('waits its turn, oldest first, where there are many', async () => {
    for (const h of [2, 0, 1]) await upload(bucket(), T0 + h * HOUR_MS, [answer(`r${h}`)]);
    const now = at(ENDS + 5 * HOUR_MS);
    const { closed, waiting } = await keepHouse(context, now, 2);
    expect([closed.map(({ hour }) => hour.slice(11, 13)), waiting]).toEqual([['09', '10'], 1]);
    expect((await keepHouse(context, now, 2)).closed.map(({ hour }) => hour.slice(11, 13))).toEqual(['11']);
  });

  it('takes the next number where a dead attempt left other bytes, and the same where it left the same', async () => {
    await upload(bucket(), T0, [answer('r1'), answer('x', { model: 'fraud' })]);
    await bucket().create(rowsKey('churn', HOUR, 1), new TextEncoder().encode('of a dead attempt'));
    await keepHouse(context, at(ENDS + HOUR_MS));
    const { models } = (await context.stores.logHours.manifest(HOUR, 1))!;
    expect(models['churn']!.key).toBe(rowsKey('churn', HOUR, 2));
    expect(models['fraud']!.key).toBe(rowsKey('fraud', HOUR, 1));
    expect((await readLog(context, 'churn')).answers).toEqual(['r1']);
    // A number that a manifest has named is never used again.
    await upload(bucket(), T0 + 9, [answer('y', { model: 'fraud' })], 'late');
    await keepHouse(context, at(ENDS + 2 * HOUR_MS));
    expect((await context.stores.logHours.manifest(HOUR, 2))!.models['fraud']!.key).toBe(rowsKey('fraud', HOUR, 3));
  });

  it('that was compacted, and not cleared, is only cleared', async () => {
    const key = await upload(bucket(), T0, [answer('r1')]);
    const bytes = (await bucket().read(key))!;
    await keepHouse(context, at(ENDS + HOUR_MS));
    await bucket().create(key, bytes);
    expect((await readLog(context, 'churn')).answers).toEqual(['r1']);
    const again = await keepHouse(context, at(ENDS + 2 * HOUR_MS));
    expect(again.closed).toMatchObject([{ k: 1, segments: 0, answers: 0, removed: 1 }]);
    expect(await keysOf(bucket(), 'log/raw/')).toEqual([]);
  });
});

describe('retention', () => {
  it('is off unless a person set it; then older hours lose that model, by a successor first', async () => {
    for (const h of [0, 1, 48])
      await upload(bucket(), T0 + h * HOUR_MS, [answer(`r${h}`), answer(`x${h}`, { model: 'fraud' })]);
    const now = T0 + 4 * DAY_MS;
    expect((await keepHouse(context, at(now))).retired).toEqual([]);
    await keepFor('churn', 3);
    const { retired } = await keepHouse(context, at(now));
    expect(retired).toMatchObject([{ model: 'churn', logDays: 3, hours: 2, waiting: 0 }]);
    expect(retired[0]!.bytes).toBeGreaterThan(0);
    expect((await readLog(context, 'churn')).answers).toEqual(['r48']);
    expect((await readLog(context, 'fraud')).answers).toEqual(['x0', 'x1', 'x48']);
    expect(await keysOf(bucket(), 'log/rows/churn/')).toEqual(['log/rows/churn/2026-11-26/09/0001.parquet']);
    expect(await context.stores.logHours.manifest(HOUR, 2)).toMatchObject({ because: 'retention', k: 2 });
    expect((await keepHouse(context, at(now))).retired).toEqual([]);
    // Longer again: what is gone stays gone, and nothing else goes.
    await keepFor('churn', 30);
    expect((await keepHouse(context, at(now))).retired).toEqual([]);
  });

  it('takes what came late for an hour that was retired already, and leaves raw segments that nobody has compacted', async () => {
    await keepFor('churn', 1);
    await upload(bucket(), T0, [answer('r1')]);
    await keepHouse(context, at(T0 + 3 * DAY_MS));
    await upload(bucket(), T0 + 7, [answer('r2'), answer('x', { model: 'fraud' })], 'late');
    const { applyRetention } = (await import('../../../activities/housekeeping/retention.ts')).createApplyRetention(
      context,
    );
    expect(await applyRetention(at(T0 + 3 * DAY_MS))).toEqual([]);
    expect((await readLog(context, 'churn')).answers).toEqual(['r2']);
    expect((await keepHouse(context, at(T0 + 3 * DAY_MS))).retired).toMatchObject([{ hours: 1 }]);
    expect((await readLog(context, 'churn')).answers).toEqual([]);
    expect((await readLog(context, 'fraud')).answers).toEqual(['x']);
    expect(await keysOf(bucket(), 'log/rows/churn/')).toEqual([]);
  });
});

it('there is room for erasure: a successor manifest without an entity, which late segments do not bring back', async () => {
  await upload(bucket(), T0, [answer('r1', { entity: 'ana' }), answer('r2', { entity: 'bo' })]);
  await keepHouse(context, at(ENDS + HOUR_MS));
  const { logHours } = context.stores;
  const base = (await logHours.manifest(HOUR, 1))!;
  const { churn } = base.models;
  const scratch = await mkdtemp(join(folder, 'scratch-'));
  const [before, after] = [(await logHours.rows(churn!, scratch))!, join(scratch, 'without.parquet')];
  const db = await openDatabase({ files: [before], writable: scratch });
  await db.run(
    `COPY (SELECT * FROM read_parquet('${before}') WHERE entity IS DISTINCT FROM 'ana') TO '${after}' (FORMAT parquet, COMPRESSION zstd)`,
  );
  db.close();
  const key = rowsKey('churn', HOUR, 2);
  expect(await bucket().create(key, { file: after })).toBe(true);
  const bytes = await readFile(after);
  const rewritten = {
    ...churn!,
    key,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    bytes: bytes.length,
    answers: 1,
  };
  expect(await logHours.writeManifest({ ...base, k: 2, models: { churn: rewritten }, because: 'erasure' })).toBe(true);
  await bucket().remove(churn!.key);
  expect((await readLog(context, 'churn')).answers).toEqual(['r2']);

  await upload(bucket(), T0 + 5, [answer('r3', { entity: 'bo' })], 'late');
  await keepHouse(context, at(ENDS + 2 * HOUR_MS));
  expect((await readLog(context, 'churn')).answers).toEqual(['r2', 'r3']);
});

describe('killed anywhere', () => {
  /** An hour that was closed and got a late segment, one that is open, one that churn keeps no longer. */
  async function prepare(): Promise<void> {
    await keepFor('churn', 2);
    await upload(bucket(), T0 - 3 * DAY_MS, [answer('old'), answer('x0', { model: 'fraud' })]);
    await upload(bucket(), T0, [answer('r1'), label('l1'), answer('x1', { model: 'fraud' })]);
    await createCloseHour(context).closeHour('2026-11-21T09:00:00.000Z', at(ENDS - 3 * DAY_MS));
    await createCloseHour(context).closeHour(HOUR, at(ENDS));
    await upload(bucket(), T0 + 3, [answer('r2'), answer('r1'), 'broken'], 'late');
    await upload(bucket(), T0 + HOUR_MS, [answer('r3'), shadow('r3')]);
    await upload(bucket(), T0 + HOUR_MS + 1, [label('l2'), answer('r2'), answer('x2', { model: 'fraud' })], 'b2');
  }
  const now = at(T0 + 5 * HOUR_MS);
  const churn = { answers: ['r1', 'r2', 'r3'], shadows: ['r3'], labels: ['l1', 'l2'], broken: 1, unknown: 0 };

  it('after its n-th contact with the bucket, for every n: readers count each record once, and the next run ends it', async () => {
    await prepare();
    expect(await readLog(context, 'churn')).toEqual({ ...churn, answers: ['old', ...churn.answers] });
    const prepared = folder;
    const end = new Set<string>();
    let faults = 0;
    for (let n = 1, survived = false; !survived; n++) {
      folder = await mkdtemp(join(tmpdir(), 'gauntlet-housekeeping-'));
      try {
        await cp(join(prepared, 'bucket'), join(folder, 'bucket'), { recursive: true });
        context = await openLog(folder);
        let count = 0;
        const fault = () => {
          if (++count === n) throw new Error(`killed at ${n}`);
        };
        const broken = over(
          context,
          between(bucket(), () => {}, fault),
        );
        survived = await keepHouse(broken, now).then(
          () => true,
          (error: Error) => {
            expect(error.message).toBe(`killed at ${n}`);
            return false;
          },
        );
        faults += survived ? 0 : 1;
        const seen = await readLog(context, 'churn');
        expect({ ...seen, answers: seen.answers.filter((id) => id !== 'old') }, `after a fault at ${n}`).toEqual(churn);
        expect(
          (
            await readLog(
              over(
                context,
                between(
                  bucket(),
                  () => {},
                  () => {},
                ),
              ),
              'fraud',
            )
          ).answers,
        ).toEqual(['x0', 'x1', 'x2']);
        await keepHouse(context, now);
        expect(await readLog(context, 'churn'), `after a fault at ${n} and the next run`).toEqual(churn);
        end.add(JSON.stringify(await keysOf(bucket())));
      } finally {
        await rm(folder, { recursive: true, force: true });
        folder = prepared;
      }
    }
    expect(faults).toBeGreaterThan(30);
    // But for the number of the manifest that lets the old hour go, all ends are the same: no key is left behind.
    const ends = [...end].map((keys) => JSON.parse(keys) as string[]);
    for (const keys of ends)
      expect(keys.filter((key) => !key.startsWith('log/hours/2026-11-21/'))).toEqual([
        'log/hours/2026-11-24/09/0001.json',
        'log/hours/2026-11-24/09/0002.json',
        'log/hours/2026-11-24/10/0001.json',
        'log/rows/churn/2026-11-24/09/0002.parquet',
        'log/rows/churn/2026-11-24/10/0001.parquet',
        'log/rows/fraud/2026-11-21/09/0001.parquet',
        'log/rows/fraud/2026-11-24/09/0001.parquet',
        'log/rows/fraud/2026-11-24/10/0001.parquet',
      ]);
  }, 600_000);
});

describe('two at once', () => {
  it('and late uploads, in any interleaving, lose nothing and count nothing twice, at any moment that a reader looks', async () => {
    // Each operation waits for a few turns of the loop, by a seed of its own, so that runs differ and repeat.
    const jitter = (seed: number) => {
      let state = seed;
      return async () => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        for (let turns = (state >>> 16) % 12; turns > 0; turns--) await new Promise((done) => setImmediate(done));
      };
    };
    const prepared = folder;
    for (let seed = 1; seed <= 6; seed++) {
      folder = await mkdtemp(join(tmpdir(), 'gauntlet-housekeeping-'));
      try {
        context = await openLog(folder);
        const written: string[] = [];
        const begun: string[] = [];
        const put = async (n: number) => {
          begun.push(`r${n}`);
          await upload(bucket(), T0 + n, [answer(`r${n}`), answer('twice')], 'b1', n);
          written.push(`r${n}`);
        };
        await put(1);
        await put(2);
        let busy = true;
        const uploads = (async () => {
          for (let n = 3; n <= 8; n++) {
            await put(n);
            for (let i = 0; i < 20; i++) await jitter(seed * 7 + n + i)();
          }
        })();
        const closer = async (id: number) => {
          const pause = jitter(seed * 31 + id);
          const mine = over(context, between(bucket(), pause, pause));
          while (busy)
            await createCloseHour(mine)
              .closeHour(HOUR, at(ENDS + HOUR_MS))
              .catch(givenUp);
        };
        const givenUp = (error: Error) => expect(error.message).toMatch(/changed by others/);
        const reads = (async () => {
          let looks = 0;
          for (; looks < 12; looks++) {
            const before = [...written];
            const { answers } = await readLog(context, 'churn');
            expect(new Set(answers).size).toBe(answers.length);
            expect(answers).toEqual(expect.arrayContaining([...before, 'twice']));
            expect([...begun, 'twice']).toEqual(expect.arrayContaining(answers));
          }
          busy = false;
        })().finally(() => (busy = false));
        await Promise.all([uploads, closer(1), closer(2), reads]);
        await keepHouse(context, at(ENDS + HOUR_MS));
        expect((await readLog(context, 'churn')).answers).toEqual([...begun, 'twice'].sort());
        expect(await keysOf(bucket(), 'log/raw/')).toEqual([]);
        const { manifests } = await context.stores.logHours.look(HOUR);
        expect(manifests).toEqual(manifests.map((_, i) => i + 1));
      } finally {
        await rm(folder, { recursive: true, force: true });
        folder = prepared;
      }
    }
  }, 300_000);
});

it('planning lists the whole log and reads nothing', async () => {
  await upload(bucket(), T0, [answer('r1')]);
  let operations = 0;
  const counted = over(
    context,
    between(
      bucket(),
      () => void operations++,
      () => {},
    ),
  );
  await createPlanHousekeeping(counted).planHousekeeping(at(ENDS + HOUR_MS), 48);
  expect(operations).toBe(2);
});

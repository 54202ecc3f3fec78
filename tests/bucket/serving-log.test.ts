import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryBucket, ServingLog, type Appended, type Bucket, type NewRevision } from '../../bucket/index.ts';
import { padded } from '../../bucket/key.ts';
import type { Revision, Serving } from '../../schemas/index.ts';
import { linesOf, startChild } from './children/start.ts';

let root: string;
let bucket: DirectoryBucket;
let log: ServingLog;
let folders = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gauntlet-serving-log-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(async () => {
  bucket = await DirectoryBucket.open(join(root, String(folders++)));
  log = new ServingLog(bucket, { now: () => Date.UTC(2026, 10, 24) });
});

let steps = 0;
/** An append of its own cause; `over` changes what matters to the test. */
const change = (over: Partial<NewRevision> = {}): NewRevision => ({
  model: 'churn',
  was: 0,
  serving: { champion: 1, shadows: [] },
  by: 'ana',
  because: 'a test',
  cause: { workflowId: 'rollout-churn', runId: 'r1', step: `step ${++steps}` },
  ...over,
});
const by = (workflowId: string, runId = 'r1') => ({ workflowId, runId, step: `step ${++steps}` });
const held = (holder: string): Serving => ({ champion: 1, shadows: [], holder });

async function everyEntry(from: ServingLog): Promise<Revision[]> {
  const entries: Revision[] = [];
  for (let entry = await from.next(0); entry; entry = await from.next(entry.n)) entries.push(entry);
  return entries;
}

/** What must be true of any log: no gaps, every `was` the model's entry before, no cause twice, the table the fold. */
async function checkLog(of: DirectoryBucket): Promise<Revision[]> {
  const entries = await everyEntry(new ServingLog(of));
  const keys = await readdir(join(of.folder, 'serving'));
  expect(keys.sort()).toEqual(entries.map((_, i) => `${String(i + 1).padStart(12, '0')}.json`));
  const models: Record<string, Revision> = {};
  for (const [i, entry] of entries.entries()) {
    expect(entry.n).toBe(i + 1);
    expect(entry.was).toBe(models[entry.model]?.n ?? 0);
    models[entry.model] = entry;
  }
  expect(new Set(entries.map(({ cause }) => JSON.stringify(cause))).size).toBe(entries.length);
  expect(await new ServingLog(of).table()).toEqual({ n: entries.length, models });
  return entries;
}

describe('append', () => {
  it('the first entry is 1 and stamped with the time; next reads it, and there is none after it', async () => {
    const wanted = change();
    expect(await log.append(wanted)).toEqual({ ok: true, n: 1 });
    expect(await log.next(0)).toEqual({ ...wanted, n: 1, committedAt: '2026-11-24T00:00:00.000Z' });
    expect(await log.next(1)).toBeUndefined();
    expect(await readdir(join(bucket.folder, 'serving'))).toEqual(['000000000001.json']);
  });

  it('refuses as moved where `was` is not the newest entry of the model, and gives that entry', async () => {
    await log.append(change());
    await log.append(change({ was: 1, serving: { champion: 2, shadows: [] } }));
    const refused = await log.append(change({ was: 1 }));
    expect(refused).toMatchObject({ ok: false, why: 'moved', head: { n: 2, serving: { champion: 2 } } });
    expect(await log.append(change({ was: 0 }))).toMatchObject({ ok: false, why: 'moved', head: { n: 2 } });
    await checkLog(bucket);
  });

  it('other models do not move a model', async () => {
    await log.append(change());
    await log.append(change({ model: 'fraud' }));
    expect(await log.append(change({ was: 1 }))).toEqual({ ok: true, n: 3 });
  });

  it('the same cause twice is one entry, also after other entries and from a cold log', async () => {
    const first = change();
    await log.append(first);
    expect(await log.append(first)).toEqual({ ok: true, n: 1 });
    expect(await log.append({ ...first, was: 1 })).toEqual({ ok: true, n: 1 });
    await log.append(change({ was: 1 }));
    await log.append(change({ was: 2 }));
    expect(await new ServingLog(bucket).append(first)).toEqual({ ok: true, n: 1 });
    expect(await checkLog(bucket)).toHaveLength(3);
  });

  it('throws where `was` names an entry of a model that has none', async () => {
    await expect(log.append(change({ was: 4 }))).rejects.toThrow('churn has no revision, so none can be 4');
  });

  it('of two at once with the same `was`, one is refused as moved', async () => {
    const logs = Array.from({ length: 8 }, () => new ServingLog(bucket));
    const results = await Promise.all(logs.map((each) => each.append(change())));
    expect(results.filter(({ ok }) => ok)).toHaveLength(1);
    expect(results.filter((result) => !result.ok && result.why === 'moved')).toHaveLength(7);
    await checkLog(bucket);
  });

  it('of eight at once with the same cause, all are told of the one entry', async () => {
    const wanted = change();
    const results = await Promise.all(Array.from({ length: 8 }, () => new ServingLog(bucket).append(wanted)));
    expect(results).toEqual(Array.from({ length: 8 }, () => ({ ok: true, n: 1 })));
    expect(await checkLog(bucket)).toHaveLength(1);
  });
});

describe('the holder', () => {
  beforeEach(() => log.append(change({ serving: held('rollout-churn/r1') })));

  it('may append, in any step, and clear itself', async () => {
    expect(await log.append(change({ was: 1, serving: held('rollout-churn/r1') }))).toMatchObject({ ok: true });
    expect(await log.append(change({ was: 2 }))).toMatchObject({ ok: true });
    expect(await log.append(change({ was: 3, cause: by('other') }))).toMatchObject({ ok: true });
  });

  it('keeps every other workflow and every other run out', async () => {
    for (const cause of [by('other'), by('rollout-churn', 'r2')])
      expect(await log.append(change({ was: 1, cause }))).toMatchObject({ ok: false, why: 'held', head: { n: 1 } });
    expect(await checkLog(bucket)).toHaveLength(1);
  });

  it('is taken over from by its name, and by no other name', async () => {
    const wanted = change({ was: 1, cause: by('rollout-churn', 'r2'), serving: held('rollout-churn/r2') });
    expect(await log.append({ ...wanted, takeFrom: 'rollout-churn/r0' })).toMatchObject({ ok: false, why: 'held' });
    expect(await log.append({ ...wanted, takeFrom: 'rollout-churn/r1' })).toEqual({ ok: true, n: 2 });
    expect(await log.append(change({ was: 2 }))).toMatchObject({ ok: false, why: 'held' });
  });

  it('does not stop force, which still needs the newest `was`', async () => {
    await log.append(change({ was: 1, serving: held('rollout-churn/r1') }));
    expect(await log.append(change({ was: 1, cause: by('cli'), force: true }))).toMatchObject({ why: 'moved' });
    expect(await log.append(change({ was: 2, cause: by('cli'), force: true }))).toEqual({ ok: true, n: 3 });
  });

  it('of one model does not hold another', async () => {
    expect(await log.append(change({ model: 'fraud', cause: by('other') }))).toMatchObject({ ok: true });
  });

  it('neither takeFrom nor force is written into the entry', async () => {
    await log.append(change({ was: 1, cause: by('cli'), force: true, takeFrom: 'rollout-churn/r1' }));
    const entry = await readFile(join(bucket.folder, 'serving', '000000000002.json'), 'utf8');
    expect(Object.keys(JSON.parse(entry) as object)).not.toContain('force');
    expect(Object.keys(JSON.parse(entry) as object)).not.toContain('takeFrom');
  });
});

describe('tables', () => {
  const model = (n: number): string => `model-${n % 5}`;
  /** Entries as other processes left them; the last of them by append, which is what writes tables. */
  const fill = async (from: number, to: number, appended: number): Promise<void> => {
    const entry = (n: number) => ({ ...change({ model: model(n), was: Math.max(0, n - 5) }), n });
    const encode = (n: number) =>
      new TextEncoder().encode(JSON.stringify({ ...entry(n), committedAt: '2026-11-24T00:00:00.000Z' }));
    for (let n = from; n <= to - appended; n++)
      await writeFile(join(bucket.folder, `serving/${padded(n)}.json`), encode(n));
    for (let n = to - appended + 1; n <= to; n++)
      expect(await log.append(change({ model: model(n), was: Math.max(0, n - 5) }))).toEqual({ ok: true, n });
  };
  beforeEach(() => mkdir(join(bucket.folder, 'serving')));
  const tableKeys = () => readdir(join(bucket.folder, 'serving-tables'));

  it('are written with every 256th entry, and a cold start reads only what follows the newest', async () => {
    await fill(1, 258, 5);
    await fill(259, 520, 10);
    expect(await tableKeys()).toEqual(['000000000256.json', '000000000512.json']);
    const reads: string[] = [];
    const counting: Bucket = {
      create: (key, body) => bucket.create(key, body),
      read: (key, range) => {
        reads.push(key);
        return bucket.read(key, range);
      },
      list: (prefix, after) => bucket.list(prefix, after),
      remove: (key) => bucket.remove(key),
    };
    const cold = await new ServingLog(counting).table();
    expect(cold).toEqual(await log.table());
    expect(cold.n).toBe(520);
    expect(reads).toEqual([
      'serving-tables/000000000512.json',
      ...[513, 514, 515, 516, 517, 518, 519, 520, 521].map((n) => `serving/000000000${n}.json`),
    ]);
    // A second look asks for the next entry and nothing else.
    const warm = new ServingLog(counting);
    await warm.table();
    reads.length = 0;
    await warm.table();
    expect(reads).toEqual(['serving/000000000521.json']);
    await checkLog(bucket);
  });

  it('that are missing or damaged only make the start longer', async () => {
    await fill(1, 258, 5);
    await fill(259, 513, 3);
    const state = await log.table();
    await writeFile(join(bucket.folder, 'serving-tables', '000000000512.json'), '{"n":');
    expect(await new ServingLog(bucket).table()).toEqual(state);
    for (const key of await tableKeys()) await bucket.remove(`serving-tables/${key}`);
    expect(await new ServingLog(bucket).table()).toEqual(state);
  });

  it('an empty log has an empty table', async () => {
    expect(await log.table()).toEqual({ n: 0, models: {} });
  });

  it('what a caller does to a table changes nothing in the log', async () => {
    await log.append(change());
    const table = await log.table();
    delete table.models.churn;
    expect((await log.table()).models.churn?.n).toBe(1);
  });
});

describe('what is damaged', () => {
  it('an entry that is no revision is named with its field', async () => {
    await log.append(change());
    await writeFile(
      join(bucket.folder, 'serving', '000000000001.json'),
      JSON.stringify({ ...(await log.next(0)), n: 'one' }),
    );
    await expect(new ServingLog(bucket).table()).rejects.toMatchObject({
      name: 'UserError',
      type: 'BrokenRecord',
      message: expect.stringContaining('serving/000000000001.json in the bucket cannot be read: n is "one"'),
    });
  });

  it('a gap is an error, never a state', async () => {
    await log.append(change());
    await log.append(change({ was: 1 }));
    await log.append(change({ was: 2 }));
    await bucket.remove('serving/000000000002.json');
    await expect(new ServingLog(bucket).table()).rejects.toThrow('serving entry 2 is missing');
  });
});

describe('many writers', () => {
  it('any mix of writers, models, repeats and holders leaves a sound log', async () => {
    const action = fc.record({
      writer: fc.integer({ min: 0, max: 3 }),
      model: fc.constantFrom('a1', 'b1'),
      hold: fc.boolean(),
      force: fc.boolean(),
      repeat: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 24 }), async (actions) => {
        const own = await DirectoryBucket.open(join(root, String(folders++)));
        const logs = Array.from({ length: 4 }, () => new ServingLog(own));
        const repeated: [Appended, Appended][] = [];
        const work = async (writer: number): Promise<void> => {
          for (const [i, { model, hold, force, repeat }] of actions.entries()) {
            if (actions[i]!.writer !== writer) continue;
            const before = await logs[writer]!.current(model);
            const cause = { workflowId: `writer-${writer}`, runId: 'r', step: String(i) };
            const serving = { champion: i + 1, shadows: [], ...(hold && { holder: `writer-${writer}/r` }) };
            const wanted = change({
              model,
              was: before?.n ?? 0,
              serving,
              cause,
              ...(force && { force: true as const }),
            });
            const first = await logs[writer]!.append(wanted);
            if (repeat && first.ok) repeated.push([first, await logs[writer]!.append(wanted)]);
          }
        };
        await Promise.all([0, 1, 2, 3].map(work));
        for (const [first, second] of repeated) expect(second).toEqual(first);
        const entries = await checkLog(own);
        const intruders = entries.filter((entry) => {
          const holder = entries[entry.was - 1]?.serving.holder;
          const { force } = actions[Number(entry.cause.step)]!;
          return holder !== undefined && !force && holder !== `${entry.cause.workflowId}/r`;
        });
        expect(intruders).toEqual([]);
      }),
      { numRuns: 30 },
    );
    expect.hasAssertions();
  });

  it('six processes that append 30 entries each to three models leave a sound log of 180', async () => {
    const children = Array.from({ length: 6 }, (_, i) =>
      startChild('append.ts', [bucket.folder, `process-${i}`, '30']),
    );
    const lines = children.map(linesOf);
    for (const next of lines) expect(await next()).toBe('ready');
    for (const child of children) child.stdin.write('go\n');
    const reports = (await Promise.all(lines.map((next) => next()))).map(
      (text) => JSON.parse(text) as { written: number[]; moved: number },
    );
    const entries = await checkLog(bucket);
    expect(entries).toHaveLength(180);
    expect(reports.flatMap(({ written }) => written).sort((a, b) => a - b)).toEqual(entries.map(({ n }) => n));
    // Else they took turns, and the test proved nothing.
    expect(reports.reduce((sum, { moved }) => sum + moved, 0)).toBeGreaterThan(0);
  }, 180_000);
});

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open as openFile, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import pino from 'pino';
import {
  DirectoryBucket,
  openPredictionLog,
  writeSegment,
  type Bucket,
  type PredictionLog,
} from '../../../bucket/index.ts';
import type { PredictionLogOptions } from '../../../bucket/prediction-log/prediction-log.ts';
import { UserError, type LogRecord, type NewLogRecord } from '../../../schemas/index.ts';
import { linesOf, outputOf, startChild } from '../children/start.ts';
import { loggedIn } from './logged.ts';
import { answer, idOf, label, range, shadow } from './records.ts';

let root: string;
let folder: string;
let home: string;
let bucket: DirectoryBucket;
let said: { level: number; msg: string }[];
let tests = 0;
const opened: PredictionLog[] = [];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gauntlet-prediction-log-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));
afterEach(async () => {
  await Promise.all(opened.splice(0).map((log) => log.close()));
});

const newPlace = async (): Promise<void> => {
  folder = join(root, `bucket-${++tests}`);
  home = join(root, `home-${tests}`);
  bucket = await DirectoryBucket.open(folder);
  said = [];
};
const open = async (o: Partial<PredictionLogOptions> = {}): Promise<PredictionLog> => {
  const log = pino({ base: undefined }, { write: (line: string) => void said.push(JSON.parse(line)) });
  const opening = await openPredictionLog({ bucket, home, log, ...o });
  opened.push(opening);
  return opening;
};
const spoolFiles = async (): Promise<string[]> =>
  (await readdir(join(home, 'spool'), { recursive: true })).filter((file) => /\.(open|ndjson)$/.test(file)).sort();
/** Ids of whole lines in the spool. What is moved on while they are read is in the bucket afterwards. */
const spooled = async (): Promise<string[]> => {
  for (;;)
    try {
      const texts = await Promise.all((await spoolFiles()).map((file) => readFile(join(home, 'spool', file), 'utf8')));
      const lines = texts.flatMap((text) => text.slice(0, text.lastIndexOf('\n') + 1).split('\n'));
      return lines.filter((line) => line.startsWith('{')).map((line) => idOf(JSON.parse(line) as LogRecord));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
};
const idsOf = (n: number, from = 0): string[] => range(n).map((i) => `r-${from + i}`);
const messages = (level: number): string[] => said.filter((line) => line.level >= level).map(({ msg }) => msg);

/** A bucket that fails while `down` says how. */
class Failing implements Bucket {
  down: (() => Promise<never>) | undefined = () => Promise.reject(new Error('the bucket is down'));
  readonly tried: string[] = [];
  readonly #inner: Bucket;
  constructor(inner: Bucket) {
    this.#inner = inner;
  }
  create(key: string, body: Uint8Array | { file: string }): Promise<boolean> {
    this.tried.push(key);
    return this.down?.() ?? this.#inner.create(key, body);
  }
  read(key: string): Promise<Uint8Array | undefined> {
    return this.down?.() ?? this.#inner.read(key);
  }
  list(prefix: string): AsyncIterable<{ key: string; bytes: number }> {
    return this.#inner.list(prefix);
  }
  remove(key: string): Promise<void> {
    return this.#inner.remove(key);
  }
}

describe('the prediction log', () => {
  it('has every record once in the bucket, in order, with who wrote it', async () => {
    await newPlace();
    const log = await open({ limits: { segmentMs: 100, segmentBytes: 20_000 } });
    expect(log.boot).toMatch(/^\d{13}-[0-9a-f]{8}$/);
    for (let i = 0; i < 1_000; i++) {
      expect(log.append(answer(i))).toBe('kept');
      if (i % 10 === 0) log.append(shadow(i));
      if (i % 100 === 0) await log.written();
    }
    expect(log.append(label(7))).toBe('kept');
    await log.flush();
    const { records, keys } = await loggedIn(bucket);
    expect(records.filter(({ kind }) => kind === 'answer').map((r) => (r as { requestId: string }).requestId)).toEqual(
      idsOf(1_000),
    );
    expect(records.filter(({ kind }) => kind === 'shadow')).toHaveLength(100);
    expect(records.at(-1)).toEqual({ ...label(7), boot: log.boot, seq: 1_100 });
    expect(records.map(({ seq }) => seq)).toEqual(range(1_101));
    // By their size: nothing else ended a segment so soon.
    expect(keys.length).toBeGreaterThan(10);
    expect(log.lag()).toEqual({ rows: 0, oldestMs: 0, shed: { shadow: 0, detail: 0, answer: 0 }, spoolBytes: 0 });
    expect(await spoolFiles()).toEqual([]);
  });

  it('takes a record in two parts as it takes a whole one', async () => {
    await newPlace();
    const log = await open();
    const { kind, v, model, project, revision, assigned, assignedVersion, version, reason, propensity, ...own } =
      answer(1);
    const alike = { kind, v, model, project, revision, assigned, assignedVersion, version, reason, propensity };
    const { kind: k, v: w, model: m, version: n, revision: r, ...ownShadow } = shadow(1);
    const alikeShadow = { kind: k, v: w, model: m, version: n, revision: r };
    log.append(answer(1));
    log.appendAnswer(own, alike);
    log.appendAnswer({ ...own, requestId: 'r-2' }, alike);
    log.appendAnswer(own, { ...alike, version: 7, reason: 'canary' });
    log.append(shadow(1));
    log.appendShadowScore(ownShadow, alikeShadow);
    await log.flush();
    const { records } = await loggedIn(bucket);
    const written = (record: NewLogRecord, seq: number) => ({ ...record, boot: log.boot, seq });
    expect(records).toEqual([
      written(answer(1), 0),
      written(answer(1), 1),
      written({ ...answer(1), requestId: 'r-2' }, 2),
      written({ ...answer(1), version: 7, reason: 'canary' }, 3),
      written(shadow(1), 4),
      written(shadow(1), 5),
    ]);
  });

  it('ends a segment before the line that makes it too large, whatever its letters', async () => {
    await newPlace();
    const log = await open({ limits: { segmentMs: 60_000, segmentBytes: 10_000 } });
    for (let i = 0; i < 40; i++) log.append(answer(i, (i % 2 === 0 ? '漢' : 'a').repeat(800)));
    await log.flush();
    const { records, keys } = await loggedIn(bucket);
    expect(records.map(({ seq }) => seq)).toEqual(range(40));
    const sizes = await Promise.all(keys.map(async (key) => gunzipSync((await bucket.read(key))!).length));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10_000);
  });

  it('uploads by itself, and nothing when there is nothing', async () => {
    await newPlace();
    const counting = new Failing(bucket);
    counting.down = undefined;
    const log = await open({ bucket: counting, limits: { segmentMs: 50 } });
    log.append(answer(0));
    expect(log.lag()).toMatchObject({ rows: 1 });
    await vi.waitFor(() => expect(log.lag().rows).toBe(0), 10_000);
    expect((await loggedIn(bucket)).ids).toEqual(['r-0']);
    await log.flush();
    await log.flush();
    expect(counting.tried).toHaveLength(1);
  });

  it('every life has a boot of its own', async () => {
    await newPlace();
    const now = () => 1_795_514_400_000;
    const [a, b] = [await open({ now }), await open({ now })];
    expect(a.boot).not.toBe(b.boot);
    for (const log of [a, b]) {
      log.append(answer(log.boot));
      await log.flush();
    }
    const { records, keys } = await loggedIn(bucket);
    expect(records.map(({ boot }) => boot).sort()).toEqual([a.boot, b.boot].sort());
    expect(keys.every((key) => key.startsWith('log/raw/2026-11-24/10/1795514400000-'))).toBe(true);
  });

  it('has written() records on the disk, where they are found as they are', async () => {
    await newPlace();
    const log = await open();
    for (const i of range(100)) log.append(answer(i, 'ü "quoted"\n\u2028'));
    await log.written();
    const [file] = await spoolFiles();
    const lines = (await readFile(join(home, 'spool', file!), 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(
      range(100).map((i) => ({ ...answer(i, 'ü "quoted"\n\u2028'), boot: log.boot, seq: i })),
    );
    await log.written();
  });

  it('a clean stop leaves nothing behind; after it nothing is taken, and labels are not acknowledged', async () => {
    await newPlace();
    const log = await open();
    for (const i of range(50)) log.append(answer(i));
    await Promise.all([log.close(), log.close(), log.flush()]);
    await log.close();
    expect((await loggedIn(bucket)).ids).toEqual(idsOf(50));
    expect(await readdir(join(home, 'spool'))).toEqual([]);
    expect(log.append(answer(50))).toBe('shed');
    await log.written();
    expect(log.append(label(50))).toBe('shed');
    await expect(log.written()).rejects.toMatchObject({ type: 'LogClosed' });
    expect((await loggedIn(bucket)).ids).toHaveLength(50);
  });

  it('a home that cannot hold a spool is told', async () => {
    await newPlace();
    await writeFile(home, 'a file');
    await expect(open()).rejects.toMatchObject({
      name: 'UserError',
      type: 'NoSpool',
      message: expect.stringContaining(`The prediction log cannot be kept in ${join(home, 'spool')}`),
    });
  });

  it.each(['0', '-1', '1.5', 'much'])('refuses GAUNTLET_SPOOL_MB=%s', async (text) => {
    await newPlace();
    vi.stubEnv('GAUNTLET_SPOOL_MB', text);
    try {
      await expect(open()).rejects.toBeInstanceOf(UserError);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('a bucket that fails', () => {
  it.each(['says so', 'does not answer'])(
    'fills the spool, and has everything once when it is back (%s)',
    async (how) => {
      await newPlace();
      const failing = new Failing(bucket);
      const limits = { segmentMs: 30, retryMs: 10, longestRetryMs: 80, segmentBytes: 50_000, attemptMs: 60_000 };
      if (how === 'does not answer') {
        failing.down = () => new Promise<never>(() => {});
        limits.attemptMs = 300;
      }
      const log = await open({ bucket: failing, limits });
      let n = 0;
      const downUntil = performance.now() + 1_000;
      while (performance.now() < downUntil) {
        for (let k = 0; k < 50; k++) log.append(answer(n++));
        await log.written();
      }
      const { rows, spoolBytes, failing: why, oldestMs, shed } = log.lag();
      expect({ rows, shed }).toEqual({ rows: n, shed: { shadow: 0, detail: 0, answer: 0 } });
      expect(spoolBytes).toBeGreaterThan(n * 300);
      expect(oldestMs).toBeGreaterThan(900);
      expect(why).toBe(how === 'says so' ? 'the bucket is down' : 'the bucket did not answer within 300 ms');
      expect((await loggedIn(bucket)).ids).toEqual([]);
      failing.down = undefined;
      await vi.waitFor(() => expect(log.lag().rows).toBe(0), 20_000);
      const { ids } = await loggedIn(bucket);
      expect(ids.sort()).toEqual(idsOf(n).sort());
      await vi.waitFor(() => expect(log.lag().failing).toBeUndefined());
      // Where it did not answer, a slow machine may say so twice.
      expect(messages(30).slice(0, how === 'says so' ? undefined : 2)).toEqual([
        'the prediction log does not reach the bucket; it goes on trying',
        'the prediction log reaches the bucket again',
      ]);
    },
  );

  it('keeps a segment under its name for 5 minutes, and then gives it another', async () => {
    await newPlace();
    let now = Date.parse('2026-11-24T10:58:00Z');
    const failing = new Failing(bucket);
    const log = await open({ bucket: failing, now: () => now, limits: { retryMs: 5, longestRetryMs: 5 } });
    log.append(answer(0));
    const flushed = log.flush();
    const triedAgain = async (): Promise<string> => {
      const before = failing.tried.length;
      await vi.waitFor(() => expect(failing.tried.length).toBeGreaterThan(before + 2), 10_000);
      return failing.tried.at(-1)!;
    };
    const first = await triedAgain();
    expect(first).toBe(`log/raw/2026-11-24/10/${now}-${log.boot}-0.ndjson.gz`);
    now += 5 * 60_000;
    expect(await triedAgain()).toBe(first);
    now += 1;
    const second = `log/raw/2026-11-24/11/${now}-${log.boot}-0.ndjson.gz`;
    expect(await triedAgain()).toBe(second);
    expect(await spoolFiles()).toEqual([`${log.boot}/${now}-${log.boot}-0.ndjson`]);
    failing.down = undefined;
    await flushed;
    expect((await loggedIn(bucket)).keys).toEqual([second]);
  });

  it('has the other segments when the file of one is gone, which is said', async () => {
    await newPlace();
    const failing = new Failing(bucket);
    const log = await open({ bucket: failing, limits: { segmentMs: 20, retryMs: 5, longestRetryMs: 5 } });
    log.append(answer(0));
    await vi.waitFor(async () => expect(await spoolFiles()).toEqual([expect.stringMatching(/\.ndjson$/)]), 10_000);
    const [lost] = await spoolFiles();
    log.append(answer(1));
    await vi.waitFor(async () => expect(await spoolFiles()).toHaveLength(2), 10_000);
    await rm(join(home, 'spool', lost!));
    failing.down = undefined;
    await log.flush();
    expect((await loggedIn(bucket)).ids).toEqual(['r-1']);
    expect(messages(50)).toEqual(['a segment of the spool is gone']);
    expect(log.lag()).toMatchObject({ rows: 0, spoolBytes: 0 });
  });

  it('that took a segment and did not say so has it once', async () => {
    await newPlace();
    const failing = new Failing(bucket);
    let lost = 0;
    const create = failing.create.bind(failing);
    failing.down = undefined;
    failing.create = async (key, body) => {
      await create(key, body);
      if (lost++ < 3) throw new Error('the answer was lost');
      return create(key, body);
    };
    const log = await open({ bucket: failing, limits: { retryMs: 5 } });
    for (const i of range(20)) log.append(answer(i));
    await log.flush();
    expect((await loggedIn(bucket)).ids).toEqual(idsOf(20));
    expect(new Set(failing.tried).size).toBe(1);
  });

  it('is waited for no longer than close() may take; the next life goes on with the same name', async () => {
    await newPlace();
    const failing = new Failing(bucket);
    const log = await open({ bucket: failing, limits: { closeMs: 200, retryMs: 20 } });
    for (const i of range(20)) log.append(answer(i));
    const flushed = log.flush();
    await Promise.all([log.close(), expect(flushed).rejects.toMatchObject({ type: 'LogClosed' })]);
    expect(messages(40)).toContain('the rest of the prediction log stays in the spool until the next start');
    const next = await open();
    await next.flush();
    const { ids, keys, records } = await loggedIn(bucket);
    expect(ids).toEqual(idsOf(20));
    expect(keys).toEqual([failing.tried[0]]);
    expect(records[0]!.boot).toBe(log.boot);
    await next.close();
    expect(await readdir(join(home, 'spool'))).toEqual([]);
  });
});

describe('lives that ended', () => {
  const dead = '1700000000000-0123abcd';
  const spoolOf = (name: string): string => join(home, 'spool', name);
  const lineOf = (i: number): string => `${JSON.stringify({ ...answer(i), boot: dead, seq: i })}\n`;
  const leave = async (name: string, owner?: object): Promise<void> => {
    await mkdir(spoolOf(name), { recursive: true });
    if (owner) await writeFile(join(spoolOf(name), 'owner.json'), JSON.stringify(owner));
    await writeFile(join(spoolOf(name), `1700000001000-${dead}-0.ndjson`), lineOf(0) + lineOf(1));
    await writeFile(join(spoolOf(name), `${dead}-1.open`), lineOf(2) + lineOf(3) + lineOf(4).slice(0, 100));
    await writeFile(join(spoolOf(name), `${dead}-2.open`), lineOf(5).slice(0, 10));
    await writeFile(join(spoolOf(name), `${dead}-3.open`), '');
  };
  // Its folder, and one that was taken over by a life which ended in its turn.
  it.each([dead, `${dead}~1700000005000-99999999`])(
    'leave whole lines, which come into the bucket (%s)',
    async (name) => {
      await newPlace();
      await leave(name, { place: 'here', pid: process.pid, born: 'before' });
      await rm(join(spoolOf(name), 'owner.json'));
      const log = await open();
      await log.flush();
      const { ids } = await loggedIn(bucket);
      expect(ids.sort()).toEqual(idsOf(4));
      expect(said).toContainEqual(
        expect.objectContaining({ rows: 4, torn: 2, msg: 'took over the log of a process that ended' }),
      );
      expect(await readdir(spoolOf(''))).toEqual([log.boot]);
    },
  );

  it('are told from living ones: by the process where it can be seen, else by signs of life', async () => {
    await newPlace();
    const living = await open({ limits: { segmentMs: 60_000 } });
    living.append(answer('mine'));
    await living.written();
    const mark = JSON.parse(await readFile(join(spoolOf(living.boot), 'owner.json'), 'utf8')) as object;
    // Another process with that id lives now.
    await leave(dead, { ...mark, born: '12345' });
    // Of another container: it was there a moment ago.
    const elsewhere = '1700000000000-eeeeeeee';
    await leave(elsewhere, { ...mark, place: 'elsewhere' });
    const log = await open();
    await log.flush();
    expect((await loggedIn(bucket)).ids.sort()).toEqual(idsOf(4));
    expect((await readdir(spoolOf(''))).sort()).toEqual([elsewhere, living.boot, log.boot].sort());
    await log.close();
    const longAgo = new Date(Date.now() - 10 * 60_000);
    await utimes(join(spoolOf(elsewhere), 'owner.json'), longAgo, longAgo);
    await (await open()).close();
    expect(await readdir(spoolOf(''))).toEqual([living.boot]);
  });

  it('are taken over once, by one of many that start', async () => {
    await newPlace();
    for (const i of range(20)) {
      const boot = `17000000000${String(i).padStart(2, '0')}-0123abcd`;
      await mkdir(spoolOf(boot), { recursive: true });
      await writeFile(join(spoolOf(boot), `${boot}-0.open`), `${JSON.stringify({ ...answer(i), boot, seq: 0 })}\n`);
    }
    const logs = await Promise.all(range(8).map(() => open()));
    await Promise.all(logs.map((log) => log.flush()));
    expect((await loggedIn(bucket)).ids.sort()).toEqual(idsOf(20).sort());
  });

  it('kill -9 loses no record that is older than 50 ms, and doubles none: ten times, 2,000 records a second', async () => {
    await newPlace();
    // One of them lives all along, in the same home.
    const witness = startChild('append-to-log.ts', [folder, home, 'witness', '100', '300']);
    const killed: string[] = [];
    const boots: string[] = [await linesOf(witness)()];
    let random = 11;
    try {
      for (const round of range(10)) {
        const name = `round${round}`;
        const child = startChild('append-to-log.ts', [folder, home, name, '2000', '300']);
        try {
          boots.push(await linesOf(child)());
          random = (random * 48_271) % 2_147_483_647;
          const aliveMs = 200 + (random % 1_000);
          await new Promise((done) => setTimeout(done, aliveMs));
        } finally {
          child.kill('SIGKILL');
          await once(child, 'exit');
        }
        killed.push(name);
      }
      // Of the witness nothing was taken away.
      expect(await readdir(join(home, 'spool'))).toContain(boots[0]);
      witness.stdin.end();
      expect((await once(witness, 'exit'))[0]).toBe(0);
    } finally {
      witness.kill('SIGKILL');
    }
    const last = await open();
    await last.flush();
    const { ids, records } = await loggedIn(bucket);
    expect(new Set(boots).size).toBe(11);
    expect(new Set(ids).size).toBe(ids.length);
    const there = new Set(ids);
    const journalOf = async (name: string) =>
      (await readFile(`${home}-${name}.journal`, 'utf8'))
        .trimEnd()
        .split('\n')
        .map((line) => line.split(' ') as [string, string])
        .map(([id, ms]) => ({ id, ms: Number(ms) }));
    for (const name of killed) {
      const journal = await journalOf(name);
      expect(journal.length).toBeGreaterThan(300);
      const lastSignMs = journal.at(-1)!.ms;
      const lost = journal.filter(({ id }) => !there.has(id));
      const oldest = lost.length === 0 ? 0 : lastSignMs - lost[0]!.ms;
      expect(oldest, `${name}: of ${journal.length} records ${lost.length} are lost`).toBeLessThanOrEqual(50);
    }
    // Gapless, but for what was lost at the end.
    for (const boot of boots) {
      const seqs = records.filter((record) => record.boot === boot).map(({ seq }) => seq);
      expect(seqs.sort((a, b) => a - b)).toEqual(range(seqs.length));
    }
    const witnessed = await journalOf('witness');
    expect(witnessed.filter(({ id }) => !there.has(id))).toEqual([]);
    expect(await readdir(join(home, 'spool'))).toEqual([last.boot]);
  }, 120_000);
});

describe('pressure', () => {
  /** Fills the spool to this share of 1 MB, while the bucket is down. */
  const filled = async (): Promise<{
    log: PredictionLog;
    failing: Failing;
    fillTo: (share: number) => Promise<void>;
  }> => {
    await newPlace();
    const failing = new Failing(bucket);
    const log = await open({ bucket: failing, spoolMb: 1, limits: { retryMs: 10, longestRetryMs: 10, closeMs: 50 } });
    let n = 0;
    const fillTo = async (share: number): Promise<void> => {
      while (log.lag().spoolBytes < share * 1024 * 1024) {
        log.append({ ...label(`fill-${n++}`), source: 'x'.repeat(5_000) } as never);
        await log.written();
      }
    };
    return { log, failing, fillTo };
  };

  it('sheds shadow scores, then detail, then answers; labels never; and says so', async () => {
    const { log, failing, fillTo } = await filled();
    const append = (i: number) => [log.append(shadow(i)), log.append(answer(i)), log.append(label(i))];
    expect(append(0)).toEqual(['kept', 'kept', 'kept']);
    await fillTo(0.5);
    expect(append(1)).toEqual(['shed', 'kept', 'kept']);
    expect(log.lag().shed).toEqual({ shadow: 1, detail: 0, answer: 0 });
    await fillTo(0.75);
    expect(append(2)).toEqual(['shed', 'kept', 'kept']);
    expect(log.lag().shed).toEqual({ shadow: 2, detail: 1, answer: 0 });
    await fillTo(1);
    expect(append(3)).toEqual(['shed', 'shed', 'kept']);
    await log.written();
    expect(log.lag().shed).toEqual({ shadow: 3, detail: 1, answer: 1 });
    failing.down = undefined;
    await log.flush();
    expect(append(4)).toEqual(['kept', 'kept', 'kept']);
    await log.flush();
    const { records } = await loggedIn(bucket);
    const answers = records.filter((record) => record.kind === 'answer');
    expect(answers.map(({ requestId }) => requestId)).toEqual(idsOf(3).concat('r-4'));
    expect(answers.map(({ inputs }) => inputs !== undefined)).toEqual([true, true, false, true]);
    expect(records.filter(({ kind }) => kind === 'shadow')).toHaveLength(2);
    const labels = records.filter((record) => record.kind === 'label' && record.source === undefined);
    expect(labels).toHaveLength(5);
    const about = said.filter(({ msg }) => msg.includes('lets records go') || msg.includes('keeps everything again'));
    expect(about).toMatchObject([
      { level: 40, shedding: 'shadow scores' },
      { level: 50, shedding: 'whole answers' },
      { level: 30, shed: { shadow: 3, detail: 1, answer: 1 } },
    ]);
  });

  it('while the disk refuses, what is in memory goes straight to the bucket, without detail', async () => {
    await newPlace();
    const log = await open({ limits: { segmentMs: 50, diskRetryMs: 50 } });
    log.append(answer(0));
    await log.written();
    // A file in the place of the spool refuses every write, whoever runs the test.
    await log.flush();
    await rm(join(home, 'spool'), { recursive: true });
    await writeFile(join(home, 'spool'), '');
    log.append(answer(1));
    await expect(log.written()).rejects.toMatchObject({ name: 'UserError', type: 'LogNotWritten' });
    expect(log.lag().failing).toMatch(/^the disk takes nothing/);
    expect(log.append(answer(2))).toBe('kept');
    expect(log.append(shadow(2))).toBe('shed');
    expect(log.append(label(2))).toBe('kept');
    await vi.waitFor(() => expect(log.lag().rows).toBe(0), 10_000);
    // In the bucket is better than on the disk.
    await log.written();
    await rm(join(home, 'spool'));
    await vi.waitFor(() => expect(log.lag().failing).toBeUndefined(), 10_000);
    log.append(answer(3));
    await log.written();
    expect(await spoolFiles()).toHaveLength(1);
    await log.flush();
    const { records, ids } = await loggedIn(bucket);
    expect(ids.sort()).toEqual(['l-2', ...idsOf(4)].sort());
    const without = records.filter((record) => record.kind === 'answer' && record.inputs === undefined);
    expect(without.map((record) => (record as { requestId: string }).requestId)).toEqual(['r-2']);
    expect(log.lag().shed).toEqual({ shadow: 1, detail: 1, answer: 0 });
    expect(messages(30)).toEqual(['the prediction log lets records go', 'the prediction log keeps everything again']);
  });

  it('a disk that does not sync is not believed afterwards: nothing is lost, and nothing acknowledged', async () => {
    await newPlace();
    const log = await open({ limits: { segmentMs: 60_000, diskRetryMs: 50 } });
    for (const i of range(10)) log.append(answer(i));
    await log.written();
    const handle = await openFile(join(root, 'any'), 'w');
    const sync = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'datasync');
    await handle.close();
    sync.mockRejectedValue(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }));
    try {
      for (const i of range(10)) log.append(answer(10 + i));
      log.append(label(1));
      await expect(log.written()).rejects.toThrow('the disk takes nothing (EIO: i/o error, fdatasync)');
      await log.flush();
      expect((await loggedIn(bucket)).ids).toEqual([...idsOf(20), 'l-1']);
    } finally {
      sync.mockRestore();
    }
    await vi.waitFor(() => expect(log.lag().failing).toBeUndefined(), 10_000);
    log.append(label(2));
    await log.written();
    expect(await spoolFiles()).toHaveLength(1);
    await log.close();
    expect((await loggedIn(bucket)).ids).toEqual([...idsOf(20), 'l-1', 'l-2']);
    expect(await readdir(join(home, 'spool'))).toEqual([]);
  });

  it.each([1, 2, 3])(
    'a disk that takes halves and forgets what it did not sync, and a bucket that fails: all is there once, what was acknowledged at once (seed %i)',
    async (seed) => {
      await newPlace();
      let state = seed;
      const chance = (share: number): boolean => (state = (state * 48_271) % 2_147_483_647) < share * 2_147_483_647;
      const failing = new Failing(bucket);
      failing.down = undefined;
      const create = failing.create.bind(failing);
      failing.create = (key, body) => (chance(0.3) ? Promise.reject(new Error('503')) : create(key, body));
      const handle = await openFile(join(root, `faults-${seed}`), 'w');
      type Handle = typeof handle;
      const proto = Object.getPrototypeOf(handle) as Handle;
      await handle.close();
      const { write, datasync } = proto;
      const synced = new WeakMap<Handle, number>();
      let share = 0;
      const faults = { write: 0, sync: 0 };
      const broken = (code: string) => Object.assign(new Error(code), { code });
      proto.write = async function (this: Handle, ...args: [Buffer, number, number, number]) {
        if (!chance(share)) return write.apply(this, args as never);
        faults.write++;
        await write.apply(this, [args[0], args[1], args[2] >> 1, args[3]] as never);
        throw broken('ENOSPC');
      } as never;
      proto.datasync = async function (this: Handle) {
        if (chance(share)) {
          faults.sync++;
          await this.truncate(synced.get(this) ?? 0);
          throw broken('EIO');
        }
        const { size } = await this.stat();
        await datasync.call(this);
        synced.set(this, size);
      };
      const limits = { segmentMs: 40, segmentBytes: 4_000, diskRetryMs: 20, retryMs: 5, longestRetryMs: 20 };
      const log = await open({ bucket: failing, limits });
      const kept: string[] = [];
      let acknowledged = 0;
      let refused = 0;
      try {
        for (let step = 0; step < 150; step++) {
          share = step % 50 < 30 ? 0.3 : 0;
          if (log.append(answer(step)) === 'kept') kept.push(`r-${step}`);
          if (chance(0.5) && log.append(label(step)) === 'kept') kept.push(`l-${step}`);
          if (chance(0.3)) await new Promise((done) => setTimeout(done, 5));
          if (!chance(0.2)) continue;
          const sofar = [...kept];
          // Some wait while others ask.
          const asked = [log.written(), log.written()];
          const [first] = await Promise.allSettled(asked);
          if (first!.status === 'rejected') {
            refused++;
            continue;
          }
          acknowledged++;
          const there = new Set([...(await spooled()), ...(await loggedIn(bucket)).ids]);
          expect(sofar.filter((id) => !there.has(id))).toEqual([]);
        }
      } finally {
        proto.write = write;
        proto.datasync = datasync;
      }
      await log.flush();
      expect((await loggedIn(bucket)).ids.sort()).toEqual(kept.sort());
      expect(log.lag()).toMatchObject({ rows: 0, spoolBytes: 0 });
      expect(Math.min(acknowledged, refused, faults.write, faults.sync)).toBeGreaterThan(0);
    },
  );

  it('with disk and bucket down, memory holds up to its bound, labels up to twice that, and all is saved when the disk is back', async () => {
    await newPlace();
    const failing = new Failing(bucket);
    const limits = {
      segmentMs: 50,
      diskRetryMs: 50,
      retryMs: 10,
      longestRetryMs: 10,
      memoryBytes: 20_000,
      closeMs: 50,
    };
    const log = await open({ bucket: failing, limits });
    await rm(join(home, 'spool'), { recursive: true });
    await writeFile(join(home, 'spool'), '');
    let kept = 0;
    while (log.append(answer(kept)) === 'kept') kept++;
    expect(kept).toBeGreaterThan(20);
    let labels = 0;
    while (log.append(label(labels)) === 'kept' && labels < 10_000) labels++;
    expect(labels).toBeGreaterThan(50);
    expect(labels).toBeLessThan(1_000);
    await expect(log.written()).rejects.toMatchObject({ type: 'LogNotWritten' });
    await vi.waitFor(() => expect(failing.tried.length).toBeGreaterThan(0), 10_000);
    expect(log.lag()).toMatchObject({ rows: kept + labels, spoolBytes: 0, shed: { answer: 1 } });
    await rm(join(home, 'spool'));
    await log.written();
    expect(log.lag().spoolBytes).toBeGreaterThan(20_000);
    await log.close();
    const next = await open();
    await next.flush();
    expect((await loggedIn(bucket)).ids.sort()).toEqual([...range(labels).map((i) => `l-${i}`), ...idsOf(kept)].sort());
  });
});

describe('a disk that is full, for a real process', () => {
  const run = async (before: string[], filled: boolean) => {
    const child = startChild('log-to-full-disk.ts', [folder, home, ...(filled ? ['filled'] : [])], before);
    const report = JSON.parse(await outputOf(child)) as {
      refusals: string[];
      failing: string;
      shed: { shadow: number; detail: number; answer: number };
      said: { level: number; msg: string }[];
    };
    const { records, ids } = await loggedIn(bucket);
    const answers = range(10).flatMap((round) => range(200).map((i) => `r-${round}-${i}`));
    const labels = [...range(10), 'last'].map((id) => `l-${id}`);
    const { shed } = report;
    // Nothing is lost but detail, and what is lost was counted.
    expect(ids.filter((id, i) => records[i]!.kind !== 'shadow').sort()).toEqual(
      [...answers, ...labels, 'r-last'].sort(),
    );
    expect(shed.answer).toBe(0);
    expect(shed.shadow).toBeGreaterThan(1_000);
    expect(records.filter(({ kind }) => kind === 'shadow')).toHaveLength(2_000 - shed.shadow);
    expect(shed.detail).toBeGreaterThan(1_000);
    expect(records.filter((record) => record.kind === 'answer' && record.inputs === undefined)).toHaveLength(
      shed.detail,
    );
    expect(report.refusals.length).toBeGreaterThan(0);
    expect(report.refusals[0]).toContain(`The prediction log cannot be written to ${join(home, 'spool')}`);
    return report;
  };

  it.runIf(process.platform === 'linux')(
    'a limit on file sizes sheds detail and refuses labels; a small one is taken',
    async () => {
      await newPlace();
      const { failing, said } = await run(['bash', '-c', 'ulimit -f 40; exec "$@"', 'bash'], false);
      expect(failing).toMatch(/^the disk takes nothing \(EFBIG/);
      expect(said.filter(({ level }) => level >= 40).map(({ msg }) => msg)).toEqual([
        'the prediction log lets records go',
      ]);
    },
  );

  // A disk of one megabyte needs a mount, which not every machine lets a test make.
  const mount = 'mount -t tmpfs -o size=1m none "$0"';
  const mayMount =
    process.platform === 'linux' &&
    spawnSync('unshare', ['-rm', 'bash', '-c', mount, tmpdir()], { stdio: 'ignore' }).status === 0;
  it.skipIf(!mayMount)('a full disk does so until there is room', async () => {
    await newPlace();
    await mkdir(home);
    const { failing, said } = await run(['unshare', '-rm', 'bash', '-c', `${mount} && exec "$@"`, home], true);
    expect(failing).toMatch(/^the disk takes nothing \(ENOSPC/);
    expect(said.map(({ msg }) => msg)).toEqual([
      'the prediction log lets records go',
      'the prediction log keeps everything again',
    ]);
  });
});

describe('writeSegment', () => {
  const o = { boot: 'import-7', now: Date.parse('2026-11-24T10:00:00Z'), seqFrom: 40 };

  it('is the same key with the same bytes when it is repeated', async () => {
    await newPlace();
    const records = range(10).map(label);
    const key = await writeSegment(bucket, records, o);
    const { mtimeMs } = await stat(bucket.path(key));
    expect(await writeSegment(bucket, records, o)).toBe(key);
    expect((await stat(bucket.path(key))).mtimeMs).toBe(mtimeMs);
    const logged = await loggedIn(bucket);
    expect(logged.keys).toEqual(['log/raw/2026-11-24/10/1795514400000-import-7-40.ndjson.gz']);
    expect(logged.records).toEqual(records.map((record, i) => ({ ...record, boot: 'import-7', seq: 40 + i })));
  });

  it('says where other records are under that key', async () => {
    await newPlace();
    await writeSegment(bucket, [label(1)], o);
    await expect(writeSegment(bucket, [label(2)], o)).rejects.toMatchObject({ type: 'SegmentTaken' });
  });

  it('takes the same lines that another release of Node packed otherwise', async () => {
    await newPlace();
    const key = await writeSegment(bucket, [label(1)], o);
    const other = join(root, 'packed-otherwise');
    const packed = gzipSync(gunzipSync((await bucket.read(key))!), { level: 9, memLevel: 1 });
    const elsewhere = await DirectoryBucket.open(other);
    await elsewhere.create(key, packed);
    expect(await writeSegment(elsewhere, [label(1)], o)).toBe(key);
  });
});

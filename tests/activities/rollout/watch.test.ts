import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CancelledFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Context } from '../../../activities/context.ts';
import { AnswerFeed } from '../../../activities/rollout/answer-feed.ts';
import { createWatch, type WatchOptions, type WatchProgress } from '../../../activities/rollout/watch.ts';
import { Stages, type Answer, type CanaryEvidence, type OpenRollout, type Watched } from '../../../schemas/index.ts';
import { answer, shadow } from '../../sql/log-records.ts';
import { keepHouse, openLog, over, upload } from '../housekeeping/log-bucket.ts';

const MINUTE_MS = 60_000;
/** The stage has run for 20 minutes. */
const NOW = Date.parse('2026-11-24T09:50:00.000Z');
const SINCE = NOW - 20 * MINUTE_MS;
const iso = (ms: number): string => new Date(ms).toISOString();

let folder: string;
let context: Context;
let nowMs: number;
let runs = 0;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-watch-'));
  context = await openLog(folder);
  nowMs = NOW;
  records = 0;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const rolloutOf = (stages: object[], more: Partial<OpenRollout> = {}): OpenRollout => ({
  model: 'churn',
  version: 2,
  champion: 1,
  stages: Stages.parse(stages),
  project: { n: 1, hash: 'a'.repeat(64) },
  workflowId: 'rollout-churn',
  runId: `run-${++runs}`,
  by: 'ana',
  allowUnverified: false,
  was: 1,
  ...more,
});
const quick = { lookEvery: '0.02 seconds', minRequests: 20 };
const canaryStage = { kind: 'canary', weight: 0.25, ...quick };

/** The revision that the stage begins with, in the serving log. */
async function held(rollout: OpenRollout): Promise<number> {
  const head = await context.stores.serving.current(rollout.model);
  const appended = await context.stores.serving.append({
    model: rollout.model,
    was: head?.n ?? 0,
    serving: { champion: 1, shadows: [], holder: `${rollout.workflowId}/${rollout.runId}` },
    by: 'test',
    because: 'a test says so',
    cause: { workflowId: rollout.workflowId, runId: rollout.runId, step: 'route' },
  });
  if (!appended.ok) throw new Error(appended.why);
  return appended.n;
}

let records = 0;
/** Answers of the stage, three seconds apart, so that 400 are its 20 minutes: one in four by the canary, which fails where `fails` says so. */
const answers = (n: number, revision: number, fails: (i: number) => boolean = () => false, from = 0): Answer[] =>
  Array.from({ length: n }, (_, i) => {
    const common = { revision, answeredMs: SINCE + 3000 * (from + i), seq: records++ };
    const id = `r${from + i}`;
    if (i % 4 > 0) return answer(id, { ...common, propensity: 0.75 });
    const canary = { ...common, assigned: 'canary' as const, assignedVersion: 2, propensity: 0.25 };
    if (!fails(i)) return answer(id, { ...canary, reason: 'canary', version: 2 });
    return answer(id, { ...canary, reason: 'canary-failed', failed: { version: 2, why: 'threw', detail: 'x' } });
  });

/** One run of the activity, and what it said with its heartbeats. */
function watching(
  rollout: OpenRollout,
  o: Partial<WatchOptions> & { revision: number },
  { scheduledMs = NOW, lookLimitMs }: { scheduledMs?: number; lookLimitMs?: number } = {},
) {
  const env = new MockActivityEnvironment({ scheduledTimestampMs: scheduledMs });
  const lines: WatchProgress[] = [];
  env.on('heartbeat', (progress: WatchProgress) => lines.push(progress));
  const { watch } = createWatch(context, { clock: () => nowMs, ...(lookLimitMs !== undefined && { lookLimitMs }) });
  const options = { now: iso(NOW), since: iso(SINCE), ...o };
  return { env, lines, ended: env.run(async (): Promise<Watched> => watch(rollout, 0, options)) };
}
const looksOf = async () => (await context.stores.looks.list('churn')).reverse().map(({ look }) => look);
const bucket = () => context.stores.bucket;

describe('watch', () => {
  it('passes a canary that was watched long enough, by enough units, and did no harm', async () => {
    const rollout = rolloutOf([canaryStage]);
    const revision = await held(rollout);
    await upload(bucket(), SINCE + MINUTE_MS, [...answers(400, revision), shadow('r1')]);
    const watched = await watching(rollout, { revision }).ended;
    expect(watched).toMatchObject({ ref: { kind: 'canary', verdict: { says: 'pass' } } });
    expect(watched.over).toBeUndefined();
    const looks = await looksOf();
    expect(looks).toHaveLength(1);
    expect(looks[0]).toMatchObject({
      at: iso(NOW),
      versions: [1, 2],
      rollout: { workflowId: 'rollout-churn', stage: 0 },
      window: { from: iso(SINCE), to: iso(NOW) },
      plan: { kind: 'canary', alpha: 0.05, champion: 1, challenger: 2 },
      revision,
      evidence: { watchedMs: 20 * MINUTE_MS, canary: { units: 100, failures: 0 }, champion: { units: 300 } },
    });
    expect(await context.stores.looks.read(watched.ref!.key)).toEqual(looks[0]);
  });

  it('fails a canary as soon as five answers in a row have failed, and its alpha is its share of all canary stages', async () => {
    const rollout = rolloutOf([canaryStage, { ...canaryStage, weight: 0.5 }]);
    const revision = await held(rollout);
    const { ended, lines } = watching(rollout, { revision });
    await expect.poll(() => lines.length).toBeGreaterThan(0);
    nowMs++;
    await upload(
      bucket(),
      nowMs,
      answers(48, revision, (i) => i > 32),
      'b1',
      0,
    );
    await expect.poll(() => lines.at(-1)!.failures).toBe(3);
    nowMs++;
    await upload(
      bucket(),
      nowMs,
      answers(8, revision, () => true, 48),
      'b1',
      1,
    );
    expect(await ended).toMatchObject({ ref: { verdict: { says: 'fail', limitedBy: 'errors.inARow' } } });
    const looks = await looksOf();
    expect(looks.map(({ verdict }) => verdict.says)).toEqual(['no-data', 'undecided', 'fail']);
    expect(looks.map(({ previous }) => previous !== undefined)).toEqual([false, true, true]);
    expect(looks.at(-1)!.plan).toMatchObject({ alpha: 0.025 });
    expect(lines.at(-1)).toMatchObject({
      units: 12,
      failures: 3,
      line: expect.stringMatching(/^undecided: /) as string,
    });
  });

  it('reads what other replicas upload late under earlier names, and each segment once', async () => {
    const rollout = rolloutOf([{ ...canaryStage, minRequests: 60 }]);
    const revision = await held(rollout);
    await upload(
      bucket(),
      nowMs,
      answers(200, revision, () => false, 200),
    );
    const { ended, lines } = watching(rollout, { revision });
    await expect.poll(() => lines.at(-1)?.units).toBe(50);
    nowMs += MINUTE_MS;
    await upload(
      bucket(),
      nowMs - 5 * MINUTE_MS,
      answers(40, revision, () => false, 400),
      'b2',
    );
    expect((await ended).ref!.verdict.says).toBe('pass');
    expect((await looksOf()).at(-1)!.evidence).toMatchObject({ canary: { units: 60 } });
  });

  it('reads hours that were compacted before it began', async () => {
    const rollout = rolloutOf([{ ...canaryStage, minRequests: 300 }]);
    const revision = await held(rollout);
    // A number that no model computes with is known again in Parquet.
    const beyond = { failed: { version: 2, why: 'not-finite' as const, detail: 'x' }, inputs: { visits: 1e30 } };
    const first = answers(400, revision, (i) => i === 8);
    first[0] = { ...first[0]!, reason: 'canary-failed', ...beyond };
    await upload(bucket(), SINCE + 1, first);
    const open = await evidenceOf(rollout, revision);
    nowMs = NOW + 60 * MINUTE_MS;
    expect((await keepHouse(context, iso(nowMs))).closed).toHaveLength(1);
    expect(await evidenceOf(rollout, revision)).toEqual(open);
    expect(open.canary).toMatchObject({ units: 99, failures: 1, byWhy: { threw: 1 } });
  });

  it('reads an hour that is compacted between its listing and its reading', async () => {
    const rollout = rolloutOf([{ ...canaryStage, minRequests: 300 }]);
    const revision = await held(rollout);
    await upload(bucket(), SINCE + 1, answers(200, revision));
    const own = context;
    let compacted = 0;
    const inner = bucket();
    context = over(own, {
      create: (key, body) => inner.create(key, body),
      list: (prefix, after) => inner.list(prefix, after),
      remove: (key) => inner.remove(key),
      read: async (key, range) => {
        if (key.startsWith('log/raw/') && compacted === 0) {
          compacted++;
          await keepHouse(own, iso(NOW + 60 * MINUTE_MS));
        }
        return inner.read(key, range);
      },
    });
    expect((await evidenceOf(rollout, revision)).canary.units).toBe(50);
    expect((await own.stores.logHours.list()).map(({ raw, manifests }) => [raw, manifests])).toEqual([[[], [1]]]);
  });

  /** What a run sees that ends by itself at once. */
  async function evidenceOf(rollout: OpenRollout, revision: number): Promise<CanaryEvidence> {
    const { ref } = await watching(rollout, { revision, maxMs: 0 }).ended;
    const { evidence } = (await context.stores.looks.read(ref!.key))!;
    return { ...(evidence as CanaryEvidence), asOf: '', watchedMs: 0 };
  }

  it('gives the same evidence to whoever takes over, whatever was uploaded in which order', async () => {
    const rollout = rolloutOf([{ ...canaryStage, minRequests: 300 }]);
    const revision = await held(rollout);
    const all = answers(400, revision, (i) => i === 40 || i === 320);
    const { lines, ended, env } = watching(rollout, { revision });
    for (const [i, from] of [200, 0, 300, 100].entries()) {
      await upload(bucket(), nowMs, all.slice(from, from + 100), 'b1', i);
      await expect.poll(() => lines.at(-1)?.units).toBe(25 * (i + 1));
    }
    env.cancel('WORKER_SHUTDOWN');
    await expect(ended).rejects.toThrow(CancelledFailure);
    nowMs++;
    const [one, other] = [await evidenceOf(rollout, revision), (nowMs++, await evidenceOf(rollout, revision))];
    expect(other).toEqual(one);
    const before = (await looksOf()).at(-3)!.evidence as CanaryEvidence;
    expect({ ...one.canary, ...one.champion }).toEqual({ ...before.canary, ...before.champion });
  });

  it('writes a look every 10 minutes though its word stays, and its last when it is cancelled, which it gives back', async () => {
    const rollout = rolloutOf([{ ...canaryStage, minRequests: 1000 }]);
    const revision = await held(rollout);
    await upload(bucket(), nowMs, answers(40, revision));
    const { ended, lines, env } = watching(rollout, { revision });
    await expect.poll(() => lines.length).toBeGreaterThan(2);
    expect(await looksOf()).toHaveLength(1);
    nowMs += 10 * MINUTE_MS;
    await expect.poll(async () => (await looksOf()).length).toBe(2);
    nowMs += MINUTE_MS;
    const said = lines.length;
    await expect.poll(() => lines.length).toBeGreaterThan(said + 1);
    env.cancel();
    const { ref, line } = await ended;
    expect(line).toMatch(/^undecided: /);
    const looks = await looksOf();
    expect(looks.map(({ at }) => Date.parse(at) - NOW)).toEqual([0, 10 * MINUTE_MS, 11 * MINUTE_MS]);
    expect((await context.stores.looks.read(ref!.key))!.at).toBe(looks.at(-1)!.at);
  });

  it('does not let a stage pass while it is paused, and its time stands still; it fails as ever', async () => {
    const rollout = rolloutOf([{ ...canaryStage, maxDuration: '25 minutes' }]);
    const revision = await held(rollout);
    await upload(bucket(), nowMs, answers(400, revision));
    const { ended, lines } = watching(rollout, { revision, paused: true, pausedMs: 5 * MINUTE_MS });
    await expect.poll(() => lines.length).toBeGreaterThan(2);
    nowMs += 60 * MINUTE_MS;
    await upload(
      bucket(),
      nowMs,
      answers(20, revision, () => true, 400),
      'b1',
      1,
    );
    expect(await ended).toMatchObject({ ref: { verdict: { says: 'fail' } } });
    expect((await looksOf()).at(-1)!.evidence).toMatchObject({ watchedMs: 15 * MINUTE_MS });
  });

  it('counts its pause and its time from when it was scheduled, whichever attempt this is', async () => {
    const rollout = rolloutOf([{ ...canaryStage, minRequests: 1000 }]);
    const revision = await held(rollout);
    await upload(bucket(), nowMs, answers(400, revision));
    const scheduledMs = NOW - 8 * MINUTE_MS;
    const paused = { revision, paused: true, maxMs: 8 * MINUTE_MS };
    const { ref } = await watching(rollout, paused, { scheduledMs }).ended;
    expect(ref!.verdict.says).toBe('undecided');
    expect((await looksOf()).at(-1)!.evidence).toMatchObject({ watchedMs: 12 * MINUTE_MS });
  });

  it('does not pass on what came long ago: it waits until answers come again', async () => {
    const rollout = rolloutOf([canaryStage]);
    const revision = await held(rollout);
    await upload(bucket(), nowMs, answers(400, revision));
    nowMs += 2 * MINUTE_MS;
    const { ended, lines } = watching(rollout, { revision });
    await expect.poll(() => lines.at(-1)?.line).toMatch(/^no-data: fresh: the newest answer is 2 minutes old/);
    await upload(
      bucket(),
      nowMs,
      answers(4, revision, () => false, 440),
      'b1',
      1,
    );
    expect((await ended).ref!.verdict.says).toBe('pass');
  });

  it('does not pass a bake while replicas go on with the version before', async () => {
    const rollout = rolloutOf([{ kind: 'bake', ...quick, maxDuration: '20 minutes', onNoData: 'hold' }]);
    const revision = await held(rollout);
    const both = Array.from({ length: 400 }, (_, i) => {
      const version = i % 3 === 0 ? 1 : 2;
      const under = version === 1 ? revision - 1 : revision;
      return answer(`r${i}`, {
        revision: Math.max(1, under),
        answeredMs: SINCE + 3000 * (i + 1),
        assignedVersion: version,
        version,
      });
    });
    await upload(bucket(), nowMs, both);
    expect(await watching(rollout, { revision }).ended).toMatchObject({
      over: 'no data',
      line: expect.stringMatching(/no data: asked: .*another version answered them; onNoData says hold$/) as string,
      ref: { verdict: { says: 'no-data', limitedBy: 'asked' } },
    });
  });

  describe('a bucket that fails', () => {
    /** Reads and listings of the log go by `log`, which may fail or hang; how often each key was read. */
    function troubled(log: (key: string) => Promise<void> | void): Map<string, number> {
      const inner = bucket();
      const reads = new Map<string, number>();
      const passed = async (key: string): Promise<void> => {
        if (key.startsWith('log/')) await log(key);
      };
      context = over(context, {
        create: (key, body) => inner.create(key, body),
        remove: (key) => inner.remove(key),
        async *list(prefix, after) {
          await passed(prefix);
          yield* inner.list(prefix, after);
        },
        read: async (key, range) => {
          await passed(key);
          reads.set(key, (reads.get(key) ?? 0) + 1);
          return inner.read(key, range);
        },
      });
      return reads;
    }

    it('for less than a minute costs nothing: it says so, and goes on with what it has', async () => {
      const rollout = rolloutOf([{ ...canaryStage, minRequests: 1000 }]);
      const revision = await held(rollout);
      const first = await upload(bucket(), nowMs, answers(40, revision));
      let fails = false;
      const reads = troubled(() => {
        if (fails) throw new Error('503 Slow Down');
      });
      const { env, ended, lines } = watching(rollout, { revision });
      await expect.poll(() => lines.at(-1)?.units).toBe(10);
      fails = true;
      nowMs++;
      const later = await upload(
        bucket(),
        nowMs,
        answers(40, revision, () => false, 40),
        'b1',
        1,
      );
      await expect
        .poll(() => lines.at(-1)?.line)
        .toMatch(/cannot look for 0 seconds, given up after 60: 503 Slow Down$/);
      nowMs += 59_000;
      await expect.poll(() => lines.at(-1)?.line).toContain('cannot look for 59 seconds');
      fails = false;
      await expect.poll(() => lines.at(-1)?.units).toBe(20);
      expect([reads.get(first), reads.get(later)]).toEqual([1, 1]);
      // The minute begins anew.
      fails = true;
      nowMs += 10_000;
      await expect.poll(() => lines.at(-1)?.line).toContain('cannot look for 0 seconds');
      env.cancel();
      await ended;
    });

    it('loses no answer of a listing that it could read in part', async () => {
      const rollout = rolloutOf([{ ...canaryStage, minRequests: 1000 }]);
      const revision = await held(rollout);
      let state: 'good' | 'down' | 'second segment down' = 'good';
      troubled((key) => {
        const isSecond = key.endsWith('-b1-1.ndjson.gz');
        if (state === 'down' || (state === 'second segment down' && isSecond)) throw new Error('reset');
      });
      const { env, ended, lines } = watching(rollout, { revision });
      await expect.poll(() => lines.length).toBeGreaterThan(0);
      state = 'down';
      nowMs++;
      const all = answers(80, revision);
      for (const i of [0, 1]) await upload(bucket(), nowMs, all.slice(40 * i, 40 * (i + 1)), 'b1', i);
      state = 'second segment down';
      const said = lines.length;
      await expect.poll(() => lines.length).toBeGreaterThan(said + 2);
      expect(lines.at(-1)!.units).toBe(0);
      state = 'good';
      await expect.poll(() => lines.at(-1)?.units).toBe(20);
      env.cancel();
      await ended;
    });

    it('for a minute ends the attempt', async () => {
      const rollout = rolloutOf([canaryStage]);
      const revision = await held(rollout);
      troubled(() => {
        throw new Error('503 Slow Down');
      });
      const { ended, lines } = watching(rollout, { revision });
      await expect.poll(() => lines.at(-1)?.line).toMatch(/^cannot look for 0 seconds/);
      nowMs += MINUTE_MS;
      await expect(ended).rejects.toThrow('503 Slow Down');
    });

    it('by hanging ends the attempt, once all there was has been read', async () => {
      const rollout = rolloutOf([canaryStage]);
      const revision = await held(rollout);
      let hangs = false;
      troubled(() => (hangs ? new Promise(() => {}) : undefined));
      const { ended, lines } = watching(rollout, { revision }, { lookLimitMs: 100 });
      await expect.poll(() => lines.length).toBeGreaterThan(1);
      hangs = true;
      await expect(ended).rejects.toThrow('a look at the answers took over 0.1 seconds');
    });

    it('does not hold up its end, though it reads hours of answers', async () => {
      const rollout = rolloutOf([canaryStage]);
      const revision = await held(rollout);
      let asked = 0;
      troubled(() => (asked++ > 0 ? new Promise(() => {}) : undefined));
      const { env, ended } = watching(rollout, { revision });
      await expect.poll(() => asked).toBeGreaterThan(1);
      env.cancel();
      await expect(ended).rejects.toThrow(CancelledFailure);
    });
  });

  it('knows again only segments that are listed again', async () => {
    const feed = new AnswerFeed(context, { model: 'churn', since: iso(SINCE) });
    await upload(bucket(), SINCE + MINUTE_MS, answers(4, 1));
    await upload(
      bucket(),
      NOW - MINUTE_MS,
      answers(4, 1, () => false, 4),
    );
    expect(await feed.next(NOW)).toHaveLength(8);
    expect(feed.remembered).toBe(1);
    expect(await feed.next(NOW)).toEqual([]);
    await upload(
      bucket(),
      NOW + MINUTE_MS,
      answers(4, 1, () => false, 8),
    );
    expect(await feed.next(NOW + 5 * MINUTE_MS)).toHaveLength(4);
    expect(feed.remembered).toBe(1);
    expect(await feed.next(NOW + 20 * MINUTE_MS)).toEqual([]);
    expect(feed.remembered).toBe(0);
  });

  it('stops between two hours of what it reads first, where it is told to', async () => {
    const feed = new AnswerFeed(context, { model: 'churn', since: iso(SINCE) });
    await upload(bucket(), SINCE + MINUTE_MS, answers(4, 1));
    await expect(feed.next(NOW, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
    expect(await feed.next(NOW)).toHaveLength(4);
  });

  it.each([
    ['rollback', 0, 'no data', 'onNoData says rollback'],
    ['hold', 12, 'no data', 'onNoData says hold'],
    ['hold', 400, 'inconclusive', 'still undecided'],
  ])('at maxDuration without a verdict (onNoData %s, %i answers) it is over: %s', async (onNoData, n, over, words) => {
    const stage = { ...canaryStage, onNoData, minDuration: '30 minutes', maxDuration: '20 minutes' };
    const rollout = rolloutOf([stage]);
    const revision = await held(rollout);
    if (n > 0) await upload(bucket(), nowMs, answers(n, revision));
    const watched = await watching(rollout, { revision }).ended;
    expect(watched).toMatchObject({ over, line: expect.stringContaining(words) as string, ref: { kind: 'canary' } });
    expect(await looksOf()).toHaveLength(1);
  });

  it('is overtaken when the model has moved on, and says by what', async () => {
    const rollout = rolloutOf([canaryStage]);
    const revision = await held(rollout);
    const { ended, lines } = watching(rollout, { revision });
    await expect.poll(() => lines.length).toBeGreaterThan(0);
    nowMs++;
    await context.stores.serving.append({
      model: 'churn',
      was: revision,
      serving: { champion: 1, shadows: [] },
      by: 'bo',
      because: 'complaints',
      cause: { workflowId: 'rollback', runId: 'x', step: 'rollback' },
      force: true,
    });
    expect(await ended).toMatchObject({ over: 'overtaken', line: expect.stringContaining('complaints') as string });
    expect((await looksOf()).at(-1)).toMatchObject({ revision: revision + 1 });
  });

  it('bakes the new champion, whose own failures roll it back', async () => {
    const rollout = rolloutOf([{ kind: 'bake', ...quick }]);
    const revision = await held(rollout);
    const failed = { version: 2, why: 'not-finite' as const, detail: 'x' };
    const baked = Array.from({ length: 30 }, (_, i) =>
      answer(`r${i}`, { revision, answeredMs: SINCE + i, assignedVersion: 2, version: 2, ...(i > 24 && { failed }) }),
    );
    await upload(bucket(), nowMs, baked);
    expect(await watching(rollout, { revision }).ended).toMatchObject({
      ref: { kind: 'bake', verdict: { says: 'fail' } },
    });
    expect((await looksOf())[0]).toMatchObject({ versions: [1, 2], plan: { champion: 2, previous: 1 } });
  });

  it('refuses a stage that is not watched', async () => {
    const rollout = rolloutOf([{ kind: 'shadow' }]);
    await expect(watching(rollout, { revision: 1 }).ended).rejects.toThrow('Stage 0 of this rollout is a shadow stage');
  });

  it('passes over lines of others, broken ones and a segment that is cut off', async () => {
    const rollout = rolloutOf([canaryStage]);
    const revision = await held(rollout);
    const good = answers(400, revision);
    const ofAnother = answers(8, revision, () => true).map((one) => ({ ...one, model: 'fraud' }));
    await upload(bucket(), nowMs, [
      ...good,
      '{"kind":"answer","model":"churn"',
      '{"kind":"answer","v":1,"model":"churn"}',
      ...ofAnother,
    ]);
    await bucket().create('log/raw/2026-11-24/09/1795513800000-b3-0.ndjson.gz', Buffer.from('not gzip'));
    const watched = await watching(rollout, { revision }).ended;
    expect(watched.ref!.verdict.says).toBe('pass');
  });
});

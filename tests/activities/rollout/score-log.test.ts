import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lossOfTrial, meanLosses } from '../../../activities/rollout/losses.ts';
import { openChildScorer } from '../../../activities/rollout/child-scorer.ts';
import { whyNotComparable } from '../../../policies/index.ts';
import { openScorer } from '../../../activities/rollout/scorer.ts';
import type { ModelVersion, RawRow } from '../../../schemas/index.ts';
import { greedy, registerOdd, slow } from '../../api/serving/challenger/odd-graphs.ts';
import { bookings, constant, flowers, overflowing, register, temporaryStores } from '../../api/serving/fixture.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
const versions: Record<string, ModelVersion> = {};
beforeAll(async () => {
  temporary = await temporaryStores();
  const made = { bookings, flowers, overflowing, constant: constant(0.25) };
  for (const [name, one] of Object.entries(made)) versions[name] = await register(temporary.stores, name, one);
});
afterAll(() => temporary.remove());

const score = async (name: string, rows: (RawRow | null)[]) => {
  const scorer = await openScorer(temporary.stores, versions[name]!);
  try {
    return await scorer.score(rows, new Float64Array(rows.length));
  } finally {
    await scorer.close();
  }
};

describe('a scorer', () => {
  it('gives each row its scores or nothing, whatever stands beside it', async () => {
    const good: RawRow = { ...bookings.warmUpRows[0] };
    const rows = Array.from({ length: 5_000 }, (_, i): RawRow | null =>
      i % 1_000 === 7 ? { ...good, lead_time: -1 } : i % 1_000 === 8 ? null : { ...good, lead_time: i % 200 },
    );
    const scores = await score('bookings', rows);
    const alone = await score('bookings', rows.slice(0, 10));
    expect(scores.slice(0, 10)).toEqual(alone);
    expect(scores.filter((one) => one === null).length).toBe(10);
    expect(scores.every((one, i) => (one === null) === (i % 1_000 === 7 || i % 1_000 === 8))).toBe(true);
  });

  it('takes of a row what it knows, and nothing else; what is not finite is nothing', async () => {
    expect(await score('flowers', [{ petal: 1, sepal: 2, colour: 'blue' }])).toEqual([
      [expect.closeTo(1 / 3, 6), expect.closeTo(1 / 3, 6), expect.closeTo(1 / 3, 6)],
    ]);
    expect(await score('overflowing', [{ x: 1 }, { x: 10 }, { x: null }])).toEqual([
      [expect.closeTo(1e38, -32)],
      null,
      null,
    ]);
    expect(await score('constant', [])).toEqual([]);
  });
});

describe('a scorer in a process of its own', () => {
  it('says what the other says', async () => {
    const rows = Array.from({ length: 3_000 }, (_, i): RawRow | null => (i % 7 === 0 ? null : { petal: i / 1_000 }));
    const scorer = await openChildScorer(temporary.stores, versions['flowers']!);
    expect(await scorer.score(rows, new Float64Array(rows.length))).toEqual(await score('flowers', rows));
    await scorer.close();
  }, 120_000);

  it('is ended where it hangs, and these rows are lost; after three times it is not asked any more', async () => {
    const hangs = await registerOdd(temporary.stores, 'hangs', await slow());
    const scorer = await openChildScorer(temporary.stores, hangs, { batchMs: 3_000 });
    const rows = Array.from({ length: 2_048 * 5 }, (_, i): RawRow => ({
      x: i,
      ms: i >= 2_048 && i % 2_048 === 5 ? 1e9 : 0,
    }));
    expect(scorer).toMatchObject({ gaveUp: false, lost: undefined });
    const scores = await scorer.score(rows, new Float64Array(rows.length));
    expect(scores.slice(0, 2_048)).toEqual(rows.slice(0, 2_048).map(({ x }) => [x]));
    expect(scores.slice(2_048).every((one) => one === undefined)).toBe(true);
    expect(scores.length).toBe(rows.length);
    expect(scorer).toMatchObject({ gaveUp: true, lost: 'it gave no answer in time' });
    await scorer.close();
  }, 120_000);

  it('is ended where it takes more memory than it may, and what comes next has scores', async () => {
    const eats = await registerOdd(temporary.stores, 'eats', greedy());
    const scorer = await openChildScorer(temporary.stores, eats, { limitMb: 500 });
    const rows = Array.from({ length: 2_048 * 2 }, (_, i): RawRow => ({ x: i, mb: i === 5 ? 1e6 : 0 }));
    const scores = await scorer.score(rows, new Float64Array(rows.length));
    expect(scores.slice(0, 2_048).every((one) => one === undefined)).toBe(true);
    expect(scores.slice(2_048)).toEqual(rows.slice(2_048).map(({ x }) => [x]));
    expect(scorer.lost).toMatch(/^it took \d+ MB of memory; GAUNTLET_CHALLENGER_MB allows 500$/);
    await scorer.close();
  }, 120_000);

  it('is ended in the middle of a run where nobody waits for it any more', async () => {
    const hangs = await registerOdd(temporary.stores, 'hangs-too', await slow());
    const stop = new AbortController();
    const scorer = await openChildScorer(temporary.stores, hangs, { signal: stop.signal });
    await scorer.score([{ x: 1, ms: 0 }], new Float64Array(1));
    const from = performance.now();
    setTimeout(() => stop.abort(new Error('not wanted')), 500);
    await expect(scorer.score([{ x: 1, ms: 1e9 }], new Float64Array(1))).rejects.toThrow('not wanted');
    expect(performance.now() - from).toBeLessThan(10_000);
    await scorer.close();
  }, 120_000);
});

describe('two versions', () => {
  it('of another task, or that know personal inputs in different ways, cannot be held against each other', () => {
    const { bookings: one, flowers: other } = versions as { bookings: ModelVersion; flowers: ModelVersion };
    expect(whyNotComparable(one, one)).toBeUndefined();
    expect(whyNotComparable(one, other)).toMatch(/answer different questions: binary and multiclass/);
    const personal = {
      ...one,
      inputs: { ...one.inputs, agent: { ...one.inputs['agent']!, pii: true } },
    } as ModelVersion;
    expect(whyNotComparable(one, personal)).toMatch(/^agent is personal to only one of/);
    const keyed = (piiKey: string) => ({ ...personal, serving: { piiKey } }) as ModelVersion;
    expect(whyNotComparable(keyed('a'), keyed('b'))).toMatch(/hashed under different keys/);
    expect(whyNotComparable(keyed('a'), keyed('a'))).toBeUndefined();
  });
});

describe('losses', () => {
  it('are those of the evidence', () => {
    const p = [Float64Array.of(0.8, 0.5)];
    expect(meanLosses('binary', Float64Array.of(1, 0), p)).toEqual({
      logLoss: expect.closeTo((-Math.log(0.8) - Math.log(0.5)) / 2, 12),
      brier: expect.closeTo((0.04 + 0.25) / 2, 12),
    });
    expect(meanLosses('regression', Float64Array.of(1, 1), [Float64Array.of(3, 0)])).toEqual({
      squaredError: 2.5,
      absoluteError: 1.5,
    });
    const classes = [Float64Array.of(0.5, 1), Float64Array.of(0.5, 0)];
    expect(meanLosses('multiclass', Float64Array.of(1, 1), classes)).toEqual({
      logLoss: expect.closeTo((Math.log(2) + Math.log(1e6)) / 2, 12),
      brier: expect.closeTo((0.5 + 2) / 2, 12),
    });
    // A class that nobody knows is missed by all of them.
    expect(meanLosses('multiclass', Float64Array.of(-1), [Float64Array.of(0.5), Float64Array.of(0.5)]).brier).toBe(1.5);
  });

  it('a stage that names none is about the first of its task', () => {
    expect(lossOfTrial({}, 'binary')).toBe('logLoss');
    expect(lossOfTrial({}, 'regression')).toBe('squaredError');
    expect(lossOfTrial({ loss: 'brier' }, 'binary')).toBe('brier');
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitRows, strataEdgesDays, stratumOf, type SplitQuestion } from '../../policies/index.ts';

const DAY = 86_400;

const rows = fc
  .array(
    fc.record({
      predicted: fc.integer({ min: 0, max: 300 }),
      horizon: fc.integer({ min: 0, max: 60 }),
      knownLater: fc.integer({ min: -5, max: 5 }),
    }),
    {
      minLength: 60,
      maxLength: 300,
    },
  )
  .map((all) => ({
    predictedAt: Float64Array.from(all, (row) => row.predicted * DAY),
    maturesAt: Float64Array.from(all, (row) => (row.predicted + row.horizon) * DAY),
    knownAt: Float64Array.from(all, (row) => (row.predicted + row.horizon + row.knownLater) * DAY),
  }));

const ask = (stamps: Pick<SplitQuestion, 'predictedAt' | 'knownAt' | 'maturesAt'>, more: Partial<SplitQuestion> = {}) =>
  splitRows({ ...stamps, asOf: 250 * DAY, valid: 0.1, test: 0.2, gapSeconds: 0, ...more });

describe('splitRows', () => {
  it('uses only rows that had matured and whose label was known, each once', () => {
    fc.assert(
      fc.property(rows, (stamps) => {
        const answer = ask(stamps);
        if (!answer.ok) return;
        const { train, valid, test, matured } = answer.parts;
        const used = [...train, ...valid, ...test];
        expect(used).toEqual([...matured]);
        expect(new Set(used).size).toBe(used.length);
        for (const row of used) {
          expect(stamps.maturesAt[row]!).toBeLessThan(250 * DAY);
          expect(stamps.knownAt[row]!).toBeLessThanOrEqual(250 * DAY);
        }
      }),
    );
  });

  it('puts rows that mature together on one side, and the parts in order of maturing', () => {
    fc.assert(
      fc.property(rows, (stamps) => {
        const answer = ask(stamps);
        if (!answer.ok) return;
        const { train, valid, test } = answer.parts;
        const at = (row: number | undefined) => stamps.maturesAt[row!]!;
        expect(at(train.at(-1))).toBeLessThan(at(valid[0]));
        expect(at(valid.at(-1))).toBeLessThan(at(test[0]));
      }),
    );
  });

  it('drops training rows by gap that matured less than it before the earliest validation row was predicted', () => {
    const n = 100;
    const predictedAt = Float64Array.from({ length: n }, (_, i) => i * DAY);
    const maturesAt = predictedAt.map((t) => t + 30 * DAY);
    const answer = splitRows({
      predictedAt,
      maturesAt,
      knownAt: maturesAt,
      asOf: 200 * DAY,
      valid: 0.2,
      test: 0.2,
      gapSeconds: 30 * DAY,
    });
    if (!answer.ok) throw new Error(answer.because);
    const { train, valid, gapDropped } = answer.parts;
    expect(valid[0]).toBe(60);
    expect(train.at(-1)).toBe(0);
    expect(gapDropped).toBe(59);
  });

  it('says so where the gap leaves no training row', () => {
    const stamps = Float64Array.from({ length: 100 }, (_, i) => i * DAY);
    expect(ask({ predictedAt: stamps, maturesAt: stamps, knownAt: stamps }, { gapSeconds: 90 * DAY })).toEqual({
      ok: false,
      because: 'a gap of 90 days leaves no training row',
    });
  });

  it('says why where there is too little to split', () => {
    const few = new Float64Array(5).fill(1);
    expect(
      splitRows({ predictedAt: few, maturesAt: few, knownAt: few, asOf: 10, valid: 0.1, test: 0.2, gapSeconds: 0 }),
    ).toEqual({
      ok: false,
      because: '5 of 5 rows had matured with a known label',
    });
    const together = new Float64Array(50).fill(1);
    const answer = splitRows({
      predictedAt: together,
      maturesAt: together,
      knownAt: together,
      asOf: 10,
      valid: 0.1,
      test: 0.2,
      gapSeconds: 0,
    });
    expect(answer).toMatchObject({ ok: false, because: expect.stringContaining('too few different times') as string });
  });

  it('never uses a label that is not known', () => {
    const times = Float64Array.from({ length: 40 }, (_, i) => i);
    const knownAt = times.map((t, i) => (i % 2 ? NaN : t));
    const answer = splitRows({
      predictedAt: times,
      maturesAt: times,
      knownAt,
      asOf: 100,
      valid: 0.2,
      test: 0.2,
      gapSeconds: 0,
    });
    if (!answer.ok) throw new Error(answer.because);
    expect([...answer.parts.matured].every((row) => row % 2 === 0)).toBe(true);
  });
});

describe('strataEdgesDays', () => {
  it('gives quartiles of the horizon over all rows before asOf, whether they matured or not', () => {
    const predictedAt = new Float64Array(5);
    const maturesAt = Float64Array.from([0, 10, 20, 30, 40], (days) => days * DAY);
    expect(strataEdgesDays(predictedAt, maturesAt, 1)).toEqual([10, 20, 30]);
  });

  it('merges equal edges: one horizon is one stratum', () => {
    const predictedAt = new Float64Array(8);
    const maturesAt = new Float64Array(8).fill(30 * DAY);
    expect(strataEdgesDays(predictedAt, maturesAt, 1)).toEqual([30]);
    expect(stratumOf(30, [30])).toBe(0);
    expect(stratumOf(31, [30])).toBe(1);
  });
});

describe('strata edges of what cannot be counted', () => {
  it('leaves out rows predicted after asOf and rows that never mature; without any other there are none', () => {
    const days = (...values: number[]) => Float64Array.from(values, (day) => day * DAY);
    expect(strataEdgesDays(days(0, 0, 20), days(4, NaN, 90), 10 * DAY)).toEqual([4]);
    expect(strataEdgesDays(days(20), days(90), 10 * DAY)).toEqual([]);
  });
});

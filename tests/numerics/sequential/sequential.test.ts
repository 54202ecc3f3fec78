import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../numerics/random.ts';
import { clopperPearson } from '../../../numerics/sequential/clopper-pearson.ts';
import { confidenceRadius, mixtureParameter } from '../../../numerics/sequential/confidence-sequence.ts';
import { CanaryEValue, type EBlock } from '../../../numerics/sequential/e-value.ts';
import { sampleRatioLogOdds } from '../../../numerics/sequential/sample-ratio.ts';
import { stratifiedBand, type Band, type Cell } from '../../../numerics/sequential/stratified-band.ts';
import { normalQuantile } from '../../../numerics/special/normal-quantile.ts';

interface Golden {
  radius: Record<'n' | 'alpha' | 'nStar' | 'r' | 'twoSided' | 'oneSided' | 'oneSidedExact', number>[];
  band: { rows: [number, number, number][]; shares: number[]; alpha: number; r: number; expected: Band }[];
  eValue: { blocks: [number, number, number, number][]; logE: number[] }[];
  sampleRatio: { planned: number[]; counts: number[]; k: number; logOdds: number }[];
  clopperPearson: { hits: number; trials: number; alpha: number; lower: number; upper: number }[];
}
const golden = JSON.parse(
  readFileSync(new URL('../../golden/numerics/sequential.json', import.meta.url), 'utf8'),
) as Golden;

const near = (found: number, expected: number, to = 1e-10) =>
  expect(Math.abs(found - expected), `${found}, expected ${expected}`).toBeLessThanOrEqual(
    to * Math.max(1, Math.abs(expected)),
  );

/** Rows as (stratum, block, value). */
function cellsOf(rows: readonly (readonly [number, number, number])[]): Cell[] {
  const cells = new Map<string, Cell>();
  for (const [stratum, block, value] of rows) {
    const key = `${stratum} ${block}`;
    const cell = cells.get(key) ?? { stratum, block, rows: 0, sum: 0, sumOfSquares: 0 };
    cells.set(key, cell);
    cell.rows++;
    cell.sum += value;
    cell.sumOfSquares += value * value;
  }
  return [...cells.values()];
}

const nearBand = (found: Band | undefined, expected: Band, to = 1e-10) => {
  for (const key of Object.keys(expected) as (keyof Band)[]) near(found![key]!, expected[key]!, to);
};

const blockOf = ([championUnits, championFailures, canaryUnits, canaryFailures]: number[]): EBlock =>
  ({ championUnits, championFailures, canaryUnits, canaryFailures }) as EBlock;

/** Standard normal draws. */
const normal = (random: Random) => normalQuantile(Math.max(random.float(), 2 ** -33));

describe('the confidence sequence', () => {
  it.each(golden.radius)(
    'is where the mixture martingale reaches 1 / alpha: n $n, alpha $alpha, n* $nStar',
    ({ n, alpha, nStar, r, twoSided, oneSided, oneSidedExact }) => {
      near(mixtureParameter(nStar, alpha), r, 1e-14);
      near(confidenceRadius(n, 1, r, alpha, 2), twoSided);
      near(confidenceRadius(n, 1, r, alpha, 1), oneSided, 1e-13);
      // The one-sided closed form is a little above the exact boundary, never below it.
      expect(confidenceRadius(n, 1, r, alpha, 1)).toBeGreaterThan(oneSidedExact);
      expect(oneSided).toBeLessThan(1.1 * oneSidedExact);
    },
  );

  it('scales with s, is 0 without it, and is narrower one-sided and with a larger alpha', () => {
    const anyN = fc.integer({ min: 1, max: 5_000 });
    const anyAlpha = fc.double({ min: 1e-4, max: 0.3, noNaN: true });
    fc.assert(
      fc.property(anyN, anyAlpha, fc.integer({ min: 1, max: 500 }), (n, alpha, nStar) => {
        const r = mixtureParameter(nStar, alpha);
        const two = confidenceRadius(n, 1, r, alpha, 2);
        near(confidenceRadius(n, 3, r, alpha, 2), 3 * two, 1e-13);
        expect(confidenceRadius(n, 0, r, alpha, 2)).toBe(0);
        expect(confidenceRadius(n, 1, r, alpha, 1)).toBeLessThan(two);
        expect(confidenceRadius(n, 1, r, alpha * 1.1, 2)).toBeLessThan(two);
      }),
    );
  });

  it('is tightest, against the interval of a single look, about where it was meant to be', () => {
    const times = [4, 8, 16, 32, 64, 128, 256].map((n) => {
      const r = mixtureParameter(64, 0.05);
      return { n, wider: confidenceRadius(n, 1, r, 0.05, 2) / (1.96 / Math.sqrt(n)) };
    });
    expect(times.toSorted((a, b) => a.wider - b.wider)[0]!.n).toBe(64);
  });

  it('examples, and what it refuses', () => {
    expect(mixtureParameter(26, 0.05)).toBeCloseTo(0.5525, 4);
    expect(mixtureParameter(2, 0.05)).toBe(mixtureParameter(16, 0.05));
    expect(confidenceRadius(26, 1, 0.55, 0.05, 2)).toBeCloseTo(0.5953, 4);
    expect(() => mixtureParameter(0, 0.05)).toThrow('n* 0');
    expect(() => mixtureParameter(20, 1)).toThrow('alpha 1');
    expect(() => confidenceRadius(0, 1, 1, 0.05, 2)).toThrow('n 0');
    expect(() => confidenceRadius(8, NaN, 1, 0.05, 2)).toThrow('s NaN');
    expect(() => confidenceRadius(8, 1, 0, 0.05, 2)).toThrow('r 0');
  });
});

describe('the stratified band', () => {
  it.each(golden.band)('equals its definition on rows (alpha $alpha)', ({ rows, shares, alpha, r, expected }) => {
    const band = stratifiedBand(cellsOf(rows), shares, { alpha, sides: 2, r });
    nearBand(band, expected);
    const oneSided = stratifiedBand(cellsOf(rows), shares, { alpha, sides: 1, r })!;
    near(oneSided.upper - oneSided.mean, confidenceRadius(band!.blocks, band!.s, r, alpha, 1));
  });

  const options = { alpha: 0.05, sides: 2, r: 0.5 } as const;
  const anyRows = fc.array(
    fc.tuple(fc.constantFrom(0, 1, 2), fc.integer({ min: 0, max: 19 }), fc.double({ min: -5, max: 5, noNaN: true })),
    { minLength: 60, maxLength: 200 },
  );
  const shares = [0.5, 0.3, 0.2];

  it('does not mind the order of rows, scales with them, and turns over when the two models are swapped', () => {
    fc.assert(
      fc.property(anyRows, fc.double({ min: 0.1, max: 10, noNaN: true }), (rows, factor) => {
        const band = stratifiedBand(cellsOf(rows), shares, options);
        if (!band) return;
        nearBand(stratifiedBand(cellsOf(rows.toReversed()), shares, options), band);
        const scaled = stratifiedBand(cellsOf(rows.map(([h, b, d]) => [h, b, d * factor])), shares, options)!;
        for (const key of ['mean', 'lower', 'upper', 's'] as const) near(scaled[key], factor * band[key], 1e-9);
        const swapped = stratifiedBand(cellsOf(rows.map(([h, b, d]) => [h, b, -d])), shares, options)!;
        near(swapped.mean, -band.mean);
        near(swapped.lower, -band.upper);
        near(swapped.s, band.s);
      }),
    );
  });

  it('with one stratum is the plain block band: s² is that of statistics.md with n - 1 for n', () => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        const cells = cellsOf(rows.map(([, b, d]) => [0, b, d]));
        const band = stratifiedBand(cells, [7], options);
        if (!band) return;
        const n = cells.length;
        const total = cells.reduce((sum, cell) => sum + cell.rows, 0);
        const mean = cells.reduce((sum, cell) => sum + cell.sum, 0) / total;
        const meanSquare =
          cells.reduce((sum, cell) => sum + (cell.sum - mean * cell.rows) ** 2, 0) / n / (total / n) ** 2;
        near(band.mean, mean);
        near(band.s, Math.sqrt((meanSquare * n) / (n - 1)));
        expect(band.unseenShare).toBe(0);
      }),
    );
  });

  it('leaves out a stratum with 9 blocks, and says how much that is; without any other it is no band', () => {
    const rows = Array.from({ length: 10 }, (_, b) => [0, b, b % 3] as [number, number, number]);
    const few = Array.from({ length: 9 }, (_, b) => [1, b + 20, 100] as [number, number, number]);
    const band = stratifiedBand(cellsOf([...rows, ...few]), [3, 1], options)!;
    expect(band).toMatchObject({ blocks: 10, unseenShare: 0.25 });
    near(band.mean, 0.9);
    expect(stratifiedBand(cellsOf(few), [3, 1], options)).toBeUndefined();
    expect(stratifiedBand([], [1], options)).toBeUndefined();
  });

  it('where the models are the same, s is 0 and the band is a point', () => {
    const rows = Array.from({ length: 30 }, (_, i) => [0, i % 10, 0] as [number, number, number]);
    expect(stratifiedBand(cellsOf(rows), [1], options)).toEqual({
      mean: 0,
      lower: 0,
      upper: 0,
      blocks: 10,
      s: 0,
      unseenShare: 0,
      designEffect: undefined,
    });
  });

  it('looked at every week, it says something of two equal models in at most 5 % of trials, though days are strong', () => {
    const random = new Random(12);
    const trials = 600;
    let wrong = 0;
    let byRow = 0;
    for (let trial = 0; trial < trials; trial++) {
      const rows: [number, number, number][] = [];
      let isWrong = false;
      let isWrongByRow = false;
      for (let week = 0; week < 26; week++) {
        const shift = 0.3 * normal(random);
        for (let i = 0; i < 20; i++) rows.push([i % 2, week, shift + normal(random)]);
        if (week < 9) continue;
        const band = stratifiedBand(cellsOf(rows), [0.5, 0.5], {
          alpha: 0.05,
          sides: 2,
          r: mixtureParameter(26, 0.05),
        })!;
        isWrong ||= band.lower > 0 || band.upper < 0;
        const plain = confidenceRadius(rows.length, 1.04, mixtureParameter(520, 0.05), 0.05, 2);
        isWrongByRow ||= Math.abs(band.mean) > plain;
      }
      wrong += Number(isWrong);
      byRow += Number(isWrongByRow);
    }
    expect(clopperPearson(wrong, trials, 0.05).upper).toBeLessThanOrEqual(0.075);
    // The same simulation finds the wrong unit of evidence out.
    expect(clopperPearson(byRow, trials, 0.05).lower).toBeGreaterThan(0.05);
  });

  it('refuses what has no share, no rows or no number', () => {
    const cell = { stratum: 0, block: 0, rows: 1, sum: 1, sumOfSquares: 1 };
    expect(() => stratifiedBand([{ ...cell, stratum: 1 }], [1, 0], options)).toThrow('has no share');
    expect(() => stratifiedBand([{ ...cell, stratum: 2 }], [1], options)).toThrow('has no share');
    expect(() => stratifiedBand([{ ...cell, rows: 0 }], [1], options)).toThrow('has 0 rows');
    expect(() => stratifiedBand([{ ...cell, sum: NaN }], [1], options)).toThrow('sums to NaN');
    expect(() => stratifiedBand([cell], [-1, 2], options)).toThrow('share -1');
    expect(() => stratifiedBand([cell], [], options)).toThrow('sum to 0');
  });
});

describe('the e-value of a canary', () => {
  it.each(golden.eValue)('is the likelihood ratio of its units, one after the other', ({ blocks, logE }) => {
    const test = new CanaryEValue();
    blocks.forEach((block, i) => {
      test.add(blockOf(block));
      near(test.logE, logE[i]!);
    });
  });

  it('example: one failed canary unit after 20 good ones', () => {
    const test = new CanaryEValue();
    test.add(blockOf([19, 0, 1, 0]));
    expect(test.logE).toBe(0);
    test.add(blockOf([19, 0, 1, 1]));
    expect(test.logE).toBeCloseTo(2.1515, 4);
    expect(test.total).toEqual(blockOf([38, 0, 2, 1]));
  });

  it('is expected not to grow where the canary fails as often or less, whatever came before and however large the block', () => {
    const units = fc.integer({ min: 0, max: 12 });
    const blocks = fc.array(fc.tuple(units, units, units, units), { maxLength: 6 });
    fc.assert(
      fc.property(blocks, fc.nat({ max: 5 }), fc.nat({ max: 5 }), share(), share(), (before, a, b, p, less) => {
        const begun = () => {
          const test = new CanaryEValue();
          for (const [nA, yA, nB, yB] of before) test.add(blockOf([Math.max(nA, yA), yA, Math.max(nB, yB), yB]));
          return test;
        };
        const start = begun().logE;
        let expected = 0;
        for (let yA = 0; yA <= a; yA++)
          for (let yB = 0; yB <= b; yB++) {
            const test = begun();
            test.add(blockOf([a, yA, b, yB]));
            expected += binomial(yA, a, p) * binomial(yB, b, p * less) * Math.exp(test.logE - start);
          }
        expect(expected).toBeLessThanOrEqual(1 + 1e-9);
      }),
    );
  });

  /** Canary units until the alarm at alpha 5 %, in blocks of 19:1; Infinity: none in `most`. */
  function unitsToAlarm(random: Random, champion: number, canary: number, most: number): number {
    const test = new CanaryEValue();
    for (let unit = 1; unit <= most; unit++) {
      let failures = 0;
      for (let i = 0; i < 19; i++) failures += Number(random.float() < champion);
      test.add(blockOf([19, failures, 1, Number(random.float() < canary)]));
      if (test.logE >= Math.log(20)) return unit;
    }
    return Infinity;
  }
  const simulated = (trials: number, champion: number, canary: number, most: number) => {
    const random = new Random(7);
    return Array.from({ length: trials }, () => unitsToAlarm(random, champion, canary, most)).sort((a, b) => a - b);
  };

  it('gives a false alarm in some 2 % at alpha 5 %, blocks of 19:1 at 2 %', () => {
    const alarms = simulated(1_500, 0.02, 0.02, 1_000).filter((units) => units < Infinity).length;
    expect(clopperPearson(alarms, 1_500, 0.05).upper).toBeLessThan(0.039);
    expect(alarms).toBeGreaterThan(0.008 * 1_500);
  });

  it('finds 2 % against 5 % after some 280 canary units, 1 % against 20 % after some 11', () => {
    const slow = simulated(1_500, 0.02, 0.05, 2_000)[750]!;
    expect([slow >= 255, slow <= 300, slow]).toEqual([true, true, slow]);
    const fast = simulated(1_500, 0.01, 0.2, 1_000)[750]!;
    expect([fast >= 10, fast <= 14, fast]).toEqual([true, true, fast]);
  });

  it('refuses more failures than units', () => {
    const test = new CanaryEValue();
    expect(() => test.add(blockOf([1, 2, 1, 0]))).toThrow('2 failures of 1 units');
    expect(() => test.add(blockOf([1, 0, NaN, 0]))).toThrow('0 failures of NaN units');
    expect(test.total).toEqual(blockOf([0, 0, 0, 0]));
  });
});

describe('the sample ratio', () => {
  it.each(golden.sampleRatio)('of $counts is as SciPy has it', ({ planned, counts, k, logOdds }) => {
    // lnΓ of a million has ten digits before the point, and differences of such are taken.
    near(sampleRatioLogOdds(planned, counts, k), logOdds, 1e-8);
  });

  it('does not grow by chance: whatever came before, the odds expected after one more unit are those of now', () => {
    const arms = fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.nat({ max: 2_000 })), {
      minLength: 2,
      maxLength: 5,
    });
    fc.assert(
      fc.property(arms, (drawn) => {
        const whole = drawn.reduce((sum, [part]) => sum + part, 0);
        const planned = drawn.map(([part]) => part / whole);
        const counts = drawn.map(([, count]) => count);
        const now = sampleRatioLogOdds(planned, counts);
        const next = planned.reduce((sum, p, arm) => {
          const more = counts.map((count, i) => count + Number(i === arm));
          return sum + p * Math.exp(sampleRatioLogOdds(planned, more) - now);
        }, 0);
        near(next, 1, 1e-8);
      }),
    );
  });

  it('stays below 1000 for a split as planned, and passes it for one that is not', () => {
    expect(sampleRatioLogOdds([0.95, 0.05], [0, 0])).toBe(0);
    expect(sampleRatioLogOdds([0.95, 0.05], [9_500, 500])).toBeLessThan(0);
    expect(sampleRatioLogOdds([0.95, 0.05], [9_400, 600])).toBeGreaterThan(Math.log(1_000));
    expect(sampleRatioLogOdds([0.5, 0.5], [60, 40])).toBeCloseTo(0.6589, 4);
  });

  it('refuses shares that are none', () => {
    expect(() => sampleRatioLogOdds([0.5, 0.4], [1, 1])).toThrow('sum to 0.9');
    expect(() => sampleRatioLogOdds([1, 0], [1, 1])).toThrow('share 0 of arm 1');
    expect(() => sampleRatioLogOdds([0.5, 0.5], [1, 1.5])).toThrow('1.5 units of arm 1');
    expect(() => sampleRatioLogOdds([0.5, 0.5], [1])).toThrow('2 shares, 1 counts');
    expect(() => sampleRatioLogOdds([0.5, 0.5], [1, 1], NaN)).toThrow('k NaN');
  });
});

describe('Clopper-Pearson bounds', () => {
  it.each(golden.clopperPearson)(
    'of $hits in $trials are as SciPy has them',
    ({ hits, trials, alpha, lower, upper }) => {
      const bounds = clopperPearson(hits, trials, alpha);
      near(bounds.lower, lower, 1e-12);
      near(bounds.upper, upper, 1e-12);
    },
  );

  it('hold the rate, turn over with failures for hits, and widen with fewer trials', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (trials, share) => {
        const hits = Math.round(share * trials);
        const { lower, upper } = clopperPearson(hits, trials, 0.05);
        expect(lower).toBeLessThanOrEqual(hits / trials);
        expect(upper).toBeGreaterThanOrEqual(hits / trials);
        const turned = clopperPearson(trials - hits, trials, 0.05);
        near(turned.lower, 1 - upper, 1e-12);
        const wider = clopperPearson(hits, trials, 0.01);
        expect(wider.lower).toBeLessThanOrEqual(lower);
        expect(wider.upper).toBeGreaterThanOrEqual(upper);
      }),
    );
  });

  it('example, and what they refuse', () => {
    const { lower, upper } = clopperPearson(6, 100, 0.025);
    expect([lower, upper]).toEqual([expect.closeTo(0.02233, 5), expect.closeTo(0.12603, 5)]);
    expect(() => clopperPearson(0, 0, 0.05)).toThrow('0 of 0');
    expect(() => clopperPearson(2, 1, 0.05)).toThrow('2 of 1');
    expect(() => clopperPearson(1, 1, 0)).toThrow('alpha 0');
  });
});

function share() {
  return fc.double({ min: 0.01, max: 0.99, noNaN: true });
}

function binomial(hits: number, trials: number, p: number): number {
  let ways = 1;
  for (let i = 0; i < hits; i++) ways *= (trials - i) / (i + 1);
  return ways * p ** hits * (1 - p) ** (trials - hits);
}

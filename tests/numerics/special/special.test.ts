import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { incompleteBeta, inverseIncompleteBeta } from '../../../numerics/special/incomplete-beta.ts';
import { lnGamma } from '../../../numerics/special/ln-gamma.ts';
import { normalQuantile } from '../../../numerics/special/normal-quantile.ts';

type Rows = number[][];
const golden = JSON.parse(readFileSync(new URL('../../golden/numerics/special.json', import.meta.url), 'utf8')) as {
  lnGamma: Rows;
  incompleteBeta: Rows;
  inverseIncompleteBeta: Rows;
  normalQuantile: Rows;
};

/** Rows of arguments and value on which we differ by more than 1e-12 of the value; of 1 where `absolute`. */
const differing = (rows: Rows, ours: (...args: number[]) => number, absolute = false) =>
  rows
    .map((row) => ({ row, expected: row.at(-1)!, found: ours(...row.slice(0, -1)) }))
    .filter(
      ({ expected, found }) => !(Math.abs(found - expected) <= 1e-12 * Math.max(absolute ? 1 : 0, Math.abs(expected))),
    );

describe('special functions equal those of SciPy to 1e-12', () => {
  it('lnGamma (absolutely below 1: it has zeros at 1 and 2)', () =>
    expect(differing(golden.lnGamma, lnGamma, true)).toEqual([]));
  it('incompleteBeta', () => expect(differing(golden.incompleteBeta, incompleteBeta)).toEqual([]));
  it('inverseIncompleteBeta', () => expect(differing(golden.inverseIncompleteBeta, inverseIncompleteBeta)).toEqual([]));
  it('normalQuantile', () => expect(differing(golden.normalQuantile, normalQuantile)).toEqual([]));
});

const shape = fc.double({ min: 0.05, max: 2_000, noNaN: true });
const share = fc.double({ min: 1e-6, max: 1 - 1e-6, noNaN: true });

it('Γ(x + 1) = x Γ(x)', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), (x) => {
      const difference = lnGamma(x + 1) - lnGamma(x) - Math.log(x);
      expect(Math.abs(difference)).toBeLessThan(1e-13 * Math.max(1, Math.abs(lnGamma(x))));
    }),
  );
});

it('the incomplete beta rises with x, from 0 to 1, and is turned over by swapping its shapes', () => {
  fc.assert(
    fc.property(share, share, shape, shape, (x, y, a, b) => {
      expect(incompleteBeta(0, a, b)).toBe(0);
      expect(incompleteBeta(1, a, b)).toBe(1);
      const [low, high] = x < y ? [x, y] : [y, x];
      expect(incompleteBeta(low, a, b)).toBeLessThanOrEqual(incompleteBeta(high, a, b) + 1e-13);
      expect(incompleteBeta(x, a, b)).toBeCloseTo(1 - incompleteBeta(1 - x, b, a), 9);
    }),
  );
});

it('the inverse leads back to p', () => {
  fc.assert(
    fc.property(share, shape, shape, (p, a, b) => {
      const x = inverseIncompleteBeta(p, a, b);
      // Where an x next to it is beyond p, no double is nearer.
      const near = [x * (1 - 4e-16), Math.min(1, x * (1 + 4e-16))].map((one) => incompleteBeta(one, a, b));
      expect(near[0]!).toBeLessThanOrEqual(p + 1e-12);
      expect(near[1]!).toBeGreaterThanOrEqual(p - 1e-12);
    }),
  );
});

it('the normal quantile is odd, and infinite nowhere', () => {
  fc.assert(
    fc.property(share, (p) => {
      expect(normalQuantile(p)).toBeCloseTo(-normalQuantile(1 - p), 8);
    }),
  );
  expect(normalQuantile(Number.MIN_VALUE)).toBeCloseTo(-38.467, 3);
});

it('examples', () => {
  expect(lnGamma(5)).toBeCloseTo(3.1780538303479458, 13);
  expect(incompleteBeta(0.5, 2, 3)).toBeCloseTo(0.6875, 14);
  expect(inverseIncompleteBeta(0.6875, 2, 3)).toBeCloseTo(0.5, 14);
  expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 14);
});

it('refuses what is outside', () => {
  for (const x of [0, -1, NaN]) expect(() => lnGamma(x)).toThrow('lnGamma');
  expect(() => incompleteBeta(NaN, 1, 1)).toThrow('x NaN');
  expect(() => incompleteBeta(0.5, 0, 1)).toThrow('Beta(0, 1)');
  expect(() => inverseIncompleteBeta(1.1, 1, 1)).toThrow('p 1.1');
  expect(() => inverseIncompleteBeta(0.5, Infinity, 1)).toThrow('Beta(Infinity, 1)');
  for (const p of [0, 1, NaN]) expect(() => normalQuantile(p)).toThrow('normalQuantile');
});

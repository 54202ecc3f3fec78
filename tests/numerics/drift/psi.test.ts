import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { psiOfCategories, psiOfCounts, psiOfNumbers } from '../../../numerics/drift/psi.ts';
import { Random } from '../../../numerics/random.ts';

type Side = (number | string | null)[];
const { cases } = JSON.parse(readFileSync(new URL('../../golden/numerics/psi.json', import.meta.url), 'utf8')) as {
  cases: { name: string; kind: string; reference: Side; current: Side; psi: number }[];
};

const of: Record<string, (reference: Side, current: Side) => number> = {
  numbers: (...sides) => psiOfNumbers(numbers(sides[0]), numbers(sides[1])).psi,
  categories: (...sides) => psiOfCategories(sides[0] as string[], sides[1] as string[]).psi,
  counts: (...sides) => psiOfCounts(sides[0] as number[], sides[1] as number[]).psi,
};
const numbers = (side: Side): Float64Array => Float64Array.from(side as number[], (value) => value ?? NaN);

describe('PSI equals that of Evidently to 1e-12', () => {
  it.each(cases)('$name', ({ kind, reference, current, psi }) => {
    expect(Math.abs(of[kind]!(reference, current) - psi)).toBeLessThan(1e-12 * Math.max(1, psi));
  });
});

const anyCounts = fc.array(fc.tuple(fc.nat({ max: 500 }), fc.nat({ max: 500 })), { minLength: 1, maxLength: 30 });

it('PSI is never negative, 0 against itself, and does not mind the order of bins', () => {
  fc.assert(
    fc.property(anyCounts, (drawn) => {
      const reference = [1, ...drawn.map(([count]) => count)];
      const current = [1, ...drawn.map(([, count]) => count)];
      const { psi, bins } = psiOfCounts(reference, current);
      expect(psi).toBeGreaterThanOrEqual(0);
      expect(bins).toBe(reference.filter((count, i) => count + current[i]! > 0).length);
      expect(psiOfCounts(reference, reference).psi).toBe(0);
      expect(psiOfCounts(reference.toReversed(), current.toReversed()).psi).toBeCloseTo(psi, 12);
      expect(psiOfCounts(current, reference).psi).toBeCloseTo(psi, 12);
    }),
  );
});

it('of numbers, PSI does not mind a shift and a scale of both sides', () => {
  const side = fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 40, maxLength: 80 });
  fc.assert(
    fc.property(side, side, (reference, current) => {
      const moved = (values: number[]) => values.map((value) => 4 * value + 1024);
      expect(psiOfNumbers(moved(reference), moved(current))).toEqual(psiOfNumbers(reference, current));
    }),
  );
});

it('the excess is 0 on average where nothing has changed, though PSI is not', () => {
  const random = new Random(3);
  const [trials, bins, n1, n2] = [800, 10, 1_000, 500];
  const draw = (n: number) => {
    const counts = Array.from({ length: bins }, () => 0);
    for (let i = 0; i < n; i++) counts[Math.floor(random.float() * bins)]!++;
    return counts;
  };
  let psi = 0;
  let excess = 0;
  for (let trial = 0; trial < trials; trial++) {
    const found = psiOfCounts(draw(n1), draw(n2));
    psi += found.psi / trials;
    excess += found.excess / trials;
  }
  const mean = 9 * (1 / n1 + 1 / n2);
  expect(psi).toBeGreaterThan(0.9 * mean);
  expect(Math.abs(excess)).toBeLessThan(0.05 * mean);
});

it('examples', () => {
  expect(psiOfCounts([50, 50], [70, 30]).psi).toBeCloseTo(0.1695, 4);
  expect(psiOfCounts([50, 50], [70, 30]).excess).toBeCloseTo(0.1495, 4);
  expect(psiOfCategories(['a', null, 'b'], ['a', 'b', 'b', null])).toMatchObject({ bins: 2 });
});

it('refuses a side without rows, bins that differ, and what is no count', () => {
  expect(() => psiOfCounts([1], [0])).toThrow('no current rows');
  expect(() => psiOfNumbers([NaN], [1])).toThrow('no reference rows');
  expect(() => psiOfNumbers([1], [Infinity])).toThrow('Infinity in the current rows');
  expect(() => psiOfCategories([null], ['a'])).toThrow('no reference rows');
  expect(() => psiOfCounts([1, 2], [1])).toThrow('2 reference bins, 1 current bins');
  expect(() => psiOfCounts([1, NaN], [1, 1])).toThrow('NaN reference rows in bin 1');
});

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Random } from '../../numerics/random.ts';

const draws = (random: Random, n: number): number[] => Array.from({ length: n }, () => random.uint32());

it('a state is gone on from as if nothing had happened', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat({ max: 50 }), (seed, n) => {
      const random = new Random(seed);
      draws(random, n);
      const state = JSON.parse(JSON.stringify(random.state())) as number[];
      expect(draws(new Random(state), 20)).toEqual(draws(random, 20));
    }),
  );
});

it('xoshiro128** gives the numbers of its reference implementation', () => {
  expect(draws(new Random([1, 2, 3, 4]), 10)).toEqual([
    11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
  ]);
});

it('the worked value of the docstring holds', () => {
  expect(new Random(7).float()).toBe(0.23382771760225296);
});

it('seeds that differ beyond 32 bits give different draws', () => {
  expect(draws(new Random(7), 4)).not.toEqual(draws(new Random(7 + 2 ** 40), 4));
});

it('floats are in [0, 1) and even', () => {
  const random = new Random(1);
  const tenths = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 100_000; i++) tenths[Math.floor(random.float() * 10)]!++;
  for (const count of tenths) expect(Math.abs(count - 10_000)).toBeLessThan(400);
});

it('a sample is ascending, without repetition, of its size, and every integer is as likely', () => {
  const random = new Random(3);
  const counts = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 2_000; i++) {
    const sample = [...random.sample(10, 3)];
    expect(new Set(sample).size).toBe(3);
    expect(sample).toEqual(sample.toSorted((a, b) => a - b));
    for (const value of sample) counts[value]!++;
  }
  for (const count of counts) expect(Math.abs(count - 600)).toBeLessThan(110);
});

it('refuses seeds and sizes that mean nothing', () => {
  expect(() => new Random(-1)).toThrow(RangeError);
  expect(() => new Random([0, 0, 0, 0])).toThrow(RangeError);
  expect(() => new Random(1).sample(3, 4)).toThrow(RangeError);
});

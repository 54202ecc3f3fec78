import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ThresholdGoal } from '../../numerics/threshold.ts';
import { confusion } from '../../numerics/metrics/index.ts';
import { bestThreshold } from '../../numerics/threshold.ts';

it('the threshold lies half way between the rows that it parts', () => {
  expect(bestThreshold([0, 0, 1, 1], [0.1, 0.3, 0.5, 0.9], 'accuracy')).toBe(0.4);
});

it('a dear false positive raises the threshold, a dear false negative lowers it', () => {
  const labels = [0, 1, 0, 1, 0, 1];
  const probabilities = [0.1, 0.2, 0.4, 0.5, 0.7, 0.8];
  expect(bestThreshold(labels, probabilities, { falsePositive: 10, falseNegative: 1 })).toBeCloseTo(0.75, 12);
  expect(bestThreshold(labels, probabilities, { falsePositive: 1, falseNegative: 10 })).toBeCloseTo(0.15, 12);
});

it('where no call pays, nothing is called positive, not even a probability of 1', () => {
  const threshold = bestThreshold([0, 0], [0.2, 1], { falsePositive: 1, falseNegative: 1 });
  expect(threshold).toBeGreaterThan(1);
});

it('no threshold is better, by cost, F1 or accuracy', () => {
  const rows = fc.array(fc.tuple(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 10 })), { minLength: 1 });
  const goals = fc.oneof(
    fc.constantFrom<ThresholdGoal[]>('f1', 'accuracy'),
    fc.record({ falsePositive: fc.nat({ max: 9 }), falseNegative: fc.nat({ max: 9 }) }),
  );
  fc.assert(
    fc.property(rows, goals, (drawn, goal) => {
      const labels = [1, ...drawn.map(([label]) => label)];
      const probabilities = [0.5, ...drawn.map(([, tenths]) => tenths / 10)];
      const badness = (threshold: number): number => {
        const c = confusion(labels, probabilities, threshold);
        const wrong = c.falsePositive + c.falseNegative;
        if (goal === 'f1') return -(2 * c.truePositive) / (2 * c.truePositive + wrong);
        if (goal === 'accuracy') return wrong;
        return goal.falsePositive * c.falsePositive + goal.falseNegative * c.falseNegative;
      };
      const found = badness(bestThreshold(labels, probabilities, goal));
      for (let tenths = 0; tenths <= 11; tenths++) expect(found).toBeLessThanOrEqual(badness(tenths / 10));
    }),
  );
});

it('refuses NaN, negative costs, no rows, and F1 without a positive row', () => {
  expect(() => bestThreshold([0, 1], [NaN, 1], 'f1')).toThrow('NaN of row 0 is not a probability');
  expect(() => bestThreshold([0, 1], [0, 1], { falsePositive: -1, falseNegative: 1 })).toThrow('costs -1 and 1');
  expect(() => bestThreshold([], [], 'accuracy')).toThrow('no rows');
  expect(() => bestThreshold([0], [0.5], 'f1')).toThrow('F1 needs a positive row');
});

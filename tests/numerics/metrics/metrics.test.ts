import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  accuracy,
  auc,
  averagePrecision,
  binaryMetrics,
  brier,
  calibrationError,
  confusionMatrix,
  f1,
  logLoss,
  macroF1,
  mae,
  mostLikely,
  multiclassLogLoss,
  multiclassMetrics,
  r2,
  regressionMetrics,
  rmse,
} from '../../../numerics/metrics/index.ts';

interface Case {
  name: string;
  labels: number[];
  expected: Record<string, unknown>;
}
const golden = JSON.parse(readFileSync(new URL('../../golden/numerics/metrics.json', import.meta.url), 'utf8')) as {
  binary: (Case & { probabilities: number[]; threshold: number })[];
  multiclass: (Case & { probabilities: number[][] })[];
  regression: (Case & { predictions: number[] })[];
};

/** Names of figures that differ by more than 1e-9, relative above 1; whole numbers and tables must be equal. */
function differing(found: Record<string, unknown>, expected: Record<string, unknown>): string[] {
  return [...new Set([...Object.keys(found), ...Object.keys(expected)])].filter((name) => {
    const [ours, theirs] = [found[name], expected[name]];
    if (typeof ours !== 'number' || typeof theirs !== 'number') return !isDeepStrictEqual(ours, theirs);
    return !(Math.abs(ours - theirs) <= 1e-9 * Math.max(1, Math.abs(theirs)));
  });
}

describe('metrics equal those of scikit-learn', () => {
  it.each(golden.binary)('binary: $name', ({ labels, probabilities, threshold, expected }) => {
    expect(differing(binaryMetrics(labels, probabilities, threshold), expected)).toEqual([]);
  });
  it.each(golden.multiclass)('multiclass: $name', ({ labels, probabilities, expected }) => {
    expect(differing(multiclassMetrics(labels, probabilities), expected)).toEqual([]);
  });
  it.each(golden.regression)('regression: $name', ({ labels, predictions, expected }) => {
    expect(differing(regressionMetrics(labels, predictions), expected)).toEqual([]);
  });
});

it('the worked values of the docstrings hold', () => {
  expect(auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])).toBe(0.75);
  expect(averagePrecision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])).toBeCloseTo(0.8333, 4);
  expect(logLoss([0, 1], [0.5, 0.5])).toBeCloseTo(0.6931, 4);
  expect(brier([0, 1], [0.2, 0.6])).toBeCloseTo(0.1, 12);
  expect(calibrationError([0, 1], [0.25, 0.75])).toBe(0.25);
  expect(
    accuracy([
      [3, 1],
      [0, 4],
    ]),
  ).toBe(0.875);
  expect(f1({ truePositive: 2, falsePositive: 1, trueNegative: 5, falseNegative: 1 })).toBeCloseTo(0.6667, 4);
  expect(
    macroF1([
      [2, 0],
      [1, 1],
    ]),
  ).toBeCloseTo(0.7333, 4);
  expect(rmse([1, 2], [1, 4])).toBeCloseTo(1.4142, 4);
  expect(mae([1, 2], [1, 4])).toBe(1);
  expect(r2([1, 2, 3], [1, 2, 4])).toBe(0.5);
});

describe('what has no answer is refused, never NaN', () => {
  const half = [0.5, 0.5];
  it.each<[string, () => unknown, string]>([
    ['auc of positives alone', () => auc([1, 1], half), '2 positive and 0 negative rows'],
    ['auc of negatives alone', () => auc([0, 0], half), '0 positive and 2 negative rows'],
    ['auc with a NaN score', () => auc([0, 1], [0.5, NaN]), 'score of row 1 is NaN'],
    ['average precision without a positive', () => averagePrecision([0, 0], half), 'no positive row'],
    ['average precision with a NaN score', () => averagePrecision([0, 1], [NaN, 1]), 'score of row 0 is NaN'],
    ['log-loss of no rows', () => logLoss([], []), 'no rows'],
    ['log-loss of NaN', () => logLoss([1], [NaN]), 'NaN of row 0 is not a probability'],
    ['log-loss above 1', () => logLoss([1], [1.5]), '1.5 of row 0 is not a probability'],
    ['brier of a label that is not one', () => brier([2], [0.5]), 'label 2 of row 0'],
    ['calibration of different lengths', () => calibrationError([0], half), '1 labels, 2 scores'],
    [
      'f1 of nothing',
      () => f1({ truePositive: 0, falsePositive: 0, trueNegative: 3, falseNegative: 0 }),
      'no row is positive',
    ],
    ['binary metrics of one class', () => binaryMetrics([0, 0], half, 0.5), 'it needs both'],
    ['binary metrics at a NaN threshold', () => binaryMetrics([0, 1], half, NaN), 'threshold is NaN'],
    ['multiclass metrics with NaN', () => multiclassMetrics([0], [[NaN], [1]]), 'row 0 is NaN'],
    ['multiclass metrics with an unknown class', () => multiclassMetrics([2], [[0.5], [0.5]]), 'label 2 of row 0'],
    ['multiclass log-loss with an unknown class', () => multiclassLogLoss([0.5], [[0.5], [0.5]]), 'label 0.5'],
    ['confusion with an unknown answer', () => confusionMatrix([0], [3], 2), 'label 3 of row 0'],
    ['most likely of no classes', () => mostLikely([]), 'no classes'],
    ['accuracy of no rows', () => accuracy([[0]]), 'no rows'],
    ['macro F1 of no rows', () => macroF1([[0]]), 'no rows'],
    ['r2 of a constant', () => r2([3, 3], [1, 2]), 'all labels are the same'],
    ['r2 of a constant that is no binary fraction', () => r2([0.1, 0.1, 0.1], [1, 2, 3]), 'all labels are the same'],
    ['rmse of an infinite prediction', () => rmse([1], [Infinity]), 'prediction Infinity'],
    ['mae of NaN', () => mae([NaN], [1]), 'label NaN'],
  ])('%s', (_, compute, message) => {
    expect(compute).toThrow(RangeError);
    expect(compute).toThrow(message);
  });
});

/** Rows with both classes and scores that tie often. */
const scored = fc
  .array(fc.record({ label: fc.constantFrom(0, 1), score: fc.integer({ min: -20, max: 20 }) }), { minLength: 2 })
  .filter((rows) => rows.some(({ label }) => label === 1) && rows.some(({ label }) => label === 0));
const labelsOf = (rows: { label: number }[]): number[] => rows.map(({ label }) => label);
const scoresOf = (rows: { score: number }[]): number[] => rows.map(({ score }) => score);

it('auc and average precision do not change to the bit under a monotone map of the scores', () => {
  fc.assert(
    fc.property(scored, (rows) => {
      const mapped = scoresOf(rows).map((score) => Math.exp(score / 3) - 5);
      expect(auc(labelsOf(rows), mapped)).toBe(auc(labelsOf(rows), scoresOf(rows)));
      expect(averagePrecision(labelsOf(rows), mapped)).toBe(averagePrecision(labelsOf(rows), scoresOf(rows)));
    }),
  );
});

it('auc and average precision do not change to the bit when rows are reordered', () => {
  const reordered = scored.chain((rows) =>
    fc.tuple(fc.constant(rows), fc.shuffledSubarray(rows, { minLength: rows.length })),
  );
  fc.assert(
    fc.property(reordered, ([rows, shuffled]) => {
      expect(auc(labelsOf(shuffled), scoresOf(shuffled))).toBe(auc(labelsOf(rows), scoresOf(rows)));
      expect(averagePrecision(labelsOf(shuffled), scoresOf(shuffled))).toBe(
        averagePrecision(labelsOf(rows), scoresOf(rows)),
      );
    }),
  );
});

it('auc of the opposite labels is the complement', () => {
  fc.assert(
    fc.property(scored, (rows) => {
      const opposite = labelsOf(rows).map((label) => 1 - label);
      expect(auc(opposite, scoresOf(rows)) + auc(labelsOf(rows), scoresOf(rows))).toBeCloseTo(1, 12);
    }),
  );
});

it('auc counts −0 and 0 as a tie', () => {
  expect(auc([0, 1], [0, -0])).toBe(0.5);
});

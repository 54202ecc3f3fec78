import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fitLinear } from '../../../numerics/linear/index.ts';
import { Random } from '../../../numerics/random.ts';
import { scoresOf } from '../../../numerics/scores.ts';

type Task = 'binary' | 'multiclass' | 'regression';
const golden = JSON.parse(readFileSync(new URL('../../golden/numerics/linear.json', import.meta.url), 'utf8')) as {
  rows: number;
  columns: number;
  values: number[];
  labels: Record<Task, number[]>;
  fits: Record<Task, { l2: number; intercepts: number[]; coefficients: number[] }[]>;
};
const features = { rows: golden.rows, columns: golden.columns, values: Float32Array.from(golden.values) };
const tasks: Task[] = ['binary', 'multiclass', 'regression'];

describe('coefficients equal those of scikit-learn', () => {
  for (const task of tasks)
    it.each(golden.fits[task])(`${task}, l2 = $l2`, ({ l2, intercepts, coefficients }) => {
      const labels = Float64Array.from(golden.labels[task]);
      const model = fitLinear({ task, classes: 3 }, { l2, maxIterations: 200 }, { features, labels });
      // The optimum is unique, so what differs is where each search stops: linear.py says how near that is.
      const far = (found: number[], expected: number[]): number =>
        Math.max(...expected.map((value, i) => Math.abs(found[i]! - value) / Math.max(1, Math.abs(value))));
      expect(far(model.coefficients, coefficients)).toBeLessThan(1e-6);
      expect(far(model.intercepts, intercepts)).toBeLessThan(1e-6);
    });
});

it('a redundant one-hot column without a penalty is harmless', () => {
  const labels = Float64Array.from(golden.labels.regression);
  const free = fitLinear({ task: 'regression' }, { l2: 0, maxIterations: 200 }, { features, labels });
  const held = fitLinear({ task: 'regression' }, { l2: 1e-6, maxIterations: 200 }, { features, labels });
  const [a, b] = [scoresOf(free, features)[0]!, scoresOf(held, features)[0]!];
  for (const [row, value] of a.entries()) expect(value).toBeCloseTo(b[row]!, 4);
});

it('a separable table without a penalty ends, with finite coefficients', () => {
  const values = Float32Array.from({ length: 100 }, (_, row) => row);
  const labels = Float64Array.from({ length: 100 }, (_, row) => (row < 50 ? 0 : 1));
  const table = { features: { rows: 100, columns: 1, values }, labels };
  const { coefficients } = fitLinear({ task: 'binary' }, { l2: 0, maxIterations: 50 }, table);
  expect(Number.isFinite(coefficients[0])).toBe(true);
});

it('softmax of two classes gives the probabilities of logistic with half the penalty', () => {
  const labels = Float64Array.from(golden.labels.binary);
  const one = fitLinear({ task: 'binary' }, { l2: 1, maxIterations: 200 }, { features, labels });
  // w and −w: each carries half of the logistic weight, so the squares add up to half of its square.
  const two = fitLinear({ task: 'multiclass', classes: 2 }, { l2: 2, maxIterations: 200 }, { features, labels });
  const [p, q] = [scoresOf(one, features)[0]!, scoresOf(two, features)[1]!];
  for (const [row, value] of p.entries()) expect(value).toBeCloseTo(q[row]!, 6);
});

it('the same rows give the same bits', () => {
  const labels = Float64Array.from(golden.labels.multiclass);
  const fit = () => fitLinear({ task: 'multiclass', classes: 3 }, { l2: 1, maxIterations: 200 }, { features, labels });
  expect(fit()).toEqual(fit());
});

it('a missing or infinite value is refused with its column and row', () => {
  const labels = Float64Array.from(golden.labels.binary);
  for (const bad of [NaN, Infinity]) {
    const values = features.values.slice();
    values[2 * features.rows + 5] = bad;
    const table = { features: { ...features, values }, labels };
    expect(() => fitLinear({ task: 'binary' }, { l2: 1, maxIterations: 9 }, table)).toThrow(
      `column 2 is ${bad} in row 5`,
    );
  }
});

it.each<[string, Task, number[], string]>([
  ['one class only', 'binary', [1, 1], 'every label is class 1'],
  ['a constant target', 'regression', [3, 3], 'every target is 3'],
  ['a label that is no class', 'multiclass', [0, 3], 'label 3 of row 1 is not a multiclass label'],
  ['fewer labels than rows', 'binary', [1], '2 rows of features, 1 labels'],
])('%s is refused', (_, task, labels, message) => {
  const table = {
    features: { rows: 2, columns: 1, values: Float32Array.of(1, 2) },
    labels: Float64Array.from(labels),
  };
  expect(() => fitLinear({ task, classes: 3 }, { l2: 1, maxIterations: 9 }, table)).toThrow(message);
});

it('a hundred one-hot columns of 20,000 rows take seconds', () => {
  const random = new Random(1);
  const [rows, columns] = [20_000, 104];
  const values = new Float32Array(rows * columns);
  const labels = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < 4; c++) values[c * rows + row] = random.float();
    const kind = Math.floor(random.float() ** 2 * 100);
    values[(4 + kind) * rows + row] = 1;
    labels[row] = random.float() < (values[row]! + (kind % 10) / 10) / 2 ? 1 : 0;
  }
  const before = process.cpuUsage();
  fitLinear({ task: 'binary' }, { l2: 1, maxIterations: 200 }, { features: { rows, columns, values }, labels });
  expect(process.cpuUsage(before).user / 1e6).toBeLessThan(10);
});

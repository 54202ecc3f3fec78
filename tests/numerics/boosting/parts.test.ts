import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { binColumns, quantileEdges } from '../../../numerics/boosting/binning.ts';
import { Grower } from '../../../numerics/boosting/grow.ts';
import {
  buildHistogram,
  emptyHistogram,
  histogramOffsets,
  subtractInPlace,
} from '../../../numerics/boosting/histogram.ts';
import { lossOf } from '../../../numerics/boosting/objectives.ts';
import { predictMargins } from '../../../numerics/boosting/predict.ts';
import { findSplit } from '../../../numerics/boosting/split.ts';
import { Random } from '../../../numerics/random.ts';

const float32 = fc.float({ noNaN: false });
const noLimits = { l2: 0, minChildWeight: 0, minChildRows: 1 };

describe('binning', () => {
  it('a value is in the bin that its comparison with the edges says, in float32', () => {
    const columns = fc.array(float32, { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(columns, fc.integer({ min: 2, max: 255 }), (list, max) => {
        const values = Float32Array.from(list);
        const { bins, edges } = binColumns({ rows: values.length, columns: 1, values }, max);
        const own = edges[0]!;
        expect(own.length).toBeLessThanOrEqual(max);
        const right = (value: number, bin: number): boolean => {
          if (Number.isNaN(value)) return bin === own.length;
          if (value === Infinity) return bin === own.length - 1;
          return value <= own[bin]! && (bin === 0 || value > own[bin - 1]!);
        };
        for (const [row, value] of values.entries()) expect(right(value, bins[row]!)).toBe(true);
      }),
    );
  });

  it('neighbouring float32 values are kept apart: lower <= edge < upper', () => {
    const lower = Math.fround(0.1);
    const upper = Math.fround(lower + 2 ** -27);
    expect(upper).toBeGreaterThan(lower);
    const [edge] = quantileEdges(Float32Array.of(lower, upper), 255);
    expect(edge! >= lower && edge! < upper).toBe(true);
  });

  it('few distinct values have a bin each', () => {
    const values = Float32Array.from({ length: 1000 }, (_, i) => i % 7);
    expect([...quantileEdges(values, 7)].slice(0, 6)).toEqual([0.5, 1.5, 2.5, 3.5, 4.5, 5.5]);
  });

  it('many distinct values are in bins of nearly equal count', () => {
    const random = new Random(1);
    const values = Float32Array.from({ length: 10_000 }, () => random.float() ** 4);
    const { bins } = binColumns({ rows: 10_000, columns: 1, values }, 50);
    const counts = Array.from({ length: 50 }, () => 0);
    for (const bin of bins) counts[bin]!++;
    for (const count of counts) expect(Math.abs(count - 200)).toBeLessThanOrEqual(10);
  });

  it('a value as frequent as a bin ends one, and begins one where the bin before is half full', () => {
    const values = Float32Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? 500 : i));
    const edges = [...quantileEdges(values, 10)];
    const at = edges.findIndex((edge) => edge >= 500);
    expect(edges[at]).toBe(500.5);
    // 500 rows are left for nine bins; fewer than half of a bin's 56 may lie between the edge before and 500.
    expect(values.filter((value) => value > edges[at - 1]! && value < 500).length).toBeLessThan(28);
  });

  it('a column of nothing but missing values has only the bin for them', () => {
    const { bins, edges } = binColumns({ rows: 2, columns: 1, values: Float32Array.of(NaN, NaN) }, 255);
    expect([...bins]).toEqual([0, 0]);
    expect(edges[0]!.length).toBe(0);
  });
});

/** A random table with integer gradients, so that sums are exact in any order. */
function randomTable(seed: number, rows: number, columns: number) {
  const random = new Random(seed);
  const values = Float32Array.from({ length: rows * columns }, () =>
    random.float() < 0.1 ? NaN : Math.floor(random.float() * 30),
  );
  const gradients = Float64Array.from({ length: rows }, () => Math.floor(random.float() * 21) - 10);
  const hessians = Float64Array.from({ length: rows }, () => 1 + Math.floor(random.float() * 4));
  return { features: { rows, columns, values }, gradients, hessians };
}
const interleave = (g: Float64Array, h: Float64Array, rows: Int32Array): Float64Array =>
  Float64Array.from({ length: 2 * rows.length }, (_, i) => (i % 2 ? h : g)[rows[i >> 1]!]!);

it("a parent's histogram less one child's is the other child's, and every feature's bins sum to the node", () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 2, max: 200 }), (seed, n) => {
      const { features, gradients, hessians } = randomTable(seed, n, 6);
      const binned = binColumns(features, 8);
      const offsets = histogramOffsets(binned);
      const all = Int32Array.of(0, 1, 2, 3, 4, 5); // four in one pass, and two
      const build = (rows: Int32Array) => {
        const histogram = emptyHistogram(offsets);
        buildHistogram(histogram, binned, offsets, all, rows, interleave(gradients, hessians, rows));
        return histogram;
      };
      const rows = Int32Array.from({ length: n }, (_, row) => row);
      const parent = build(rows);
      for (const f of all) {
        const own = parent.subarray(3 * offsets[f]!, 3 * offsets[f + 1]!);
        const sum = (part: number) => own.reduce((total, value, i) => (i % 3 === part ? total + value : total), 0);
        expect(sum(0)).toBe(gradients.reduce((a, b) => a + b, 0));
        expect(sum(1)).toBe(hessians.reduce((a, b) => a + b, 0));
        expect(sum(2)).toBe(n);
      }
      subtractInPlace(parent, build(rows.filter((row) => row % 3 === 0)), offsets, all);
      expect(parent).toEqual(build(rows.filter((row) => row % 3 !== 0)));
    }),
  );
});

it('the split found is the best of all, tried one by one', () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 2, max: 60 }), fc.integer({ min: 1, max: 4 }), (seed, n, minChildRows) => {
      const { features, gradients, hessians } = randomTable(seed, n, 2);
      const limits = { l2: 1, minChildWeight: 3, minChildRows };
      const binned = binColumns(features, 255);
      const offsets = histogramOffsets(binned);
      const rows = Int32Array.from({ length: n }, (_, row) => row);
      const histogram = emptyHistogram(offsets);
      const both = Int32Array.of(0, 1);
      buildHistogram(histogram, binned, offsets, both, rows, interleave(gradients, hessians, rows));
      const sum = (of: Float64Array, chosen: Int32Array) => chosen.reduce((total, row) => total + of[row]!, 0);
      const node = { gradient: sum(gradients, rows), hessian: sum(hessians, rows), rows: n };
      const score = (g: number, h: number) => (g * g) / (h + 1);
      let best = 0;
      for (const f of both)
        for (const edge of binned.edges[f]!)
          for (const missingLeft of [true, false]) {
            const goesLeft = (row: number) => {
              const value = features.values[f * n + row]!;
              return Number.isNaN(value) ? missingLeft : value <= edge;
            };
            const left = rows.filter(goesLeft);
            const [g, h] = [sum(gradients, left), sum(hessians, left)];
            if (left.length < minChildRows || n - left.length < minChildRows) continue;
            if (h < 3 || node.hessian - h < 3) continue;
            const gain = score(g, h) + score(node.gradient - g, node.hessian - h) - score(node.gradient, node.hessian);
            best = Math.max(best, gain);
          }
      const found = findSplit(histogram, offsets, both, node, limits);
      expect(found?.gain ?? 0).toBeCloseTo(best, 6);
      const { left, right } = found ?? { left: node, right: { gradient: 0, hessian: 0, rows: 0 } };
      expect(left.gradient + right.gradient).toBe(node.gradient);
      expect(left.hessian + right.hessian).toBe(node.hessian);
      expect(left.rows + right.rows).toBe(n);
    }),
  );
});

it('missing values go where they lower the loss, and a split may be missing or not', () => {
  const values = Float32Array.of(1, 2, 3, 4, NaN, NaN);
  const binned = binColumns({ rows: 6, columns: 1, values }, 255);
  const grower = new Grower(binned, { ...noLimits, maxDepth: 1, learningRate: 1 });
  const rows = Int32Array.of(0, 1, 2, 3, 4, 5);
  const tree = grower.grow(rows, Float64Array.of(1, 1, 1, 1, -9, -9), new Float64Array(6).fill(1), Int32Array.of(0));
  expect(tree.feature).toEqual([0, -1, -1]);
  expect(tree.missingLeft[0]).toBe(0);
  expect(tree.value).toEqual([0, -1, 9]);
  const model = { kind: 'treeEnsemble', task: 'regression', outputs: 1, baseMargins: [0], trees: [tree] } as const;
  const seen = predictMargins({ ...model, baseMargins: [0], trees: [tree] }, { rows: 6, columns: 1, values });
  expect([...seen]).toEqual([-1, -1, -1, -1, 9, 9]);
});

it('a tree gives the leaf −G / (H + λ) of the rows that reach it', () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 2, max: 300 }), (seed, n) => {
      const { features, gradients, hessians } = randomTable(seed, n, 3);
      const grower = new Grower(binColumns(features, 16), {
        l2: 1,
        minChildWeight: 2,
        minChildRows: 2,
        maxDepth: 4,
        learningRate: 0.5,
      });
      const rows = Int32Array.from({ length: n }, (_, row) => row);
      const tree = grower.grow(rows, gradients, hessians, Int32Array.of(0, 1, 2));
      const model = { kind: 'treeEnsemble' as const, task: 'regression' as const, outputs: 1, baseMargins: [0] };
      // A tree whose leaves hold their own number says which leaf each row reaches.
      const numbered = { ...tree, value: tree.value.map((_, node) => node) };
      const leaves = predictMargins({ ...model, trees: [numbered] }, features);
      const sums = new Map<number, { g: number; h: number }>();
      for (const row of rows) {
        const sum = sums.get(leaves[row]!) ?? { g: 0, h: 0 };
        sums.set(leaves[row]!, { g: sum.g + gradients[row]!, h: sum.h + hessians[row]! });
      }
      for (const [leaf, { g, h }] of sums) expect(tree.value[leaf]).toBe(Math.fround((-g / (h + 1)) * 0.5) + 0);
      expect(sums.size).toBe(tree.feature.filter((f) => f < 0).length);
    }),
  );
});

it('predictMargins sums float32 leaves in tree order and adds the base last', () => {
  const leaf = (value: number) => ({
    feature: [-1],
    threshold: [0],
    left: [-1],
    right: [-1],
    missingLeft: [0],
    value: [value],
  });
  const model = {
    kind: 'treeEnsemble' as const,
    task: 'regression' as const,
    outputs: 1,
    baseMargins: [-1e8],
    trees: [leaf(1e8), leaf(3), leaf(3)],
  };
  const [margin] = predictMargins(model, { rows: 1, columns: 1, values: Float32Array.of(0) });
  // In float32 1e8 + 3 is 1e8: base first would give 6.
  expect(margin).toBe(0);
});

it.each(['binary', 'multiclass', 'regression'] as const)('the %s slopes are the derivatives of the loss', (task) => {
  const loss = lossOf({ task, classes: 3 });
  const labels = Float64Array.of(1, 0, task === 'multiclass' ? 2 : 1);
  const margins = Float64Array.from({ length: 3 * loss.outputs }, (_, i) => Math.sin(i * 7) * 2);
  const slopes = { gradients: new Float64Array(margins.length), hessians: new Float64Array(margins.length) };
  const told = loss.evaluate(margins, labels, slopes);
  expect(loss.evaluate(margins, labels)).toBe(told);
  const half = task === 'regression' ? 0.5 : 1; // told as the mean squared error, descended as half of it
  for (const [i, margin] of margins.entries()) {
    const at = (x: number) => loss.evaluate(margins.with(i, x), labels) * 3 * half;
    expect(slopes.gradients[i]).toBeCloseTo((at(margin + 1e-5) - at(margin - 1e-5)) / 2e-5, 6);
    const second = (at(margin + 1e-3) - 2 * told * 3 * half + at(margin - 1e-3)) / 1e-6;
    expect(slopes.hessians[i]).toBeCloseTo(task === 'multiclass' ? second * 1.5 : second, 5);
  }
});

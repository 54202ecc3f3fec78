import { describe, expect, it } from 'vitest';
import {
  buildHead,
  derive,
  featureMatrix,
  featureNames,
  fitPreprocessing,
  graphInputs,
  usesPredictedAt,
} from '../../onnx/index.ts';
import type { Column, GraphSpec } from '../../schemas/index.ts';
import { graphOf, table } from './support/graphs.ts';

async function fit(graph: GraphSpec, columns: Record<string, Column>, scheme: 'trees' | 'linear') {
  const inputs = table(columns);
  const { derived } = await derive(graph, inputs, new Float64Array(inputs.rows));
  return fitPreprocessing(graph, inputs, derived, scheme);
}

/** Rows of the feature matrix. */
async function features(graph: GraphSpec, fitted: Awaited<ReturnType<typeof fit>>, columns: Record<string, Column>) {
  const inputs = table(columns);
  const {
    rows,
    columns: width,
    values,
  } = await featureMatrix(buildHead(graph, fitted), graph, inputs, new Float64Array(inputs.rows));
  return Array.from({ length: rows }, (_, r) => Array.from({ length: width }, (_column, c) => values[c * rows + r]!));
}

describe('preprocessing for trees', () => {
  const graph = graphOf(
    {
      s: { type: 'string', nullable: true },
      x: { type: 'number', nullable: true },
      own: { type: 'string', nullable: true, impute: 'none' },
      b: { type: 'boolean', nullable: true },
      raw: { type: 'number', nullable: true, impute: 'none' },
    },
    { twice: 'x * 2' },
  );
  const training = {
    s: ['c', 'a', 'a', 'b', 'a', 'b', null],
    x: Float64Array.of(4, 1, 2, NaN, 10, NaN, NaN),
    own: ['u', null, 'v', 'v', '', 'v', null],
    b: Float64Array.of(1, 1, 0, NaN, NaN, NaN, NaN),
    raw: Float64Array.of(1, NaN, 3, 4, 5, 6, 7),
  };

  it('learns medians, the most frequent, and texts from rare to frequent', async () => {
    expect(await fit(graph, training, 'trees')).toEqual({
      features: [
        { kind: 'category', name: 's', vocabulary: ['c', 'b', 'a'], fill: 'a', encoding: 'ordinal' },
        { kind: 'number', name: 'x', fill: 3 },
        { kind: 'category', name: 'own', vocabulary: ['u', 'v', ''], fill: null, encoding: 'ordinal' },
        { kind: 'number', name: 'b', fill: 1 },
        { kind: 'number', name: 'raw', fill: null },
        { kind: 'number', name: 'twice', fill: 6 },
      ],
    });
  });

  it('fills and encodes new rows: a text never seen is -1, a missing one the fill or its own', async () => {
    const fitted = await fit(graph, training, 'trees');
    const rows = await features(graph, fitted, {
      s: ['a', 'new', null],
      x: Float64Array.of(0.1, NaN, 7),
      own: ['v', null, 'new'],
      b: Float64Array.of(0, NaN, 1),
      raw: Float64Array.of(NaN, 2 ** 24 + 1, -1),
    });
    expect(rows).toEqual([
      [2, Math.fround(0.1), 1, 0, NaN, Math.fround(0.2)],
      [-1, 3, 2, 1, 2 ** 24, 6],
      [2, 7, -1, 1, -1, 14],
    ]);
  });

  it('takes equals in the order of the alphabet, whatever the order of the rows', async () => {
    const one = await fit(graph, { ...training, s: ['a', 'b', 'c', 'c', 'b', 'a', 'd'] }, 'trees');
    const other = await fit(graph, { ...training, s: ['d', 'c', 'b', 'a', 'a', 'b', 'c'] }, 'trees');
    expect(one.features[0]).toEqual(other.features[0]);
    expect(one.features[0]).toMatchObject({ vocabulary: ['d', 'c', 'b', 'a'] });
  });

  it('keeps the ten thousand most frequent texts', async () => {
    const only = graphOf({ s: { type: 'string' } });
    const s = Array.from({ length: 10_050 }, (_, i) => `v${i}`);
    const fitted = await fit(only, { s: [...s, ...s.slice(0, 100)] }, 'trees');
    const [feature] = fitted.features;
    expect(feature).toMatchObject({ kind: 'category' });
    const vocabulary = feature!.kind === 'category' ? feature!.vocabulary : [];
    expect(vocabulary).toHaveLength(10_000);
    expect(new Set(vocabulary.slice(-100))).toEqual(new Set(s.slice(0, 100)));
  });

  it('fills a column without a single value with 0, and an empty text with -1', async () => {
    const only = graphOf({ x: { type: 'number', nullable: true }, s: { type: 'string', nullable: true } });
    const columns = { x: Float64Array.of(NaN, NaN), s: [null, null] };
    const fitted = await fit(only, columns, 'trees');
    expect(await features(only, fitted, columns)).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });
});

describe('preprocessing for linear models', () => {
  const graph = graphOf({
    s: { type: 'string', nullable: true, impute: 'none' },
    x: { type: 'number', nullable: true, impute: 'none' },
    same: { type: 'number' },
  });
  const s = [
    ...Array.from({ length: 12 }, () => 'a'),
    ...Array.from({ length: 9 }, () => 'b'),
    ...Array.from({ length: 10 }, () => null),
  ];
  const x = Float64Array.from({ length: 31 }, (_, i) => (i === 0 ? NaN : i));
  const same = new Float64Array(31).fill(0.1);

  it('scales by population mean and deviation, 1 for a constant, and never leaves a value missing', async () => {
    const fitted = await fit(graph, { s, x, same }, 'linear');
    // [15.5, 1..30]: mean 15.5, variance (899 * 30 / 12) / 31
    expect(fitted.features[1]).toMatchObject({ kind: 'number', fill: 15.5 });
    const { mean, sd } = fitted.features[1] as { mean: number; sd: number };
    expect(mean).toBeCloseTo(15.5, 12);
    expect(sd).toBeCloseTo(Math.sqrt((899 * 30) / 12 / 31), 12);
    expect(fitted.features[2]).toEqual({ kind: 'number', name: 'same', fill: 0.1, mean: 0.1, sd: 1 });
  });

  it('gives texts of at least ten rows a column each, missing ones too, and the rest zeros', async () => {
    const fitted = await fit(graph, { s, x, same }, 'linear');
    expect(featureNames(fitted)).toEqual(['s=a', 's=', 'x', 'same']);
    const rows = await features(graph, fitted, {
      s: ['a', 'b', null, 'new'],
      x: Float64Array.of(15.5, NaN, 15.5, 15.5),
      same: Float64Array.of(0.1, 0.1, 0.1, 1.1),
    });
    expect(rows.map((row) => row.map((value) => Math.round(value * 1e6) / 1e6 + 0))).toEqual([
      [1, 0, 0, 0],
      [0, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 0, 1],
    ]);
  });

  it('keeps the hundred most frequent texts', async () => {
    const only = graphOf({ s: { type: 'string' } });
    const values = Array.from({ length: 110 * 12 }, (_, i) => `v${i % 110}`);
    const fitted = await fit(only, { s: values }, 'linear');
    expect(featureNames(fitted)).toHaveLength(100);
  });
});

describe('the inputs of a graph', () => {
  it('are those that something reads, predicted_at only if an expression does', () => {
    const inputs = { x: { type: 'number' }, unused: { type: 'date' }, d: { type: 'date' } };
    const plain = graphOf(inputs, {}, { maturesAt: 'd + 1 day' });
    expect(graphInputs(plain)).toEqual(['x', 'd']);
    expect(usesPredictedAt(plain)).toBe(false);
    const timed = graphOf(inputs, { lead: 'd - date(predicted_at)' }, { maturesAt: 'd' });
    expect(graphInputs(timed)).toEqual(['x', 'd', 'predicted_at']);
    expect(usesPredictedAt(timed)).toBe(true);
  });

  it('take rows beyond one batch in order', async () => {
    const graph = graphOf({ x: { type: 'number' }, s: { type: 'string' } }, { s2: "coalesce(s, 'none')" });
    const rows = 10_000;
    const columns = {
      x: Float64Array.from({ length: rows }, (_, i) => i),
      s: Array.from({ length: rows }, (_, i) => `v${i % 7}`),
    };
    const inputs = table(columns);
    const { derived } = await derive(graph, inputs, new Float64Array(rows));
    expect(derived.columns['s2']).toEqual(columns.s);
    const fitted = fitPreprocessing(graph, inputs, derived, 'trees');
    const matrix = await featureMatrix(buildHead(graph, fitted), graph, inputs, new Float64Array(rows));
    expect(matrix.values.slice(0, rows)).toEqual(Float32Array.from(columns.x));
  });
});

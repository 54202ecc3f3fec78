import { describe, expect, it } from 'vitest';
import { predictMargins, scoresOf, type Matrix, type TreeEnsemble } from '../../numerics/index.ts';
import {
  buildGraph,
  buildHead,
  derive,
  featureMatrix,
  featureNames,
  fitPreprocessing,
  openModel,
} from '../../onnx/index.ts';
import type { LinearModel, Tree } from '../../numerics/trained-model.ts';
import type { Columns, GraphSpec, Output, Preprocessing } from '../../schemas/index.ts';
import { graphOf, randomNumbers, sha256, table, withModel } from './support/graphs.ts';

const FEATURES = 5;

/** Plain numbers f0..f4, none imputed. */
function plainGraph(task: GraphSpec['task']): { graph: GraphSpec; preprocessing: Preprocessing } {
  const names = Array.from({ length: FEATURES }, (_, i) => `f${i}`);
  const inputs = Object.fromEntries(names.map((name) => [name, { type: 'number', nullable: true, impute: 'none' }]));
  return {
    graph: graphOf(inputs, {}, { task }),
    preprocessing: { features: names.map((name) => ({ kind: 'number', name, fill: null })) },
  };
}

function randomTree(random: () => number, depth: number): Tree {
  const tree: Tree = { feature: [], threshold: [], left: [], right: [], missingLeft: [], value: [] };
  const grow = (left: number): number => {
    const i = tree.feature.length;
    const isLeaf = left === 0 || random() < 0.15;
    tree.feature.push(isLeaf ? -1 : Math.floor(random() * FEATURES));
    tree.threshold.push(isLeaf ? 0 : Math.fround(Math.round(random() * 40 - 20) / 10));
    tree.missingLeft.push(isLeaf ? 0 : Number(random() < 0.5));
    tree.value.push(isLeaf ? Math.fround((random() - 0.5) * 0.37) : 0);
    tree.left.push(-1);
    tree.right.push(-1);
    if (!isLeaf) {
      tree.left[i] = grow(left - 1);
      tree.right[i] = grow(left - 1);
    }
    return i;
  };
  grow(depth);
  return tree;
}

function randomEnsemble(task: TreeEnsemble['task'], outputs: number, trees: number, seed: number): TreeEnsemble {
  const random = randomNumbers(seed);
  return {
    kind: 'treeEnsemble',
    task,
    outputs,
    baseMargins: Array.from({ length: outputs }, () => Math.fround(random() - 0.3)),
    trees: Array.from({ length: trees * outputs }, (_, t) => randomTree(random, 1 + (t % 6))),
  };
}

/** Values that often lie on a threshold, or a float32 step beside it, or are missing. */
function randomRows(rows: number, seed: number): Columns {
  const random = randomNumbers(seed);
  const value = (): number => {
    const kind = random();
    const grid = Math.round(random() * 40 - 20) / 10;
    if (kind < 0.15) return NaN;
    if (kind < 0.5) return grid;
    return kind < 0.7 ? grid + (random() - 0.5) * 4e-7 : random() * 6 - 3;
  };
  const columns = Array.from({ length: FEATURES }, (_, i) => [`f${i}`, Float64Array.from({ length: rows }, value)]);
  return { rows, columns: Object.fromEntries(columns) as Columns['columns'] };
}

/** What the issue of trees promises, row by row: float32 sums in tree order, the base last. */
function referenceMargins(model: TreeEnsemble, row: number[]): number[] {
  const sums = Array.from({ length: model.outputs }, () => 0);
  for (const [t, tree] of model.trees.entries()) {
    let i = 0;
    while (tree.feature[i]! >= 0) {
      const x = Math.fround(row[tree.feature[i]!]!);
      const goesLeft = Number.isNaN(x) ? tree.missingLeft[i] === 1 : x <= tree.threshold[i]!;
      i = goesLeft ? tree.left[i]! : tree.right[i]!;
    }
    const o = t % model.outputs;
    sums[o] = Math.fround(sums[o]! + tree.value[i]!);
  }
  return sums.map((sum, o) => Math.fround(sum + model.baseMargins[o]!));
}

const rowOf = (rows: Columns, i: number): number[] => Object.values(rows.columns).map((column) => column[i] as number);
const scores = (outputs: (Output | { failed: string })[]): number[][] =>
  outputs.map((output) => {
    if ('failed' in output) throw new Error(output.failed);
    return output.scores;
  });

describe('a tree ensemble in the graph', () => {
  it.each([1, 3])(
    'gives the reference margins to the bit, missing values included, with %i outputs',
    async (outputs) => {
      for (let seed = 1; seed <= 6; seed++) {
        const { graph, preprocessing } = plainGraph('regression');
        const model = randomEnsemble('regression', outputs, 40, seed);
        const rows = randomRows(500, seed + 100);
        const found = await withModel(graph, preprocessing, model, (m) => m.predict(rows, new Float64Array(500)));
        const wanted = Array.from({ length: 500 }, (_, i) => referenceMargins(model, rowOf(rows, i)));
        expect(scores(found)).toEqual(wanted);
      }
    },
  );

  it('gives the margins of predictMargins to the bit', async () => {
    const { graph, preprocessing } = plainGraph('regression');
    const model = randomEnsemble('regression', 2, 100, 9);
    const rows = randomRows(1000, 10);
    const matrix: Matrix = await featureMatrix(buildHead(graph, preprocessing), graph, rows, new Float64Array(1000));
    const margins = predictMargins(model, matrix);
    const found = await withModel(graph, preprocessing, model, (m) => m.predict(rows, new Float64Array(1000)));
    expect(scores(found)).toEqual(Array.from({ length: 1000 }, (_, i) => [margins[i]!, margins[1000 + i]!]));
  });

  it('gives binary probabilities that are the logistic function rounded to float32, even where no leaf is negative', async () => {
    const { graph, preprocessing } = plainGraph('binary');
    const mixed = randomEnsemble('binary', 1, 60, 3);
    const positive = {
      ...mixed,
      baseMargins: [0.5],
      trees: mixed.trees.map((tree) => ({ ...tree, value: tree.value.map(Math.abs) })),
    };
    const rows = randomRows(500, 4);
    for (const model of [mixed, positive]) {
      const found = await withModel(graph, preprocessing, model, (m) => m.predict(rows, new Float64Array(500)));
      for (const [i, [p]] of scores(found).entries()) {
        const [margin] = referenceMargins(model, rowOf(rows, i)) as [number];
        expect(p).toBe(Math.fround(1 / (1 + Math.exp(-margin))));
      }
    }
  });

  it('gives class probabilities within 1.2e-7 of softmax', async () => {
    const { graph, preprocessing } = plainGraph('multiclass');
    const model = randomEnsemble('multiclass', 4, 50, 5);
    const rows = randomRows(500, 6);
    const found = await withModel(graph, preprocessing, model, (m) => m.predict(rows, new Float64Array(500)));
    for (const [i, probabilities] of scores(found).entries()) {
      const margins = referenceMargins(model, rowOf(rows, i));
      const sum = margins.reduce((total, margin) => total + Math.exp(margin), 0);
      for (const [k, p] of probabilities.entries())
        expect(Math.abs(p - Math.exp(margins[k]!) / sum)).toBeLessThanOrEqual(1.2e-7);
    }
  });

  it('without a single tree gives its base', async () => {
    const { graph, preprocessing } = plainGraph('regression');
    const model: TreeEnsemble = { kind: 'treeEnsemble', task: 'regression', outputs: 1, baseMargins: [1.5], trees: [] };
    const found = await withModel(graph, preprocessing, model, (m) => m.predict(randomRows(2, 1), new Float64Array(2)));
    expect(scores(found)).toEqual([[1.5], [1.5]]);
  });
});

/** A description with everything in it, its rows, and models over it. */
async function mixed(scheme: 'trees' | 'linear', task: GraphSpec['task'] = 'binary') {
  const graph = graphOf(
    {
      hotel: { type: 'string', nullable: true, impute: 'none' },
      lead: { type: 'integer', nullable: true },
      agent: { type: 'string', nullable: true },
      arrival: { type: 'date', nullable: true },
      repeated: { type: 'boolean', nullable: true },
      note: { type: 'string', feature: false },
    },
    { month: 'month(arrival)', kind: "if(lead > 30, 'long', 'short')", noted: "note != 'x'" },
    { task, maturesAt: 'arrival + 14 days' },
  );
  const random = randomNumbers(11);
  const pick = <T>(values: T[]): T => values[Math.floor(random() * values.length)]!;
  const rows = 400;
  const of = <T>(make: () => T): T[] => Array.from({ length: rows }, make);
  const inputs = table({
    hotel: of(() => pick(['City', 'City', 'Resort', null])),
    lead: Float64Array.from(of(() => pick([NaN, Math.floor(random() * 100)]))),
    agent: of(() => pick(['9', '9', '240', '1', null, `rare${Math.floor(random() * 90)}`])),
    arrival: Float64Array.from(of(() => 17_000 + Math.floor(random() * 700))),
    repeated: Float64Array.from(of(() => pick([0, 0, 1, NaN]))),
    note: of(() => pick(['x', 'y'])),
  });
  const predictedAt = Float64Array.from(of(() => 1.4e9));
  const { derived } = await derive(graph, inputs, predictedAt);
  const preprocessing = fitPreprocessing(graph, inputs, derived, scheme);
  return { graph, inputs, derived, predictedAt, preprocessing };
}

function linearModel(task: LinearModel['task'], outputs: number, features: number, seed: number): LinearModel {
  const random = randomNumbers(seed);
  const of = (n: number): number[] => Array.from({ length: n }, () => random() - 0.5);
  return { kind: 'linear', task, outputs, intercepts: of(outputs), coefficients: of(outputs * features) };
}

describe('a linear model in the graph', () => {
  it.each([
    ['binary', 1],
    ['multiclass', 3],
    ['regression', 1],
  ] as const)('scores a %s task as scoresOf does, within 5e-7', async (task, outputs) => {
    const { graph, inputs, predictedAt, preprocessing } = await mixed('linear', task);
    const model = linearModel(task, outputs, featureNames(preprocessing).length, 3);
    const matrix = await featureMatrix(buildHead(graph, preprocessing), graph, inputs, predictedAt);
    const wanted = scoresOf(model, matrix);
    const found = await withModel(graph, preprocessing, model, (m) => m.predict(inputs, predictedAt));
    for (const [i, row] of scores(found).entries())
      for (const [k, score] of row.entries()) expect(Math.abs(score - wanted[k]![i]!)).toBeLessThanOrEqual(5e-7);
  });
});

describe('an opened model', () => {
  it.each(['trees', 'linear'] as const)('gives a row the same output in every batch (%s)', async (scheme) => {
    for (const [task, outputs] of [
      ['binary', 1],
      ['multiclass', 3],
    ] as const) {
      const { graph, inputs, predictedAt, preprocessing } = await mixed(scheme, task);
      const features = featureNames(preprocessing).length;
      const trained =
        scheme === 'trees' ? randomEnsemble(task, outputs, 50, 8) : linearModel(task, outputs, features, 5);
      await withModel(graph, preprocessing, trained, async (model) => {
        const together = await model.predict(inputs, predictedAt);
        for (const size of [1, 2, 3, 5, 7, 64]) {
          const apart: unknown[] = [];
          for (let from = 0; from < 200; from += size) {
            const to = Math.min(200, from + size);
            const columns = Object.entries(inputs.columns).map(([name, column]) => [name, column.slice(from, to)]);
            const batch = { rows: to - from, columns: Object.fromEntries(columns) as Columns['columns'] };
            apart.push(...(await model.predict(batch, predictedAt.slice(from, to))));
          }
          expect(apart).toEqual(together.slice(0, 200));
        }
      });
    }
  });

  it('fails a row that is not finite alone, and says why', async () => {
    const { graph, inputs, predictedAt, preprocessing } = await mixed('linear', 'regression');
    const model = linearModel('regression', 1, featureNames(preprocessing).length, 5);
    const columns = {
      ...inputs.columns,
      lead: inputs.columns['lead']!.slice(),
      arrival: inputs.columns['arrival']!.slice(),
    };
    columns.lead[1] = 1e300;
    columns.arrival[3] = NaN;
    await withModel(graph, preprocessing, model, async (opened) => {
      const before = await opened.predict(inputs, predictedAt);
      const after = await opened.predict({ rows: inputs.rows, columns }, predictedAt);
      expect(after[1]).toEqual({
        failed: expect.stringMatching(/^the score is -?Infinity, not a finite number$/) as string,
      });
      // What is not known to mature is still predicted: that nobody will learn the truth is no fault of the row.
      expect(after[3]).toMatchObject({ scores: [expect.any(Number)], maturesAt: NaN });
      expect(after.filter((_, i) => i !== 1 && i !== 3)).toEqual(before.filter((_, i) => i !== 1 && i !== 3));
    });
  });

  it('is refused when its bytes are not those of its hash', async () => {
    const { graph, preprocessing } = plainGraph('binary');
    const bytes = buildGraph(graph, preprocessing, randomEnsemble('binary', 1, 2, 1));
    const hash = sha256(bytes);
    bytes[100] = bytes[100]! ^ 1;
    await expect(openModel({ bytes, sha256: hash, inputs: graph.inputs })).rejects.toThrow(
      /The model's bytes have the hash [0-9a-f]{64}, not [0-9a-f]{64}/,
    );
  });

  it('is refused when its graph takes what the inputs do not have', async () => {
    const { graph, preprocessing } = plainGraph('binary');
    const bytes = buildGraph(graph, preprocessing, randomEnsemble('binary', 1, 2, 1));
    const { f0: _f0, ...inputs } = graph.inputs;
    await expect(openModel({ bytes, sha256: sha256(bytes), inputs })).rejects.toThrow('The graph takes f0');
  });

  it('answers no rows with no outputs, and is warm after opening', async () => {
    const { graph, inputs, predictedAt, preprocessing } = await mixed('trees');
    const bytes = buildGraph(graph, preprocessing, randomEnsemble('binary', 1, 5, 1));
    const warmUp = { rows: inputs, predictedAt };
    const model = await openModel({ bytes, sha256: sha256(bytes), inputs: graph.inputs, warmUp });
    const none = Object.entries(inputs.columns).map(([name, column]) => [name, column.slice(0, 0)]);
    const empty = { rows: 0, columns: Object.fromEntries(none) as Columns['columns'] };
    expect(await model.predict(empty, new Float64Array())).toEqual([]);
    await model.close();
  });
});

describe('a graph', () => {
  it('has the same bytes whenever it is built from the same', async () => {
    const build = async () => {
      const { graph, preprocessing } = await mixed('trees');
      return sha256(buildGraph(graph, preprocessing, randomEnsemble('binary', 1, 20, 1)));
    };
    expect(await build()).toBe(await build());
  });

  it('refuses a model of another width than its features', async () => {
    const { graph, preprocessing } = await mixed('trees');
    expect(() => buildGraph(graph, preprocessing, linearModel('binary', 1, 3, 1))).toThrow(RangeError);
    const tree: Tree = {
      feature: [99, -1, -1],
      threshold: [0, 0, 0],
      left: [1, -1, -1],
      right: [2, -1, -1],
      missingLeft: [0, 0, 0],
      value: [0, 1, 2],
    };
    const model: TreeEnsemble = { kind: 'treeEnsemble', task: 'binary', outputs: 1, baseMargins: [0], trees: [tree] };
    expect(() => buildGraph(graph, preprocessing, model)).toThrow('tree 0 tests feature 99 of 7');
  });
});

import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { BoostingData, BoostingParameters } from '../../../numerics/boosting/index.ts';
import type { TreeEnsemble } from '../../../numerics/trained-model.ts';
import { Booster, predictMargins } from '../../../numerics/boosting/index.ts';
import { auc, logLoss, multiclassLogLoss, rmse } from '../../../numerics/metrics/index.ts';
import { scoresOf } from '../../../numerics/scores.ts';
import { boostingTable } from '../../golden/numerics/boosting-table.ts';

type Task = 'binary' | 'multiclass' | 'regression';
const tasks: Task[] = ['binary', 'multiclass', 'regression'];
const classesOf = (task: Task) => (task === 'multiclass' ? 4 : undefined);

const golden = JSON.parse(readFileSync(new URL('../../golden/numerics/boosting.json', import.meta.url), 'utf8')) as {
  settings: BoostingParameters;
  parts: Record<'train' | 'valid' | 'test', [number, number]>;
} & Record<Task, Record<string, number>>;

const small: BoostingParameters = { ...golden.settings, trees: 12, maxDepth: 3, columnSample: 0.6, minChildRows: 5 };
const train = (task: Task): BoostingData => boostingTable(task, 0, 400);
const valid = (task: Task): BoostingData => boostingTable(task, 400, 600);

function run(booster: Booster) {
  while (!booster.done) booster.step();
  return booster.finish();
}

describe('as good as LightGBM at the same settings', () => {
  it.each(tasks)('%s', (task) => {
    const [fit, check, test] = (['train', 'valid', 'test'] as const).map((part) =>
      boostingTable(task, ...golden.parts[part]),
    ) as [BoostingData, BoostingData, BoostingData];
    const theirs = golden[task];
    expect(fit.labels.reduce((sum, label) => sum + label, 0)).toBe(theirs['sumOfLabels']);
    const { model, rounds } = run(new Booster({ task, classes: classesOf(task) }, golden.settings, fit, check));
    expect(model.trees.length).toBe(rounds * model.outputs);
    const scores = scoresOf(model, test.features);
    const behind: Record<Task, () => Record<string, number>> = {
      binary: () => ({
        'of .005 AUC': (theirs['auc']! - auc(test.labels, scores[0]!)) / 0.005,
        'of .01 nats': (logLoss(test.labels, scores[0]!) - theirs['logLoss']!) / 0.01,
      }),
      multiclass: () => ({ 'of .01 nats': (multiclassLogLoss(test.labels, scores) - theirs['logLoss']!) / 0.01 }),
      regression: () => ({ 'of 2 % RMSE': (rmse(test.labels, scores[0]!) / theirs['rmse']! - 1) / 0.02 }),
    };
    for (const share of Object.values(behind[task]())) expect(share).toBeLessThan(1);
  });
});

describe('the same trees to the bit', () => {
  it.each(tasks)('%s: from the same seed; another seed gives others', (task) => {
    const objective = { task, classes: classesOf(task) };
    const one = run(new Booster(objective, small, train(task), valid(task)));
    expect(run(new Booster(objective, small, train(task), valid(task)))).toEqual(one);
    expect(run(new Booster(objective, { ...small, seed: 8 }, train(task), valid(task)))).not.toEqual(one);
  });

  it.each(tasks)('%s: resumed from the checkpoint of any round', (task) => {
    const objective = { task, classes: classesOf(task) };
    const whole = new Booster(objective, small, train(task), valid(task));
    const checkpoints = [whole.checkpoint()];
    while (!whole.done) {
      whole.step();
      checkpoints.push(whole.checkpoint());
    }
    const last = checkpoints.at(-1)!;
    for (const checkpoint of checkpoints) {
      const resumed = new Booster(objective, small, train(task), valid(task), checkpoint);
      expect(run(resumed)).toEqual(whole.finish());
      expect(resumed.checkpoint()).toEqual(last);
    }
  });

  it('resumed after early stopping it is done, with the same best round', () => {
    const settings = { ...small, trees: 200, learningRate: 0.5, earlyStoppingRounds: 3 };
    const whole = new Booster({ task: 'binary' }, settings, train('binary'), valid('binary'));
    const finished = run(whole);
    const resumed = new Booster({ task: 'binary' }, settings, train('binary'), valid('binary'), whole.checkpoint());
    expect(resumed.done).toBe(true);
    expect(resumed.finish()).toEqual(finished);
  });

  it('when a feature is scaled by a power of two: thresholds scale, all else stays', () => {
    fc.assert(
      fc.property(fc.integer({ min: -8, max: 8 }), (power) => {
        const table = train('binary');
        const values = table.features.values.map((value) => value * 2 ** power);
        const plain = run(new Booster({ task: 'binary' }, small, table)).model;
        const scaled = run(
          new Booster({ task: 'binary' }, small, { ...table, features: { ...table.features, values } }),
        ).model;
        for (const [t, tree] of plain.trees.entries()) {
          const { threshold, ...rest } = tree;
          const { threshold: other, ...otherRest } = scaled.trees[t]!;
          expect(otherRest).toEqual(rest);
          const finite = (value: number) => Math.abs(value) < 1e38; // the others part missing values from the rest
          expect(other.filter(finite)).toEqual(threshold.filter(finite).map((value) => value * 2 ** power));
        }
      }),
      { numRuns: 8 },
    );
  });

  it('when a feature is mapped monotonically, the same rows part: the margins stay', () => {
    const table = train('regression');
    const values = table.features.values.map((value) => Math.sign(value) * Math.abs(value) ** 3 + 5 * value);
    const settings = { ...small, maxBins: 255 };
    const mapped = { ...table, features: { ...table.features, values } };
    const plain = run(new Booster({ task: 'regression' }, settings, table)).model;
    const other = run(new Booster({ task: 'regression' }, settings, mapped)).model;
    expect(predictMargins(other, mapped.features)).toEqual(predictMargins(plain, table.features));
  });
});

describe('early stopping', () => {
  const settings = { ...small, trees: 300, learningRate: 0.5, earlyStoppingRounds: 5 };

  it('ends when validation loss has not improved for so many rounds, and keeps the best', () => {
    const { model, rounds, curve } = run(new Booster({ task: 'binary' }, settings, train('binary'), valid('binary')));
    const losses = curve.map(({ validLoss }) => validLoss!);
    expect(losses.indexOf(Math.min(...losses))).toBe(rounds - 1);
    expect(curve.length).toBe(rounds + 5);
    expect(model.trees.length).toBe(rounds);
    const kept = scoresOf(model, valid('binary').features)[0]!;
    expect(logLoss(valid('binary').labels, kept)).toBeCloseTo(losses[rounds - 1]!, 5);
  });

  it('never, if 0 rounds are asked for or there is nothing to validate on', () => {
    const few = { ...settings, trees: 40 };
    const never = run(
      new Booster({ task: 'binary' }, { ...few, earlyStoppingRounds: 0 }, train('binary'), valid('binary')),
    );
    expect(never.rounds).toBe(40);
    const alone = run(new Booster({ task: 'binary' }, few, train('binary')));
    expect(alone.rounds).toBe(40);
    expect(alone.curve[0]).not.toHaveProperty('validLoss');
  });
});

it('training loss falls with every round when all rows are used', () => {
  for (const task of tasks) {
    const all = { ...small, subsample: 1, learningRate: 0.1 };
    const { curve } = run(new Booster({ task, classes: classesOf(task) }, all, train(task)));
    expect(curve.map(({ tree }) => tree)).toEqual([...curve.keys()]);
    for (let round = 1; round < curve.length; round++)
      expect(curve[round]!.trainLoss).toBeLessThan(curve[round - 1]!.trainLoss);
  }
});

it('trees respect depth, leaf size, float32 and the column draw', () => {
  const { model } = run(new Booster({ task: 'binary' }, small, train('binary')));
  const depthOf = ({ trees }: TreeEnsemble, t: number, node = 0): number => {
    const tree = trees[t]!;
    if (tree.feature[node]! < 0) return 0;
    return 1 + Math.max(depthOf(model, t, tree.left[node]), depthOf(model, t, tree.right[node]));
  };
  for (const [t, tree] of model.trees.entries()) {
    expect(depthOf(model, t)).toBeLessThanOrEqual(3);
    for (const number of [...tree.threshold, ...tree.value]) expect(Math.fround(number)).toBe(number);
    expect(new Set(tree.feature.filter((f) => f >= 0)).size).toBeLessThanOrEqual(5);
  }
});

it('without any feature that tells rows apart the model says the base', () => {
  const table = { features: { rows: 4, columns: 1, values: new Float32Array(4) }, labels: Float64Array.of(1, 2, 3, 6) };
  const settings = { ...small, subsample: 1, trees: 3 };
  const { model } = run(new Booster({ task: 'regression' }, settings, table));
  expect(predictMargins(model, table.features)[0]).toBeCloseTo(3, 6);
});

describe('what cannot be trained is refused', () => {
  const table = (labels: number[]): BoostingData => ({
    features: { rows: 2, columns: 1, values: Float32Array.of(1, 2) },
    labels: Float64Array.from(labels),
  });
  it.each<[string, () => unknown, string]>([
    ['one class only', () => new Booster({ task: 'binary' }, small, table([1, 1])), 'every label is class 1'],
    ['a constant target', () => new Booster({ task: 'regression' }, small, table([5, 5])), 'every target is 5'],
    ['a NaN label', () => new Booster({ task: 'regression' }, small, table([5, NaN])), 'label NaN of row 1'],
    ['a label of 2', () => new Booster({ task: 'binary' }, small, table([0, 2])), 'label 2 of row 1'],
    ['no classes', () => new Booster({ task: 'multiclass' }, small, table([0, 1])), 'needs 2 classes or more'],
    ['a missing label', () => new Booster({ task: 'binary' }, small, table([1])), '2 rows of features, 1 labels'],
    [
      'no rows',
      () =>
        new Booster({ task: 'binary' }, small, {
          features: { rows: 0, columns: 1, values: new Float32Array(0) },
          labels: new Float64Array(0),
        }),
      'there are none',
    ],
    [
      'a bad setting',
      () => new Booster({ task: 'binary' }, { ...small, maxBins: 256 }, table([0, 1])),
      'maxBins is 256',
    ],
    [
      'other columns to validate',
      () => new Booster({ task: 'binary' }, small, table([0, 1]), train('binary')),
      '1 columns to train, 8 to validate',
    ],
    [
      'a checkpoint of another training',
      () => {
        const checkpoint = new Booster({ task: 'binary' }, { ...small, seed: 1 }, table([0, 1])).checkpoint();
        return new Booster({ task: 'binary' }, small, table([0, 1]), undefined, checkpoint);
      },
      'made by another training',
    ],
    [
      'a broken checkpoint',
      () => new Booster({ task: 'binary' }, small, table([0, 1]), undefined, Uint8Array.of(123)),
      'not one of ours',
    ],
  ])('%s', (_, build, message) => {
    expect(build).toThrow(RangeError);
    expect(build).toThrow(message);
  });

  it('a step after the last', () => {
    const booster = new Booster({ task: 'binary' }, small, train('binary'));
    run(booster);
    expect(() => booster.step()).toThrow('done after 12 rounds');
  });
});

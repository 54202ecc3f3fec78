import type { Objective, TrainingData } from '../training-data.ts';
import type { Tree, TreeEnsemble } from '../trained-model.ts';
import type { BoosterIdentity } from './checkpoint.ts';
import type { BoostingParameters } from './parameters.ts';
import type { Loss } from './objectives.ts';
import { Random } from '../random.ts';
import { checkLabelsDiffer, checkRows } from '../training-data.ts';
import { binColumns } from './binning.ts';
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { Grower } from './grow.ts';
import { lossOf } from './objectives.ts';
import { checkParameters } from './parameters.ts';
import { addTree } from './predict.ts';

/** Losses after a round: log-loss in nats, or the mean squared error. The first round is 0. */
export interface BoostingCurvePoint {
  tree: number;
  trainLoss: number;
  validLoss?: number;
}

export interface FinishedBoosting {
  model: TreeEnsemble;
  /** Rounds in the model: under early stopping those up to the lowest validation loss. */
  rounds: number;
  curve: BoostingCurvePoint[];
}

/**
 * Gradient boosting, a round at a time: each round fits a tree (multiclass: one per class) to the slopes of the loss.
 *
 * The same data, parameters and seed give the same trees to the bit, whether or not the training was interrupted:
 * margins are sums in float64 of the leaves in tree order, so those recomputed from a checkpoint's trees are equal.
 */
export class Booster {
  #objective: Objective;
  #parameters: BoostingParameters;
  #loss: Loss;
  #train: TrainingData;
  #valid: TrainingData | undefined;
  #grower: Grower;
  /** Features with two bins or more, the missing one included. */
  #usable: Int32Array;
  #random: Random;
  #baseMargins: number[];
  #margins: Float64Array;
  #validMargins: Float64Array | undefined;
  #slopes: { gradients: Float64Array; hessians: Float64Array };
  #trees: Tree[] = [];
  #curve: BoostingCurvePoint[] = [];
  #bestRounds = 0;

  /**
   * @param checkpoint  of a training with the same objective, parameters and data: goes on from there
   * @throws {RangeError} if a parameter, a label or a shape is out of range, the training labels are all the same,
   *   or the checkpoint is of another training
   */
  constructor(
    objective: Objective,
    parameters: BoostingParameters,
    train: TrainingData,
    valid?: TrainingData,
    checkpoint?: Uint8Array,
  ) {
    checkParameters(parameters);
    this.#loss = lossOf(objective);
    checkRows(objective, train, 'training');
    checkLabelsDiffer(objective, train.labels);
    if (valid) {
      checkRows(objective, valid, 'validation');
      if (valid.features.columns !== train.features.columns)
        throw new RangeError(
          `boosting: ${train.features.columns} columns to train, ${valid.features.columns} to validate`,
        );
    }
    this.#objective = objective;
    this.#parameters = parameters;
    this.#train = train;
    this.#valid = valid;
    const { rows, columns } = train.features;
    const binned = binColumns(train.features, parameters.maxBins);
    this.#usable = Int32Array.from({ length: columns }, (_, f) => f).filter((f) => {
      const own = binned.bins.subarray(f * rows, (f + 1) * rows);
      return own.some((bin) => bin !== own[0]);
    });
    this.#grower = new Grower(binned, parameters);
    this.#random = new Random(parameters.seed);
    this.#baseMargins = this.#loss.baseMargins(train.labels);
    this.#margins = this.#startMargins(rows);
    this.#validMargins = valid && this.#startMargins(valid.features.rows);
    const { outputs } = this.#loss;
    this.#slopes = { gradients: new Float64Array(outputs * rows), hessians: new Float64Array(outputs * rows) };
    if (checkpoint) {
      const state = decodeCheckpoint(checkpoint, this.#identity());
      this.#random = new Random(state.random);
      this.#curve = state.curve;
      this.#bestRounds = state.bestRounds;
      for (const tree of state.trees) this.#add(tree);
    }
    this.#loss.evaluate(this.#margins, train.labels, this.#slopes);
  }

  /** All rounds are done, or validation loss has not improved for long enough. */
  get done(): boolean {
    const rounds = this.#curve.length;
    const patience = this.#parameters.earlyStoppingRounds;
    if (rounds >= this.#parameters.trees) return true;
    return this.#valid !== undefined && patience > 0 && rounds - this.#bestRounds >= patience;
  }

  /**
   * One round.
   *
   * @throws {Error} if there are none left
   */
  step(): BoostingCurvePoint {
    if (this.done) throw new Error(`boosting: done after ${this.#curve.length} rounds`);
    const { subsample, columnSample } = this.#parameters;
    const { rows } = this.#train.features;
    const drawn = this.#random.sample(rows, Math.max(1, Math.round(subsample * rows)));
    const { outputs } = this.#loss;
    for (let output = 0; output < outputs; output++) {
      const some = Math.min(this.#usable.length, Math.max(1, Math.round(columnSample * this.#usable.length)));
      const features = this.#random.sample(this.#usable.length, some).map((i) => this.#usable[i]!);
      const gradients = this.#slopes.gradients.subarray(output * rows, (output + 1) * rows);
      const hessians = this.#slopes.hessians.subarray(output * rows, (output + 1) * rows);
      this.#add(this.#grower.grow(drawn, gradients, hessians, features));
    }
    const point: BoostingCurvePoint = {
      tree: this.#curve.length,
      trainLoss: this.#loss.evaluate(this.#margins, this.#train.labels, this.#slopes),
    };
    if (this.#valid) point.validLoss = this.#loss.evaluate(this.#validMargins!, this.#valid.labels);
    this.#curve.push(point);
    const best = this.#curve[this.#bestRounds - 1]?.validLoss ?? Infinity;
    if (point.validLoss !== undefined && point.validLoss < best) this.#bestRounds = this.#curve.length;
    return point;
  }

  /** Bytes from which a new booster with the same data goes on to the same trees. */
  checkpoint(): Uint8Array {
    return encodeCheckpoint(this.#identity(), {
      trees: this.#trees,
      curve: this.#curve,
      random: this.#random.state(),
      bestRounds: this.#bestRounds,
    });
  }

  /** The model as it stands: under early stopping without the rounds after the lowest validation loss. */
  finish(): FinishedBoosting {
    const early = this.#valid !== undefined && this.#parameters.earlyStoppingRounds > 0 && this.#bestRounds > 0;
    const rounds = early ? this.#bestRounds : this.#curve.length;
    const { outputs } = this.#loss;
    const model: TreeEnsemble = {
      kind: 'treeEnsemble',
      task: this.#objective.task,
      outputs,
      baseMargins: [...this.#baseMargins],
      trees: this.#trees.slice(0, rounds * outputs),
    };
    return { model, rounds, curve: [...this.#curve] };
  }

  #startMargins(rows: number): Float64Array {
    const margins = new Float64Array(this.#baseMargins.length * rows);
    for (const [output, base] of this.#baseMargins.entries()) margins.fill(base, output * rows, (output + 1) * rows);
    return margins;
  }

  #add(tree: Tree): void {
    const output = this.#trees.length % this.#loss.outputs;
    this.#trees.push(tree);
    const addTo = (margins: Float64Array, { features }: TrainingData): void =>
      addTree(tree, features, margins.subarray(output * features.rows, (output + 1) * features.rows));
    addTo(this.#margins, this.#train);
    if (this.#valid) addTo(this.#validMargins!, this.#valid);
  }

  #identity(): BoosterIdentity {
    return {
      objective: this.#objective,
      parameters: this.#parameters,
      train: this.#train.features,
      ...(this.#valid && { valid: this.#valid.features }),
    };
  }
}

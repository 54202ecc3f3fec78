import { Context as ActivityContext } from '@temporalio/activity';
import { buildHead, featureMatrix, fitPreprocessing } from '../../onnx/index.ts';
import type { BoostingData, TrainedModel } from '../../numerics/index.ts';
import {
  graphSpec,
  type CurvePoint,
  type ModelSpec,
  type Preprocessing,
  type SealedRows,
  type TrainingHeartbeat,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { reportProgress } from '../guard.ts';
import { loadParts, labelsOf, type SealedSplit } from '../pipeline/split.ts';
import type { PlanRef } from '../pipeline/plan.ts';
import type { DerivedRows } from '../pipeline/rows.ts';
import { readObject, writeObject } from '../pipeline/sealed.ts';
import { trainInThread, type Trained, type TrainingJob, type TrainingMessage } from './train-in-thread.ts';

/** first: trained on train, stopped on valid. refit: the same recipe on all matured rows. */
export type Fit = 'first' | 'refit';

export interface Fitted {
  /** Objects: the trained model, its preprocessing, and the preprocessing graph. */
  model: string;
  preprocessing: string;
  /** Rounds that early stopping kept. */
  rounds?: number;
  /** Object with the training curve. */
  curve?: string;
  line: string;
}

/**
 * Learns medians, vocabularies and scales from the rows that train, and builds the head of the graph from them.
 * Safe to repeat: a pure function of sealed rows.
 */
export const createFitHead = (context: Context) => ({
  async fitHead(
    ref: PlanRef,
    sealed: SealedRows,
    split: string,
    fit: Fit,
  ): Promise<{ preprocessing: string; line: string }> {
    const { spec, parts } = await loadParts(context, ref, sealed, split, [rowsOf(fit)]);
    const preprocessing = preprocess(spec, parts[rowsOf(fit)], schemeOf(spec.training.algorithm));
    const categories = preprocessing.features.filter((feature) => feature.kind === 'category').length;
    return {
      preprocessing: await writeObject(context.stores, preprocessing),
      line: `${preprocessing.features.length} features: ${preprocessing.features.length - categories} numbers, ${categories} categories`,
    };
  },
});

/**
 * Trains the model that model.yaml asks for, in a thread, with a checkpoint every twentieth of the way.
 * Safe to repeat: it goes on from the last checkpoint to the very same trees.
 */
export const createTrain = (context: Context) => ({
  async train(
    ref: PlanRef,
    sealed: SealedRows,
    split: string,
    preprocessing: string,
    fit: Fit,
    rounds?: number,
  ): Promise<Fitted> {
    const loaded = await loadParts(context, ref, sealed, split, fit === 'first' ? ['train', 'valid'] : ['matured']);
    const { spec } = loaded;
    const parts = loaded.parts as Partial<Record<'train' | 'valid' | 'matured', DerivedRows>>;
    const fitted = await readObject<Preprocessing>(context.stores, preprocessing);
    const train = await matrixOf(spec, fitted, loaded.split, parts[rowsOf(fit)]!);
    if (spec.training.algorithm === 'linear') {
      const { model } = await fitLinearModel(spec, loaded.split, train, spec.training);
      return {
        model: await writeObject(context.stores, model),
        preprocessing,
        line: `linear, ${train.features.columns} columns, ${train.features.rows} rows`,
      };
    }
    const parameters = { ...spec.training, ...(rounds !== undefined && { trees: rounds, earlyStoppingRounds: 0 }) };
    const valid = parts.valid && (await matrixOf(spec, fitted, loaded.split, parts.valid));
    const trained = await boost(
      context,
      {
        objective: objectiveOf(spec, loaded.split),
        parameters,
        train,
        ...(valid && { valid }),
      },
      { model: ref.model, run: ref.run, part: fit },
    );
    const curve = trained.curve!;
    const end = curve[trained.rounds! - 1]!;
    const losses = `train loss ${end.trainLoss.toFixed(4)}${end.validLoss === undefined ? '' : `, valid loss ${end.validLoss.toFixed(4)}`}`;
    return {
      model: await writeObject(context.stores, trained.model),
      preprocessing,
      rounds: trained.rounds!,
      curve: await writeObject(context.stores, curve),
      line: `${trained.rounds} of at most ${parameters.trees} trees kept (${curve.length} grown), ${losses}`,
    };
  },
});

/**
 * Boosts in a thread, with a checkpoint every twentieth of the way and progress after every tree. It goes on from the last
 * checkpoint to the very same trees.
 *
 * @param of  the training run, and which part of it this is: where checkpoints are kept
 */
export async function boost(
  context: Context,
  job: Pick<Extract<TrainingJob, { trainer: 'gradientBoosting' }>, 'objective' | 'parameters' | 'train' | 'valid'>,
  of: { model: string; run: string; part: string },
): Promise<Trained> {
  const { runs } = context.stores;
  const { model, run, part } = of;
  const checkpoints = `${run}/${part}`;
  const last = await runs.lastCheckpoint(model, checkpoints);
  const { log, cancellationSignal } = ActivityContext.current();
  const { trees } = job.parameters;
  let saved = last?.n;
  let latest: CurvePoint | undefined;
  const hear = async (message: TrainingMessage): Promise<void> => {
    if (message.kind === 'started') {
      log.info('training', { model, run, fit: part, firstTree: message.tree, fromCheckpoint: last?.n ?? 0 });
    } else if (message.kind === 'checkpoint') {
      saved = (saved ?? 0) + 1;
      await runs.writeCheckpoint(model, checkpoints, saved, message.state);
    } else if (message.kind === 'progress') {
      latest = message.point;
    }
    if (latest)
      reportProgress({
        done: latest.tree + 1,
        of: trees,
        curve: latest,
        ...(saved !== undefined && { checkpoint: saved }),
      } satisfies TrainingHeartbeat);
  };
  return trainInThread(
    {
      trainer: 'gradientBoosting',
      ...job,
      ...(last && { checkpoint: last.bytes }),
      checkpointEvery: Math.max(1, Math.ceil(trees / 20)),
    },
    hear,
    cancellationSignal,
  );
}

/**
 * Fits the linear baseline, whose figures stand beside every model's. Safe to repeat: a pure function of sealed rows.
 */
export const createFitBaseline = (context: Context) => ({
  async fitBaseline(ref: PlanRef, sealed: SealedRows, split: string, fit: Fit): Promise<Fitted> {
    const { spec, parts, split: sealedSplit } = await loadParts(context, ref, sealed, split, [rowsOf(fit)]);
    const preprocessing = preprocess(spec, parts[rowsOf(fit)], 'linear');
    const train = await matrixOf(spec, preprocessing, sealedSplit, parts[rowsOf(fit)]);
    const { model } = await fitLinearModel(spec, sealedSplit, train, { l2: 1, maxIterations: 200 });
    return {
      model: await writeObject(context.stores, model),
      preprocessing: await writeObject(context.stores, preprocessing),
      line: `linear with L2 = 1 on ${train.features.columns} columns`,
    };
  },
});

export async function fitLinearModel(
  spec: ModelSpec,
  split: SealedSplit,
  train: BoostingData,
  parameters: { l2: number; maxIterations: number },
): Promise<{ model: TrainedModel }> {
  const { cancellationSignal } = ActivityContext.current();
  const { l2, maxIterations } = parameters;
  return trainInThread(
    { trainer: 'linear', objective: objectiveOf(spec, split), parameters: { l2, maxIterations }, train },
    () => {},
    cancellationSignal,
  );
}

export function preprocess(spec: ModelSpec, rows: DerivedRows, scheme: 'trees' | 'linear'): Preprocessing {
  return fitPreprocessing(graphSpec(spec), rows.inputs, rows.derived, scheme);
}

/** Features by the graph's own head in ONNX Runtime, and labels. */
export async function matrixOf(
  spec: ModelSpec,
  preprocessing: Preprocessing,
  split: SealedSplit,
  rows: DerivedRows,
): Promise<BoostingData> {
  const graph = graphSpec(spec);
  const features = await featureMatrix(buildHead(graph, preprocessing), graph, rows.inputs, rows.predictedAt);
  return { features, labels: labelsOf(rows, split.classes) };
}

export function objectiveOf(spec: ModelSpec, split: SealedSplit): { task: ModelSpec['task']; classes?: number } {
  return spec.task === 'multiclass' ? { task: spec.task, classes: split.classes!.length } : { task: spec.task };
}

function rowsOf(fit: Fit): 'train' | 'matured' {
  return fit === 'first' ? 'train' : 'matured';
}

export function schemeOf(algorithm: ModelSpec['training']['algorithm']): 'trees' | 'linear' {
  return algorithm === 'linear' ? 'linear' : 'trees';
}

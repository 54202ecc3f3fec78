import { Twins } from '../../bucket/index.ts';
import { Random } from '../../numerics/index.ts';
import { buildGraph } from '../../onnx/index.ts';
import {
  graphSpec,
  UserError,
  type ModelSpec,
  type ModelVersion,
  type OpenRollout,
  type Run,
  type SealedRows,
  type Twin,
  type TwinRecord,
} from '../../schemas/index.ts';
import { blockOf } from '../../sql/index.ts';
import type { Context } from '../context.ts';
import type { PlanRef } from '../pipeline/plan.ts';
import { takeRows, type DerivedRows } from '../pipeline/rows.ts';
import { scoreRows } from '../pipeline/score.ts';
import { labelsOf, loadParts } from '../pipeline/split.ts';
import { boost, fitLinearModel, matrixOf, objectiveOf, preprocess, schemeOf } from '../training/fit.ts';
import { lossOfTrial, meanLosses } from './losses.ts';

/** Between the seeds of twins: far from the seeds that people try one after the other. */
const SEED_STEP = 1_000;

/**
 * Fits the challenger's recipe twice more, on the rows and the split of its own run: how far two of the same recipe differ
 * by nothing but chance. They bound the least effect worth a verdict, and the placebo trials hold them against each other.
 * First fits only: trained on train, stopped on valid, measured on test. Trained once for a version.
 *
 * Safe to repeat: a pure function of sealed parts, under records that are written once; it goes on from its checkpoints.
 *
 * @returns none where the version's run is not here and the stage says its minimum effect: it can be planned without
 */
export const createPrepareTwins = (context: Context) => ({
  async prepareTwins(rollout: OpenRollout): Promise<Twin[]> {
    const { model, version: n } = rollout;
    const records = new Twins(context.stores.bucket);
    const stage = rollout.stages.find((one) => one.kind === 'shadow');
    const version = await context.stores.versions.read(model, n);
    if (!version) throw new UserError('UnknownVersion', `${model} has no version ${n} (any more).`);
    const loss = lossOfTrial(stage ?? {}, version.task);
    const twins: Twin[] = [];
    try {
      for (const k of [1, 2]) {
        const twin = (await records.read(model, n, k)) ?? (await records.create(await train(context, version, k)));
        twins.push({ seed: twin.seed, onnx: twin.onnx, testLoss: twin.testLosses[loss]! });
      }
    } catch (error) {
      if (stage?.minimumEffect !== undefined && error instanceof UserError && error.type === 'NoRun') return [];
      throw error;
    }
    return twins;
  },
});

async function train(context: Context, version: ModelVersion, k: number): Promise<TwinRecord> {
  const { stores } = context;
  const { model, n } = version;
  const { ref, sealed, split: splitHash } = await runParts(context, version);
  const { spec, split, parts } = await loadParts(context, ref, sealed, splitHash, ['train', 'valid', 'test']);
  const { training } = spec;
  const seed = training.seed + SEED_STEP * k;
  const how = usesChance(training) ? 'reseeded' : 'weeks drawn again';
  const rows = how === 'reseeded' ? parts.train : weeksDrawnAgain(parts.train, seed);
  const preprocessing = preprocess(spec, rows, schemeOf(training.algorithm));
  const matrix = await matrixOf(spec, preprocessing, split, rows);
  const run = { model, run: ref.run, part: `twin-${n}-${k}` };
  const { model: trained } =
    training.algorithm === 'linear'
      ? await fitLinearModel(spec, split, matrix, training)
      : await boost(
          context,
          {
            objective: objectiveOf(spec, split),
            parameters: { ...training, seed },
            train: matrix,
            valid: await matrixOf(spec, preprocessing, split, parts.valid),
          },
          run,
        );
  const graph = graphSpec(spec);
  const bytes = buildGraph(graph, preprocessing, trained);
  const scores = await scoreRows(bytes, graph.inputs, parts.test.inputs, parts.test.predictedAt);
  const { sha256 } = await stores.objects.put(bytes);
  await stores.runs.removeCheckpoints(model, `${run.run}/${run.part}`);
  return {
    model,
    version: n,
    k,
    seed,
    how,
    onnx: sha256,
    testLosses: meanLosses(spec.task, labelsOf(parts.test, split.classes), scores),
    trainedAt: new Date().toISOString(),
  };
}

/** Whether another seed gives another model. */
const usesChance = (training: ModelSpec['training']): boolean =>
  training.algorithm !== 'linear' && (training.subsample < 1 || training.columnSample < 1);

/** As many weeks (of prediction) as there are, drawn with replacement: rows of a week belong together. */
function weeksDrawnAgain(rows: DerivedRows, seed: number): DerivedRows {
  const random = new Random(seed);
  const weeks = new Map<number, number[]>();
  rows.predictedAt.forEach((seconds, i) => {
    const week = blockOf(seconds * 1000, 'week');
    const known = weeks.get(week);
    if (known) known.push(i);
    else weeks.set(week, [i]);
  });
  const names = [...weeks.keys()].sort((a, b) => a - b);
  const drawn = names.flatMap(() => weeks.get(names[Math.floor(random.float() * names.length)]!)!);
  return takeRows(rows, drawn);
}

/** What a version's run left, as its steps were given it. @throws {UserError} if the run is not in the bucket */
export async function runParts(
  { stores }: Pick<Context, 'stores'>,
  { model, n, run: id }: ModelVersion,
): Promise<{ run: Run; ref: PlanRef; sealed: SealedRows; split: string }> {
  const run = await stores.runs.read(model, id);
  const [plan, split] = [run?.artefacts['plan.json'], run?.artefacts['split.json']];
  if (!run?.rows || !plan || !split)
    throw new UserError(
      'NoRun',
      `The training run of ${model} version ${n} (runs/${model}/${id}.json) is not in this bucket with its rows, so its recipe cannot be fitted again. Give the shadow stage a minimumEffect, or train the version here.`,
    );
  return {
    run,
    ref: {
      model,
      run: id,
      plan,
      project: run.project,
      asOf: run.asOf,
      now: run.startedAt,
      seed: run.seed,
      refit: false,
      overrides: run.overrides,
    },
    sealed: run.rows,
    split,
  };
}

import { decodeRows, requirePii, usesPredictedAt, wrongKey } from '../../onnx/index.ts';
import {
  UserError,
  primaryMetric,
  type Cause,
  type CurvePoint,
  type EvaluationReport,
  type ExpectationResult,
  type InputSchema,
  type ModelSpec,
  type ModelVersion,
  type PiiHasher,
  type RawRow,
  type Run,
  type SealedRows,
  type ServingTerms,
  type Verdict,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import type { Fitted } from '../training/fit.ts';
import type { SealedEvaluation } from './evaluate.ts';
import { referenceHistogram } from './histogram.ts';
import { readPlan, type PlanRef } from './plan.ts';
import { loadRows, takeRows, type DatasetRef, type DerivedRows } from './rows.ts';
import { graphOf } from './score.ts';
import { readObject } from './sealed.ts';
import { readSplit } from './split.ts';

const WARM_UP_ROWS = 16;

/** Everything a finished or halted run leaves behind, by reference. */
export interface RunParts {
  datasets: DatasetRef[];
  expectations?: string;
  rows?: SealedRows;
  split?: string;
  first?: Fitted;
  served?: Fitted;
  baseline?: Fitted;
  evaluation?: string;
  backtest?: string;
  look?: string;
  verdict?: Verdict;
  onnx?: { sha256: string; bytes: number };
}

/** A run that has passed the gate and has a graph. */
export type FinishedParts = RunParts & Required<Pick<RunParts, 'rows' | 'split' | 'evaluation' | 'onnx'>>;

/** Builds the one graph that serves. Safe to repeat: the same parts give the same bytes. */
export const createExportGraph = (context: Context) => ({
  async exportGraph(ref: PlanRef, fitted: Fitted): Promise<{ onnx: { sha256: string; bytes: number }; line: string }> {
    const { spec } = await readPlan(context, ref);
    const onnx = await context.stores.objects.put(await graphOf(context, spec, fitted));
    return {
      onnx,
      line: `model.onnx ${onnx.sha256.slice(0, 12)}, ${(onnx.bytes / 1e6).toFixed(2)} MB, raw inputs to predictions`,
    };
  },
});

/** Writes the model version. Safe to repeat: the same cause is the same version. */
export const createRegister = (context: Context) => ({
  async register(
    ref: PlanRef,
    parts: FinishedParts,
    cause: Cause,
    now: string,
  ): Promise<{ version: number; line: string }> {
    const { stores } = context;
    const { spec, graph } = await readPlan(context, ref);
    const serving = servingTerms(spec, parts.rows, context.pii);
    const [rows, split, evaluation] = await Promise.all([
      loadRows(context, parts.rows, spec, graph),
      readSplit(context, parts.split),
      readObject<SealedEvaluation>(stores, parts.evaluation),
    ]);
    const fittedOn = takeRows(rows, ref.refit ? split.matured : split.train);
    const features = { ...fittedOn.inputs.columns, ...fittedOn.derived.columns };
    const backtest =
      parts.backtest === undefined
        ? undefined
        : await readObject<{ candidate: EvaluationReport }>(stores, parts.backtest);
    const version: Omit<ModelVersion, 'n'> = {
      model: ref.model,
      task: spec.task,
      run: ref.run,
      project: ref.project,
      rowsHash: parts.rows.rowsHash,
      asOf: ref.asOf,
      // Without a refit the first fit serves, and nothing of the test rows was seen.
      labelsSeenUntil: ref.refit ? ref.asOf : split.report.parts.valid.maturesTo,
      onnx: parts.onnx,
      algorithm: spec.training.algorithm,
      entity: spec.rows.entity,
      inputs: spec.inputs,
      usesPredictedAt: usesPredictedAt(graph),
      serving,
      ...(split.classes && { classes: split.classes }),
      ...(evaluation.threshold !== undefined && { threshold: evaluation.threshold }),
      strataEdgesDays: split.report.strataEdgesDays,
      referenceHistograms: Object.fromEntries(
        Object.entries(features).map(([name, column]) => [name, referenceHistogram(column)]),
      ),
      lossSd: evaluation.lossSd,
      warmUpRows: warmUpRows(spec.inputs, fittedOn),
      primaryMetric: primaryMetric(spec),
      metrics: [...evaluation.candidate, ...(backtest ? [backtest.candidate] : [])],
      cause,
      createdAt: now,
    };
    const { n } = await stores.versions.create(version);
    return { version: n, line: `${ref.model} version ${n}` };
  },
});

/**
 * What a replica and the log have to know of model.yaml.
 * @throws {UserError} if the key was changed since the rows were sealed: a version has one
 */
function servingTerms(spec: ModelSpec, { piiKey }: SealedRows, hasher: PiiHasher | undefined): ServingTerms {
  const { rows, rollout, serving } = spec;
  const found = requirePii(spec, hasher)?.fingerprint;
  if (piiKey !== undefined && found !== undefined && piiKey !== found)
    throw wrongKey(`The training rows of ${spec.name} were sealed under another key than there is now.`, {
      found,
      expected: piiKey,
    });
  return {
    ...(rollout.unit !== undefined && { unit: rollout.unit }),
    unitPii: rollout.unitPii,
    entityPii: rows.entityPii,
    ...(piiKey !== undefined && { piiKey }),
    allowEventTime: serving.allowEventTime,
    ...(serving.deadlineMs !== undefined && { deadlineMs: serving.deadlineMs }),
  };
}

/** Writes the run's record, once, and lets go of its checkpoints. Safe to repeat: a run's key is its own. */
export const createRecordRun = (context: Context) => ({
  async recordRun(
    ref: PlanRef,
    parts: RunParts,
    end:
      | { outcome: 'registered'; version: number }
      | { outcome: 'halted'; stage: 'expectations' | 'gate'; reason: string },
    cause: Cause,
    startedAt: string,
    now: string,
  ): Promise<void> {
    const { stores, build } = context;
    const { spec } = await readPlan(context, ref);
    const read = async <T>(sha256: string | undefined, otherwise: T): Promise<T> =>
      sha256 === undefined ? otherwise : readObject<T>(stores, sha256);
    const evaluation = await read<SealedEvaluation | undefined>(parts.evaluation, undefined);
    const backtest = await read<{ candidate?: EvaluationReport; baseline?: EvaluationReport }>(parts.backtest, {});
    const split = parts.split === undefined ? undefined : await readSplit(context, parts.split);
    const artefacts: Record<string, string | undefined> = {
      'plan.json': ref.plan,
      'rows.parquet': parts.rows?.object,
      'split.json': parts.split,
      'preprocessing.json': parts.served?.preprocessing ?? parts.first?.preprocessing,
      'trained-model.json': parts.served?.model ?? parts.first?.model,
      'baseline.json': parts.baseline?.model,
      'evaluation.json': parts.evaluation,
      'backtest.json': parts.backtest,
      'model.onnx': parts.onnx?.sha256,
    };
    const run: Run = {
      id: ref.run,
      model: ref.model,
      project: ref.project,
      outcome: end.outcome,
      ...(end.outcome === 'halted' ? { halted: { stage: end.stage, reason: end.reason } } : { version: end.version }),
      parameters: { ...spec.training },
      overrides: ref.overrides,
      seed: ref.seed,
      asOf: ref.asOf,
      datasets: parts.datasets.map(({ name, hash, rows }) => ({ name, hash, rows })),
      expectations: await read<ExpectationResult[]>(parts.expectations, []),
      ...(parts.rows && { rows: { object: parts.rows.object, rowsHash: parts.rows.rowsHash, rows: parts.rows.rows } }),
      ...(split && { split: split.report }),
      ...(parts.first?.rounds !== undefined && { trees: parts.first.rounds }),
      curve: await read<CurvePoint[]>(parts.first?.curve, []),
      metrics: [...(evaluation?.candidate ?? []), ...(backtest.candidate ? [backtest.candidate] : [])],
      baseline: [...(evaluation?.baseline ?? []), ...(backtest.baseline ? [backtest.baseline] : [])],
      ...(parts.look && { look: parts.look }),
      ...(parts.verdict && { verdict: parts.verdict }),
      artefacts: Object.fromEntries(
        Object.entries(artefacts).filter((entry): entry is [string, string] => entry[1] !== undefined),
      ),
      build,
      cause,
      startedAt,
      endedAt: now,
    };
    await stores.runs.create(run);
    await stores.runs.removeCheckpoints(ref.model, ref.run);
  },
});

/** Real rows as a request would give them, spread over the rows that were fitted; only such as the API would accept. */
function warmUpRows(inputs: InputSchema, rows: DerivedRows): RawRow[] {
  const kept: RawRow[] = [];
  const step = Math.max(1, Math.floor(rows.rows / (WARM_UP_ROWS * 4)));
  let refusal = '';
  for (let i = 0; i < rows.rows && kept.length < WARM_UP_ROWS; i += step) {
    const row = rawRow(inputs, rows, i);
    const decoded = decodeRows(inputs, [row], { personal: 'hashed' });
    if (decoded.ok) kept.push(row);
    else
      refusal = decoded.issues
        .map(({ at, found, expected }) => `${at}: found ${found}, expected ${expected}`)
        .join('; ');
  }
  if (kept.length === 0)
    throw new UserError(
      'NoAcceptableRow',
      `None of the training rows looked at would be accepted by the API: the limits of the inputs refuse the data itself (${refusal}). Widen the limits in model.yaml, or allow null with nullable: true.`,
    );
  return kept;
}

/** Removes what a run kept to be resumed from, when nobody will resume it. Safe to repeat. */
export const createForgetCheckpoints = ({ stores }: Context) => ({
  async forgetCheckpoints(model: string, run: string): Promise<void> {
    await stores.runs.removeCheckpoints(model, run);
  },
});

/** Row i as a request would give it. */
export function rawRow(inputs: InputSchema, rows: DerivedRows, i: number): RawRow {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { type }]) => {
      const value = rows.inputs.columns[name]![i]!;
      if (value === null || Number.isNaN(value)) return [name, null];
      if (typeof value === 'string') return [name, value];
      if (type === 'boolean') return [name, value === 1];
      if (type === 'date') return [name, new Date(value * 86_400_000).toISOString().slice(0, 10)];
      if (type === 'timestamp') return [name, new Date(value * 1000).toISOString()];
      return [name, value];
    }),
  );
}

import { binaryMetrics, multiclassMetrics, regressionMetrics, type TrainedModel } from '../../numerics/index.ts';
import { buildGraph, openModel } from '../../onnx/index.ts';
import {
  UserError,
  graphSpec,
  type Columns,
  type EvaluationReport,
  type InputSchema,
  type Metrics,
  type ModelSpec,
  type Preprocessing,
  type SliceMetrics,
} from '../../schemas/index.ts';
import { createHash } from 'node:crypto';
import type { Context } from '../context.ts';
import { labelsOf } from './split.ts';
import type { DerivedRows } from './rows.ts';
import { readObject } from './sealed.ts';

const BATCH_ROWS = 4096;

/** Builds the graph of a fitted model from its sealed parts. */
export async function graphOf(
  context: Context,
  spec: ModelSpec,
  fitted: { model: string; preprocessing: string },
): Promise<Uint8Array> {
  const [model, preprocessing] = await Promise.all([
    readObject<TrainedModel>(context.stores, fitted.model),
    readObject<Preprocessing>(context.stores, fitted.preprocessing),
  ]);
  return buildGraph(graphSpec(spec), preprocessing, model);
}

/**
 * Scores rows with a graph in ONNX Runtime, as serving does.
 *
 * @returns [outputs][rows] probabilities or values
 */
export async function scoreRows(
  bytes: Uint8Array,
  inputs: InputSchema,
  rows: Columns,
  predictedAt: Float64Array,
): Promise<Float64Array[]> {
  const model = await openModel({ bytes, sha256: createHash('sha256').update(bytes).digest('hex'), inputs });
  try {
    let scores: Float64Array[] = [];
    for (let from = 0; from < rows.rows; from += BATCH_ROWS) {
      const to = Math.min(from + BATCH_ROWS, rows.rows);
      const columns = Object.fromEntries(
        Object.entries(rows.columns).map(([name, column]) => [name, column.slice(from, to)]),
      );
      const outputs = await model.predict({ rows: to - from, columns }, predictedAt.slice(from, to));
      outputs.forEach((output, i) => {
        if ('failed' in output)
          throw new UserError(
            'NotFinite',
            `Row ${from + i} of the evaluation gives no finite output: ${output.failed}`,
          );
        if (scores.length === 0) scores = output.scores.map(() => new Float64Array(rows.rows));
        output.scores.forEach((score, o) => (scores[o]![from + i] = score));
      });
    }
    return scores;
  } finally {
    await model.close();
  }
}

/** Metrics of scored rows, and the same for each slice. */
export function report(
  spec: ModelSpec,
  on: EvaluationReport['on'],
  rows: DerivedRows,
  scores: Float64Array[],
  classes: readonly string[] | undefined,
  threshold: number,
): EvaluationReport {
  const labels = labelsOf(rows, classes);
  const slices: SliceMetrics[] = [];
  let smallSlices = 0;
  for (const column of spec.evaluation.slices)
    for (const [value, indices] of valuesOf(rows, column)) {
      if (indices.length < spec.evaluation.minSliceRows) {
        smallSlices++;
        continue;
      }
      const take = (all: Float64Array) => Float64Array.from(indices, (i) => all[i]!);
      const slice = `${column} = ${value}`;
      const sliceLabels = take(labels);
      const unmeasurable = notMeasurable(spec, sliceLabels);
      if (unmeasurable) slices.push({ slice, rows: indices.length, because: unmeasurable });
      else
        slices.push({ slice, rows: indices.length, metrics: measure(spec, sliceLabels, scores.map(take), threshold) });
    }
  return { on, rows: rows.rows, metrics: measure(spec, labels, scores, threshold), slices, smallSlices };
}

/** Why these labels give no metric that means anything, if so. */
export function notMeasurable(spec: Pick<ModelSpec, 'task'>, labels: Float64Array): string | undefined {
  if (spec.task === 'multiclass' || labels.some((label) => label !== labels[0])) return undefined;
  return spec.task === 'binary' ? 'one class only' : 'one value only';
}

export function measure(
  spec: Pick<ModelSpec, 'task'>,
  labels: Float64Array,
  scores: Float64Array[],
  threshold: number,
): Metrics {
  if (spec.task === 'binary') return binaryMetrics(labels, scores[0]!, threshold);
  if (spec.task === 'multiclass') return multiclassMetrics(labels, scores);
  return regressionMetrics(labels, scores[0]!);
}

/** [rows] loss of each row: log-loss in nats (probabilities clipped at 1e-15), or squared error. */
export function lossPerRow(spec: Pick<ModelSpec, 'task'>, labels: Float64Array, scores: Float64Array[]): Float64Array {
  const clip = (p: number) => Math.min(1 - 1e-15, Math.max(1e-15, p));
  return labels.map((label, i) => {
    if (spec.task === 'regression') return (label - scores[0]![i]!) ** 2;
    const p = spec.task === 'multiclass' ? scores[label]![i]! : label === 1 ? scores[0]![i]! : 1 - scores[0]![i]!;
    return -Math.log(clip(p));
  });
}

/** "auc .8312, logLoss .4711": the figures that a line has room for. */
export function briefly(metrics: Metrics): string {
  const names = ['auc', 'logLoss', 'accuracy', 'macroF1', 'rmse', 'mae', 'r2'] as const;
  const brief = names.filter((name) => name in metrics && !(name === 'accuracy' && 'auc' in metrics));
  return brief.map((name) => `${name} ${(metrics as unknown as Record<string, number>)[name]!.toFixed(4)}`).join(', ');
}

function valuesOf(rows: DerivedRows, column: string): [string, number[]][] {
  const values = rows.inputs.columns[column] ?? rows.derived.columns[column]!;
  const byValue = new Map<string, number[]>();
  for (let i = 0; i < rows.rows; i++) {
    const value = values[i]!;
    const name = value === null || Number.isNaN(value) ? '(missing)' : String(value);
    const indices = byValue.get(name);
    if (indices) indices.push(i);
    else byValue.set(name, [i]);
  }
  return [...byValue].sort(([a], [b]) => (a < b ? -1 : 1));
}

import { SECONDS_PER_DAY, splitRows, strataEdgesDays, stratumOf } from '../../policies/index.ts';
import { UserError, type ModelSpec, type SealedRows, type SplitReport } from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { readPlan, type PlanRef } from './plan.ts';
import { count, loadRows, takeRows, type DerivedRows } from './rows.ts';
import { readObject, writeObject } from './sealed.ts';

export type Part = 'train' | 'valid' | 'test' | 'matured';

/** The split as sealed: row indices into the sealed rows, each part in order of maturesAt. */
export interface SealedSplit {
  train: number[];
  valid: number[];
  test: number[];
  matured: number[];
  /** multiclass: the labels of matured rows, sorted; the order of the probabilities. */
  classes?: string[];
  report: SplitReport;
}

/** Decides which rows train, validate and test. Safe to repeat: a pure function of sealed rows. */
export const createSplitTrainingRows = (context: Context) => ({
  async splitTrainingRows(ref: PlanRef, sealed: SealedRows): Promise<{ split: string; rows: number; line: string }> {
    const { spec, graph } = await readPlan(context, ref);
    const rows = await loadRows(context, sealed, spec, graph);
    const asOf = Date.parse(ref.asOf) / 1000;
    const answer = splitRows({
      predictedAt: rows.predictedAt,
      knownAt: knownWhen(rows),
      maturesAt: rows.maturesAt,
      asOf,
      valid: spec.split.valid,
      test: spec.split.test,
      gapSeconds: durationSeconds(spec.split.gap),
    });
    if (!answer.ok)
      throw new UserError(
        'CannotSplit',
        `The rows cannot be split as of ${ref.asOf}: ${answer.because}. ` +
          `At least 10 matured rows are needed: look at split.asOf, at label.maturesAt, and at known_at in ${spec.rows.sql}. Correct it and apply the project again, or train as of another time (--as-of).`,
      );
    const { train, gapDropped } = answer.parts;
    const classes = spec.task === 'multiclass' ? classesOf(rows, train) : undefined;
    // No trainer can give a probability to a class that it never saw.
    const known = new Set<string | null>(classes);
    const ofKnownClass = (indices: Int32Array) =>
      classes ? indices.filter((row) => known.has((rows.label as string[])[row]!)) : indices;
    const [valid, test, matured] = [answer.parts.valid, answer.parts.test, answer.parts.matured].map(ofKnownClass) as [
      Int32Array,
      Int32Array,
      Int32Array,
    ];
    const strangers = answer.parts.matured.length - matured.length;
    checkLabels(spec, rows, { train, valid, test });
    const edges = strataEdgesDays(rows.predictedAt, rows.maturesAt, asOf);
    const lastTraining = train.reduce((latest, row) => Math.max(latest, rows.predictedAt[row]!), -Infinity);
    const part = (indices: Int32Array) => {
      const mix = new Array<number>(edges.length + 1).fill(0);
      let before = 0;
      for (const row of indices) {
        mix[stratumOf((rows.maturesAt[row]! - rows.predictedAt[row]!) / SECONDS_PER_DAY, edges)]! += 1 / indices.length;
        if (rows.predictedAt[row]! < lastTraining) before++;
      }
      return {
        rows: indices.length,
        maturesFrom: instant(rows.maturesAt[indices[0]!]!),
        maturesTo: instant(rows.maturesAt[indices.at(-1)!]!),
        horizonMix: mix,
        predictedBeforeLastTrainingRow: before / indices.length,
      };
    };
    const report: SplitReport = {
      asOf: ref.asOf,
      rows: rows.rows,
      matured: matured.length,
      parts: { train: part(train), valid: part(valid), test: part(test) },
      gapDropped,
      strataEdgesDays: edges,
    };
    const split: SealedSplit = {
      train: [...train],
      valid: [...valid],
      test: [...test],
      matured: [...matured],
      ...(classes && { classes }),
      report,
    };
    return {
      split: await writeObject(context.stores, split),
      rows: matured.length,
      line:
        inWords(report) +
        (strangers > 0 ? `; ${count(strangers)} rows of classes that no training row has are left out` : ''),
    };
  },
});

export async function readSplit(context: Context, sha256: string): Promise<SealedSplit> {
  return readObject<SealedSplit>(context.stores, sha256);
}

/** The sealed rows and the split, with the rows of some parts. */
export async function loadParts<P extends Part>(
  context: Context,
  ref: PlanRef,
  sealed: SealedRows,
  splitHash: string,
  parts: readonly P[],
): Promise<{ spec: ModelSpec; split: SealedSplit; parts: Record<P, DerivedRows> }> {
  const { spec, graph } = await readPlan(context, ref);
  const [rows, split] = await Promise.all([loadRows(context, sealed, spec, graph), readSplit(context, splitHash)]);
  const taken = parts.map((part) => [part, takeRows(rows, split[part])]);
  return { spec, split, parts: Object.fromEntries(taken) as Record<P, DerivedRows> };
}

/** Labels as the trainers take them: 0 and 1, the class's index, or the value. Classes nobody trained on are -1. */
export function labelsOf(rows: DerivedRows, classes: readonly string[] | undefined): Float64Array {
  if (rows.label instanceof Float64Array) return rows.label;
  const index = new Map(classes!.map((name, i) => [name as string | null, i]));
  return Float64Array.from(rows.label, (label) => index.get(label) ?? -1);
}

/** A row without a label was never known, whatever its stamp says. */
export function knownWhen(rows: DerivedRows): Float64Array {
  return rows.knownAt.map((knownAt, i) => {
    const label = rows.label[i];
    return label === null || Number.isNaN(label) ? NaN : knownAt;
  });
}

function checkLabels(
  spec: ModelSpec,
  rows: DerivedRows,
  parts: { train: Int32Array; valid: Int32Array; test: Int32Array },
): void {
  const named = Object.entries(parts).map(([name, indices]) => ({ name, indices }));
  if (spec.task === 'regression') {
    const label = rows.label as Float64Array;
    for (const { name, indices } of named) {
      const first = label[indices[0]!]!;
      if (indices.every((row) => label[row] === first))
        throw new UserError(
          'ConstantLabel',
          `label is ${first} in all ${count(indices.length)} ${name} rows of ${spec.rows.sql}. A regression needs a label that varies in each part of the split: look at the column that it is made of, or give the split more rows; then apply the project again.`,
        );
    }
    return;
  }
  for (const { name, indices } of named) {
    const found = new Set([...indices].map((row) => String(rows.label[row])));
    if (found.size < 2 && (name === 'train' || spec.task === 'binary'))
      throw new UserError(
        'OneClass',
        `label is ${spec.task === 'binary' ? (found.has('1') ? 'true' : 'false') : [...found][0]} in all ${count(indices.length)} ${name} rows of ${spec.rows.sql}. A ${spec.task} model needs at least two classes in each part of the split: look at the column that it is made of, or give the split more rows; then apply the project again.`,
      );
  }
}

function classesOf(rows: DerivedRows, train: Int32Array): string[] {
  const seen = new Set<string>();
  for (const row of train) seen.add(String(rows.label[row]));
  return [...seen].sort((a, b) => (a < b ? -1 : 1));
}

export function durationSeconds(text: string): number {
  const [amount, unit] = text.split(' ');
  const seconds = { second: 1, minute: 60, hour: 3600, day: 86_400, week: 604_800 }[unit!.replace(/s$/, '')]!;
  return Number(amount) * seconds;
}

function instant(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

function inWords(report: SplitReport): string {
  const share = (x: number) => `${Math.round(100 * x)} %`;
  const { train, valid, test } = report.parts as Required<SplitReport['parts']>;
  const part = (name: string, p: typeof train) =>
    `${name} ${count(p.rows)} (to ${p.maturesTo.slice(0, 10)}; horizons ${p.horizonMix.map(share).join(' ')})`;
  return (
    `${count(report.matured)} of ${count(report.rows)} rows matured: ${part('train', train)} | ${part('valid', valid)} | ${part('test', test)}` +
    `; ${share(test.predictedBeforeLastTrainingRow)} of test was predicted before the last training row` +
    (report.gapDropped > 0 ? `; gap dropped ${count(report.gapDropped)}` : '')
  );
}

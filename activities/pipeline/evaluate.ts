import { bestThreshold } from '../../numerics/index.ts';
import { hasMatured, judgeGate } from '../../policies/index.ts';
import {
  graphSpec,
  instantMs,
  isPiiInput,
  primaryMetric,
  type EvaluationReport,
  type GateEvidence,
  type GatePlan,
  type Look,
  type ModelSpec,
  type ModelVersion,
  type SealedRows,
  type Verdict,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import type { Fitted } from '../training/fit.ts';
import { readPlan, type PlanRef } from './plan.ts';
import { count, loadRows, takeRows, type DerivedRows } from './rows.ts';
import { briefly, graphOf, lossPerRow, measure, notMeasurable, report, scoreRows } from './score.ts';
import { readObject, writeObject } from './sealed.ts';
import { knownWhen, labelsOf, loadParts, readSplit } from './split.ts';

/** What `evaluate` sealed: the figures of the first fit on rows that nothing saw, beside the baseline's. */
export interface SealedEvaluation {
  threshold?: number;
  lossSd: number;
  candidate: EvaluationReport[];
  baseline: EvaluationReport[];
}

/**
 * Scores the untouched last months with the whole graph, as serving would. The threshold is chosen on validation data.
 * Safe to repeat: a pure function of sealed parts.
 */
export const createEvaluate = (context: Context) => ({
  async evaluate(
    ref: PlanRef,
    sealed: SealedRows,
    split: string,
    candidate: Fitted,
    baseline: Fitted | undefined,
  ): Promise<{ evaluation: string; line: string }> {
    const { spec, split: sealedSplit, parts } = await loadParts(context, ref, sealed, split, ['valid', 'test']);
    const { classes } = sealedSplit;
    const bytes = await graphOf(context, spec, candidate);
    const [valid, test] = await scoreParts(bytes, spec, [parts.valid, parts.test]);
    const threshold =
      spec.task === 'binary' ? chooseThreshold(spec, labelsOf(parts.valid, classes), valid![0]!) : undefined;
    const reports = [
      report(spec, 'valid', parts.valid, valid!, classes, threshold ?? 0.5),
      report(spec, 'test', parts.test, test!, classes, threshold ?? 0.5),
    ];
    let baselineReports: EvaluationReport[] = [];
    if (baseline) {
      const [scores] = await scoreParts(await graphOf(context, spec, baseline), spec, [parts.test]);
      baselineReports = [report(spec, 'test', parts.test, scores!, classes, threshold ?? 0.5)];
    }
    const losses = lossPerRow(spec, labelsOf(parts.test, classes), test!);
    const evaluation: SealedEvaluation = {
      ...(threshold !== undefined && { threshold }),
      lossSd: sd(losses),
      candidate: reports,
      baseline: baselineReports,
    };
    const beside = baselineReports[0] ? `; linear baseline ${briefly(baselineReports[0].metrics)}` : '';
    return {
      evaluation: await writeObject(context.stores, evaluation),
      line: `test, ${count(parts.test.rows)} rows: ${briefly(reports[1]!.metrics)}${beside}${threshold === undefined ? '' : `; threshold ${threshold.toFixed(3)}`}`,
    };
  },
});

/**
 * Scores rows predicted after asOf with the refitted model and the refitted baseline.
 * Safe to repeat: a pure function of sealed parts.
 */
export const createBacktest = (context: Context) => ({
  async backtest(
    ref: PlanRef,
    sealed: SealedRows,
    split: string,
    evaluation: string,
    candidate: Fitted,
    baseline: Fitted | undefined,
  ): Promise<{ backtest?: string; line: string }> {
    const { until, where } = ref.backtest!;
    const { spec, graph } = await readPlan(context, ref);
    const { classes } = await readSplit(context, split);
    const { threshold = 0.5 } = await readObject<SealedEvaluation>(context.stores, evaluation);
    const all = await loadRows(context, sealed, spec, graph, where);
    const [from, to, now] = [ref.asOf, until, ref.now].map((time) => instantMs(time) / 1000) as [
      number,
      number,
      number,
    ];
    const labels = labelsOf(all, classes);
    const knownAt = knownWhen(all);
    // What is known before it had to mature is a biased part of its months: it is not scored.
    const isScored = (i: number) =>
      all.predictedAt[i]! >= from &&
      all.predictedAt[i]! < to &&
      hasMatured(all.maturesAt[i]!, knownAt[i]!, now) &&
      labels[i] !== -1;
    const rows = takeRows(all, Array.from({ length: all.rows }, (_, i) => i).filter(isScored));
    if (rows.rows === 0)
      return { line: `no labelled rows from ${ref.asOf.slice(0, 10)} to ${until}: nothing to score` };
    const unmeasurable = notMeasurable(spec, labelsOf(rows, classes));
    if (unmeasurable)
      return {
        line: `${count(rows.rows)} rows from ${ref.asOf.slice(0, 10)} to ${until}, ${unmeasurable}: nothing to measure`,
      };
    const score = async (fitted: Fitted) => (await scoreParts(await graphOf(context, spec, fitted), spec, [rows]))[0]!;
    const reports: { candidate: EvaluationReport; baseline?: EvaluationReport } = {
      candidate: report(spec, 'backtest', rows, await score(candidate), classes, threshold),
      ...(baseline && { baseline: report(spec, 'backtest', rows, await score(baseline), classes, threshold) }),
    };
    const beside = reports.baseline ? `; linear baseline ${briefly(reports.baseline.metrics)}` : '';
    return {
      backtest: await writeObject(context.stores, reports),
      line: `${count(rows.rows)} rows predicted ${ref.asOf.slice(0, 10)} to ${until}: ${briefly(reports.candidate.metrics)}${beside}`,
    };
  },
});

/**
 * The gate's look: evidence and verdict, written together, once.
 * Safe to repeat: its key is made of the workflow's now, and what is there already is the answer.
 */
export const createLookAtGate = (context: Context) => ({
  async lookAtGate(
    ref: PlanRef,
    sealed: SealedRows,
    split: string,
    evaluation: string,
    candidate: Fitted,
    now: string,
  ): Promise<{ look: string; verdict: Verdict; line: string }> {
    const { spec } = await readPlan(context, ref);
    const { stores, build } = context;
    const { candidate: reports, baseline, threshold = 0.5 } = await readObject<SealedEvaluation>(stores, evaluation);
    const test = reports.find(({ on }) => on === 'test')!;
    const { n: revision, models } = await stores.serving.table();
    const champion = models[ref.model]?.serving.champion;
    const plan: GatePlan = {
      kind: 'gate',
      metric: primaryMetric(spec),
      gates: spec.evaluation.gates,
      hasShadowStage: spec.rollout.stages.some(({ kind }) => kind === 'shadow'),
    };
    const { parts, split: sealedSplit } = await loadParts(context, ref, sealed, split, ['test']);
    const version =
      champion === undefined || !plan.gates.notWorseThanChampion
        ? undefined
        : await stores.versions.read(ref.model, champion);
    const evidence: GateEvidence = {
      kind: 'gate',
      rows: test.rows,
      metrics: test.metrics,
      ...(baseline[0] && { baseline: baseline[0].metrics }),
      ...(version && {
        champion: await compare(
          context,
          spec,
          { ...parts.test, piiKey: sealed.piiKey },
          sealedSplit.classes,
          candidate,
          threshold,
          version,
        ),
      }),
    };
    const { rules, verdict } = judgeGate(plan, evidence);
    const stamps = parts.test.predictedAt.toSorted();
    const look: Look = {
      model: ref.model,
      versions: version ? [version.n] : [],
      kind: 'gate',
      at: now,
      run: `runs/${ref.model}/${ref.run}.json`,
      window: { from: instant(stamps[0]!), to: instant(stamps.at(-1)!) },
      plan,
      revision,
      evidence,
      rules,
      figures: [],
      verdict,
      build: build.commit,
    };
    let written = await stores.looks.create(look);
    // Another training of the model that looked in the very same millisecond has its own look.
    for (let ms = 1; written.look.run !== look.run; ms++)
      written = await stores.looks.create({ ...look, at: new Date(Date.parse(now) + ms).toISOString() });
    return {
      look: written.key,
      verdict: written.look.verdict,
      line: `${written.look.verdict.says}: ${written.look.verdict.because}`,
    };
  },
});

/** Both models on the test rows that neither was trained or stopped on. */
async function compare(
  context: Context,
  spec: ModelSpec,
  test: DerivedRows & { piiKey: string | undefined },
  classes: readonly string[] | undefined,
  candidate: Fitted,
  threshold: number,
  champion: ModelVersion,
): Promise<NonNullable<GateEvidence['champion']>> {
  const seenUntil = Date.parse(champion.labelsSeenUntil) / 1000;
  const unseen = Array.from({ length: test.rows }, (_, i) => i).filter(
    (i) => !hasMatured(test.maturesAt[i]!, test.knownAt[i]!, seenUntil),
  );
  const hasInputs = Object.entries(champion.inputs).every(([name, input]) => spec.inputs[name]?.type === input.type);
  const sameHashes =
    hasInputs &&
    Object.entries(champion.inputs).every(
      ([name, input]) =>
        isPiiInput(input) === isPiiInput(spec.inputs[name]!) &&
        (!isPiiInput(input) || champion.serving?.piiKey === test.piiKey),
    );
  const sameClasses = JSON.stringify(champion.classes) === JSON.stringify(classes);
  const because = !hasInputs
    ? `version ${champion.n} takes inputs that the candidate's rows do not have`
    : !sameHashes
      ? `version ${champion.n} takes personal inputs as they are, or hashed under another key`
      : !sameClasses || champion.task !== spec.task
        ? `version ${champion.n} answers another question (other classes or another task)`
        : undefined;
  if (because || unseen.length === 0) return { version: champion.n, rows: 0, ...(because && { because }) };
  const rows = takeRows(test, unseen);
  const labels = labelsOf(rows, classes);
  const unmeasurable = notMeasurable(spec, labels);
  if (unmeasurable) return { version: champion.n, rows: rows.rows, because: unmeasurable };
  const [ours] = await scoreParts(await graphOf(context, spec, candidate), spec, [rows]);
  const theirs = await scoreRows(
    await context.stores.objects.read(champion.onnx.sha256),
    champion.inputs,
    rows.inputs,
    rows.predictedAt,
  );
  return {
    version: champion.n,
    rows: rows.rows,
    candidate: measure(spec, labels, ours!, threshold),
    champion: measure(spec, labels, theirs, champion.threshold ?? 0.5),
  };
}

async function scoreParts(bytes: Uint8Array, spec: ModelSpec, parts: DerivedRows[]): Promise<Float64Array[][]> {
  const { inputs } = graphSpec(spec);
  const scored: Float64Array[][] = [];
  for (const part of parts) scored.push(await scoreRows(bytes, inputs, part.inputs, part.predictedAt));
  return scored;
}

function chooseThreshold(spec: ModelSpec, labels: Float64Array, probabilities: Float64Array): number {
  const { decision } = spec;
  if (!decision) return 0.5;
  if ('threshold' in decision) return decision.threshold;
  return bestThreshold(labels, probabilities, 'costs' in decision ? decision.costs : decision.best);
}

function sd(values: Float64Array): number {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
}

function instant(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

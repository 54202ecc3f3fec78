import type { Stores } from '../../bucket/index.ts';
import {
  didYouMean,
  primaryMetric,
  type MetricName,
  type ModelVersion,
  type Project,
  type Revision,
  type Run,
  type EvaluationReport,
} from '../../schemas/index.ts';
import { ProblemError } from '../problem.ts';
import type { ModelDetail, ModelSummary, RunSummary, VersionSummary } from './shapes.ts';

/** Every model that was applied or serves, by name. */
export async function modelNames(stores: Stores): Promise<string[]> {
  const [applied, { models }] = await Promise.all([stores.projects.models(), stores.serving.table()]);
  return [...new Set([...applied, ...Object.keys(models)])].sort();
}

/** @throws {ProblemError} 404, naming the nearest models */
export async function requireModel(stores: Stores, model: string): Promise<void> {
  const names = await modelNames(stores);
  if (names.includes(model)) return;
  const near = didYouMean(model, names);
  const known = names.length > 0 ? ` Known: ${names.slice(0, 10).join(', ')}.` : '';
  throw new ProblemError({
    status: 404,
    type: 'no-such-model',
    title: 'No such model',
    detail: `There is no model ${model}.${near || known}`,
    next: names.length > 0 ? undefined : 'Nothing is applied yet: npx gauntlet apply <folder>',
  });
}

/** @throws {ProblemError} 404, naming the versions that there are */
export async function requireVersion(stores: Stores, model: string, n: number): Promise<ModelVersion> {
  const found = await stores.versions.read(model, n);
  if (found) return found;
  const numbers = await stores.versions.numbers(model);
  throw new ProblemError({
    status: 404,
    type: 'no-such-version',
    title: 'No such version',
    detail:
      numbers.length > 0
        ? `${model} has no version ${n}; it has ${numbers.join(', ')}.`
        : `${model} has no version yet: a training that passes its gate registers one.`,
    next: numbers.length > 0 ? undefined : `npx gauntlet train ${model}`,
  });
}

export async function listModels(stores: Stores): Promise<ModelSummary[]> {
  const names = await modelNames(stores);
  return Promise.all(names.map((model) => summarizeModel(stores, model)));
}

export async function summarizeModel(stores: Stores, model: string): Promise<ModelSummary> {
  const [project, newest, { models }, runs] = await Promise.all([
    stores.projects.newest(model),
    stores.versions.newest(model),
    stores.serving.table(),
    stores.runs.list(model, 1),
  ]);
  const revision = models[model];
  return {
    model,
    task: project?.spec.task,
    owner: project?.spec.owner,
    description: project?.spec.description,
    project: project && { n: project.n, hash: project.hash, appliedAt: project.appliedAt },
    champion: revision?.serving.champion,
    previous: revision?.serving.previous,
    newest: newest?.n,
    revision: revision?.n,
    lastRun: runs[0] && (await summarizeRun(stores, runs[0])),
  };
}

export async function detailModel(stores: Stores, model: string): Promise<ModelDetail> {
  await requireModel(stores, model);
  const [summary, versions, { models }] = await Promise.all([
    summarizeModel(stores, model),
    stores.versions.list(model),
    stores.serving.table(),
  ]);
  return { ...summary, serving: models[model], versions: summarizeVersions(versions, models[model]) };
}

/** Newest first. */
export function summarizeVersions(versions: readonly ModelVersion[], revision: Revision | undefined): VersionSummary[] {
  return versions
    .map((version) => ({
      model: version.model,
      n: version.n,
      run: version.run,
      algorithm: version.algorithm,
      metric: version.primaryMetric,
      value: metricOn(version.metrics, version.primaryMetric),
      asOf: version.asOf,
      createdAt: version.createdAt,
      serves: roleOf(version.n, revision),
    }))
    .sort((a, b) => b.n - a.n);
}

function roleOf(n: number, revision: Revision | undefined): VersionSummary['serves'] {
  const serving = revision?.serving;
  if (!serving) return undefined;
  if (serving.champion === n) return 'champion';
  if (serving.canary?.version === n) return 'canary';
  if (serving.shadows.some((shadow) => shadow.version === n)) return 'shadow';
  return serving.previous === n ? 'previous' : undefined;
}

/** A run says its metrics but not which one is primary: the project that it pinned does. */
export async function summarizeRun(stores: Stores, run: Run): Promise<RunSummary> {
  const project: Project | undefined = await stores.projects.at(run.model, run.project.n);
  const metric = project ? primaryMetric(project.spec) : undefined;
  return {
    id: run.id,
    model: run.model,
    outcome: run.outcome,
    halted: run.halted,
    version: run.version,
    metric,
    value: metric && metricOn(run.metrics, metric),
    baseline: metric && metricOn(run.baseline, metric),
    startedAt: run.startedAt,
    endedAt: run.endedAt,
    workflowId: run.cause.workflowId,
  };
}

/** On the test rows, which nothing saw before evaluation. */
export function metricOn(reports: readonly EvaluationReport[], metric: MetricName): number | undefined {
  const metrics = reports.find((report) => report.on === 'test')?.metrics as Record<string, unknown> | undefined;
  const value = metrics?.[metric];
  return typeof value === 'number' ? value : undefined;
}

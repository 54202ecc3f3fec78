import { datasetKey, projectKey, revisionKey, runKey, versionKey, type Stores } from '../../../bucket/index.ts';
import {
  primaryMetric,
  type Answer,
  type ModelVersion,
  type Project,
  type Revision,
  type Run,
} from '../../../schemas/index.ts';
import type { LabelTerms } from '../../../sql/index.ts';
import { metricOn } from '../models.ts';
import { damageOf } from './find.ts';
import { link, type Link } from './link.ts';
import { lookSteps } from './looks.ts';
import { RunFacts, type WhyStep } from './shapes.ts';
import { percent } from '../history.ts';

/** From an answer back to where its version came from. */
export interface Chain {
  /** Revision, the looks that it rests on, version, run, datasets and project, in this order. */
  steps: WhyStep[];
  revision?: Revision;
  version?: ModelVersion;
  /** What counts as a label, by the project that the version was made of. */
  terms: LabelTerms;
  /** That project is gone: its terms are those of a model that says nothing of its labels. */
  guessedTerms: boolean;
}

/** Reads every record of it that is there. */
export async function readChain(stores: Stores, answer: Answer): Promise<Chain> {
  const { model } = answer;
  const [revision, version, project] = await Promise.all([
    link(revisionKey(answer.revision), () => stores.serving.at(answer.revision)),
    link(versionKey(model, answer.version), () => stores.versions.read(model, answer.version)),
    link(projectKey(model, answer.project.n), () => stores.projects.at(model, answer.project.n), {
      isIt: ({ hash }) => hash === answer.project.hash,
      otherwise: 'is not the project that the answer names: its hash is another',
    }),
  ]);
  const run = await runOf(stores, answer, version.record);
  const spec = project.record?.spec;
  const task = version.record?.task ?? spec?.task ?? taskOf(answer);
  return {
    steps: [
      { step: 'revision', n: answer.revision, ...revision, says: revisionSays(answer.revision, revision.record) },
      ...(await lookSteps(stores, model, revision.record, run.record)),
      versionStep(answer, version),
      runStep(run, project.record),
      ...(await datasetSteps(stores, run.record, project.record)),
      projectStep(answer, project),
    ],
    ...(revision.record && { revision: revision.record }),
    ...(version.record && { version: version.record }),
    terms: { task, absent: spec?.label.absent ?? 'missing', window: spec?.label.window },
    guessedTerms: spec === undefined,
  };
}

/** Where the version does not say which run it is of, the run says which version it made. */
async function runOf(
  stores: Stores,
  { model, version: n }: Answer,
  version?: ModelVersion,
): Promise<Link<Run> & { id?: string }> {
  if (version)
    return { id: version.run, ...(await link(runKey(model, version.run), () => stores.runs.read(model, version.run))) };
  try {
    const run = (await stores.runs.list(model)).find((one) => one.version === n);
    if (run) return { id: run.id, key: runKey(model, run.id), record: run };
    return { gone: `Version ${n} would say which run made it, and no run says that it made it.` };
  } catch (error) {
    return { gone: `Version ${n} would say which run made it, and not all runs can be read: ${damageOf(error)}` };
  }
}

function revisionSays(n: number, revision: Revision | undefined): string {
  if (!revision) return `Revision ${n} of the serving log put it there.`;
  const { serving, by, because, cause, committedAt, look } = revision;
  const { champion, canary, shadows } = serving;
  const roles = [
    champion === undefined ? 'nothing' : `version ${champion} as the champion`,
    ...(canary ? [`version ${canary.version} as a canary with ${percent(canary.weight)} until ${canary.until}`] : []),
    ...shadows.map(({ version, until }) => `version ${version} as a shadow until ${until}`),
  ];
  return `Revision ${n} of ${committedAt} serves ${roles.join(', ')}: by ${by}, because ${because} (${cause.workflowId}, run ${cause.runId}, step ${cause.step}${look === undefined ? '' : `; it rests on ${look}`}).`;
}

function versionStep({ model, version: n }: Answer, { record, ...where }: Link<ModelVersion>): WhyStep {
  if (!record) return { step: 'version', n, ...where, says: `Version ${n} of ${model} answered.` };
  const { run, project, task, algorithm, asOf, labelsSeenUntil, onnx, threshold, rowsHash, serving, cause, createdAt } =
    record;
  return {
    step: 'version',
    n,
    ...where,
    says: `Version ${n} of ${model} is ${algorithm}, made of what was known at ${asOf} (labels until ${labelsSeenUntil}) and registered at ${createdAt}; its graph is ${short(onnx.sha256)}${threshold === undefined ? '' : `, positive from ${threshold}`}.`,
    record: {
      run,
      project,
      task,
      algorithm,
      asOf,
      labelsSeenUntil,
      onnx,
      threshold,
      rowsHash,
      serving,
      cause,
      createdAt,
    },
  };
}

function runStep({ record: run, ...where }: Link<Run> & { id?: string }, project: Project | undefined): WhyStep {
  if (!run) return { step: 'run', ...where, says: `Run ${where.id ?? '(unknown)'} trained it.` };
  const metric = project && primaryMetric(project.spec);
  const value = metric && metricOn(run.metrics, metric);
  const baseline = metric && metricOn(run.baseline, metric);
  const passed = run.expectations.filter((one) => one.passed).length;
  const { commit, dirty } = run.build;
  const figures = [
    ...(run.rows ? [`on ${run.rows.rows} rows`] : []),
    `by code ${commit.slice(0, 12)}${dirty ? ' with changes that are in no commit' : ''}`,
    `${passed} of ${run.expectations.length} expectations passed`,
    ...(value === undefined
      ? []
      : [
          `${metric} ${figure(value)} on the test rows${baseline === undefined ? '' : ` (linear baseline ${figure(baseline)})`}`,
        ]),
  ];
  return {
    step: 'run',
    ...where,
    says: `Run ${run.id} trained it, ended ${run.endedAt}: ${figures.join(', ')}.`,
    record: RunFacts.parse(run),
    expectations: run.expectations.map(({ expectation, passed, because }) => ({ expectation, passed, because })),
    metric,
    value,
    baseline,
  };
}

/** Where the run is gone, the project names the files, and a file's hash is that of its dataset version. */
async function datasetSteps(stores: Stores, run: Run | undefined, project: Project | undefined): Promise<WhyStep[]> {
  const named =
    run?.datasets ??
    Object.entries(project?.spec.sources ?? {}).flatMap(([name, { file }]) => {
      const hash = project?.files[file]?.sha256;
      return hash === undefined ? [] : [{ name, hash }];
    });
  return Promise.all(
    named.map(async ({ name, hash }): Promise<WhyStep> => {
      const { record, ...where } = await link(datasetKey(name, hash), () => stores.datasets.read(name, hash));
      if (!record)
        return { step: 'dataset', name, hash, ...where, objects: [], says: `Dataset ${name}, version ${short(hash)}.` };
      const { columns: _, ...rest } = record;
      const objects = record.parts.map(({ sha256 }) => `objects/${sha256}`);
      const there = await Promise.all(objects.map((key) => stores.bucket.read(key, { from: 0, to: 1 })));
      const missing = objects.filter((_key, i) => there[i] === undefined);
      return {
        step: 'dataset',
        name,
        hash,
        ...where,
        ...(missing.length > 0 && { gone: `Its bytes are not in the bucket (any more): ${missing.join(', ')}.` }),
        says: `Dataset ${name} is ${record.source} (${short(hash)}): ${record.rows} rows, ingested ${record.ingestedAt}.`,
        record: rest,
        objects,
      };
    }),
  );
}

function projectStep({ project: { n, hash } }: Answer, { record, ...where }: Link<Project>): WhyStep {
  if (!record) return { step: 'project', n, hash, ...where, says: `Project ${n} (${short(hash)}) says how.` };
  const { files, appliedAt, by, spec } = record;
  return {
    step: 'project',
    n,
    hash,
    ...where,
    says: `Project ${n} (${short(hash)}) says how, applied at ${appliedAt} by ${by}, owner ${spec.owner}: ${Object.keys(files).join(', ')}.`,
    record: { files, appliedAt, by, owner: spec.owner },
  };
}

function taskOf({ output }: Answer): LabelTerms['task'] {
  if (output && output.scores.length > 1) return 'multiclass';
  return typeof output?.prediction === 'number' ? 'regression' : 'binary';
}

const short = (hash: string): string => hash.slice(0, 12);
const figure = (value: number): string => Number(value.toPrecision(4)).toString();

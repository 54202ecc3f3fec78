import { styleText } from 'node:util';
import type { Client as Temporal, WorkflowExecutionDescription } from '@temporalio/client';
import { applyProject } from '../activities/project/apply.ts';
import { readProjectFolder } from '../activities/project/read-folder.ts';
import { createClient } from '../api/client.ts';
import { TASK_QUEUE, UserError, type ModelVersion } from '../schemas/index.ts';
import { start, type Running } from '../workers/start.ts';
import { bucketUrl, modelsFolder, whoami } from './environment.ts';
import { followTraining } from './follow.ts';
import { projectFolders } from './project-folders.ts';

export interface UpOptions {
  home: string;
  port?: number;
  /** Models to train and serve, where they are not served yet. */
  train: string[];
}

const SERVED_WITHIN_MS = 120_000;

/**
 * Brings up everything in this process, applies the model projects, trains and serves those that were asked for, and
 * stays until a signal. Every step is told in one line.
 */
export async function up(options: UpOptions): Promise<void> {
  const bold = (text: string) => styleText('bold', text, { stream: process.stdout });
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const ended = new AbortController();
  const stopped = untilSignal(ended);
  const running = await start({
    home: options.home,
    bucket: bucketUrl(),
    port: options.port,
    host: process.env['GAUNTLET_HOST'],
    defaultModel: process.env['GAUNTLET_DEFAULT_MODEL'] ?? options.train[0],
    say,
  });
  try {
    await Promise.race([
      stopped,
      running.failed,
      (async () => {
        await applyAll(running, say);
        for (const model of options.train) await trainAndServe(running, model, say, ended.signal);
        if (!ended.signal.aborted) await sayLinks(running, options.train, say, bold);
        await stopped;
      })(),
    ]);
  } finally {
    say('Stopping: workers, API and Temporal …');
    await running.stop();
    say('Stopped.');
  }
}

function untilSignal(ended: AbortController): Promise<void> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => {
        if (ended.signal.aborted) return; // npm and the terminal both pass it on
        ended.abort();
        done();
      });
  });
}

async function applyAll({ stores }: Running, say: (line: string) => void): Promise<void> {
  for (const folder of await projectFolders(modelsFolder())) {
    const project = await readProjectFolder(folder);
    const applied = await applyProject(stores, project, { by: whoami(), dryRun: false, now: new Date() });
    say(
      `Project ${applied.model}: ${applied.changed ? 'applied' : 'as applied before'}, number ${applied.n}, ${applied.hash.slice(0, 12)}`,
    );
  }
}

async function trainAndServe(
  running: Running,
  model: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const { stores, client } = running;
  const served = await stores.serving.current(model);
  if (served?.serving.champion !== undefined) {
    say(`${model}: version ${served.serving.champion} serves since revision ${served.n}, nothing to train`);
    return;
  }
  const workflowId = `train-${model}`;
  const before = await describe(client, workflowId);
  const newest = await stores.versions.newest(model);
  if (before?.status.name === 'RUNNING')
    say(`${model}: going on with ${workflowId}, started ${before.startTime.toISOString()}`);
  else if (!newest) {
    await client.workflow.start('trainingPipeline', {
      taskQueue: TASK_QUEUE,
      workflowId,
      args: [{ model, promote: true }],
      staticSummary: `Train ${model} and serve it`,
      priority: { priorityKey: 3, fairnessKey: model },
    });
    say(`${model}: training, as workflow ${workflowId}`);
  }
  if (!newest || before?.status.name === 'RUNNING') {
    const training = await Promise.race([followTraining(createClient(running.url), workflowId, say), aborted(signal)]);
    if (!training) return;
    if (training.failure)
      throw new UserError('TrainingFailed', `${model} was not trained: ${training.failure.message}`);
    if (training.result?.outcome !== 'registered') {
      say(`${model}: halted at ${training.result?.stage}: ${training.result?.because}`);
      return;
    }
  }
  await serveNewest(running, model, say, signal);
}

/** Waits for the rollout that the pipeline started; starts it where nobody did. */
async function serveNewest(
  running: Running,
  model: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const { client, stores, serving } = running;
  const version = (await stores.versions.newest(model))!;
  const workflowId = `rollout-${model}`;
  const rollout = await describe(client, workflowId);
  if (!rollout)
    await client.workflow.start('promotion', {
      taskQueue: TASK_QUEUE,
      workflowId,
      args: [{ model, version: version.n, by: whoami() }],
      staticSummary: `Roll out ${model} version ${version.n}`,
      priority: { priorityKey: 1, fairnessKey: model },
    });
  const until = Date.now() + SERVED_WITHIN_MS;
  for (;;) {
    const state = serving.status().models.find((served) => served.model === model);
    if (state?.serving) {
      say(`${model}: version ${state.serving.version} serves, revision ${state.serving.revision}`);
      return;
    }
    if (signal.aborted) return;
    if (Date.now() > until)
      throw new UserError(
        'NotServed',
        `${model} version ${version.n} is not served after ${SERVED_WITHIN_MS / 1000} seconds: ${serving.ready().because}. Look at workflow ${workflowId}.`,
      );
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function describe(client: Temporal, workflowId: string): Promise<WorkflowExecutionDescription | undefined> {
  try {
    return await client.workflow.getHandle(workflowId).describe();
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowNotFoundError') return undefined;
    throw error;
  }
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((done) => signal.addEventListener('abort', () => done(undefined), { once: true }));
}

async function sayLinks(
  running: Running,
  models: string[],
  say: (line: string) => void,
  bold: (text: string) => string,
): Promise<void> {
  const { url, uiUrl, namespace, stores } = running;
  say('');
  say(`${bold('API docs')}     ${url}/docs`);
  if (uiUrl) say(`${bold('Temporal UI')}  ${uiUrl}/namespaces/${namespace}/workflows`);
  for (const model of models) {
    const champion = (await stores.serving.current(model))?.serving.champion;
    const version = champion === undefined ? undefined : await stores.versions.read(model, champion);
    if (!version) continue;
    if (uiUrl) say(`${bold('Its training')} ${workflowUrl(uiUrl, namespace, version)}`);
    say('');
    say(bold(`A prediction of ${model}, version ${version.n}:`));
    say(`curl -H 'content-type: application/json' ${url}/v1/models/${model}/predict -d '${exampleBody(version)}'`);
  }
  say('');
  say('Ctrl-C stops everything; the next start goes on from here.');
}

/** A training's page: by the run that made the version, which links to nothing else. */
function workflowUrl(uiUrl: string, namespace: string, { cause }: ModelVersion): string {
  return [
    uiUrl,
    'namespaces',
    namespace,
    'workflows',
    encodeURIComponent(cause.workflowId),
    cause.runId,
    'history',
  ].join('/');
}

/** A real row as JSON; apostrophes are written as escapes, so that the shell's quotes hold. */
function exampleBody(version: ModelVersion): string {
  return JSON.stringify(version.warmUpRows[0]).replaceAll("'", '\\u0027');
}

import { resolve } from 'node:path';
import { styleText } from 'node:util';
import { applyProject } from '../activities/project/apply.ts';
import { readProjectFolder } from '../activities/project/read-folder.ts';
import { ApiProblem, createClient, type Client } from '../api/client.ts';
import { exampleRows } from '../api/example-rows.ts';
import { UserError, type ModelVersion } from '../schemas/index.ts';
import { ensureLabelSchedules } from '../workers/schedules.ts';
import { start, type Running } from '../workers/start.ts';
import { bucketUrl, modelsFolder, whoami } from './environment.ts';
import { followTraining } from './follow.ts';
import { projectFolders } from './project-folders.ts';

export interface UpOptions {
  home: string;
  port?: number;
  /** Models to train and serve, where they are not served yet. */
  train: string[];
  /** Each line as one JSON object on stdout: {"says": "..."}. */
  json?: boolean;
}

/** A second Ctrl-C after this long is meant: then nothing is waited for. npm and the terminal both pass on the first. */
const IMPATIENT_AFTER_MS = 1_000;
const SERVED_WITHIN_MS = 120_000;

/**
 * Brings up everything in this process, applies the model projects, trains and serves those that were asked for, and
 * stays until a signal. Every step is told in one line.
 */
export async function up(options: UpOptions): Promise<void> {
  const bold = (text: string) => styleText('bold', text, { stream: process.stdout });
  const say = (line: string) => {
    if (!options.json) process.stdout.write(`${line}\n`);
    else if (line !== '') process.stdout.write(`${JSON.stringify({ says: line })}\n`);
  };
  const ended = new AbortController();
  const stopped = untilSignal(ended);
  const starting = start({
    home: options.home,
    bucket: bucketUrl(resolve(options.home)),
    port: options.port,
    host: process.env['GAUNTLET_HOST'] || undefined,
    defaultModel: process.env['GAUNTLET_DEFAULT_MODEL'] || options.train[0],
    by: whoami(),
    say,
    signal: ended.signal,
  });
  const running = await starting.catch((error: unknown) => {
    if (ended.signal.aborted) return undefined;
    throw error;
  });
  if (!running) {
    say('Stopped before everything was up.');
    return;
  }
  try {
    const work = async (): Promise<void> => {
      if (ended.signal.aborted) return;
      const applied = await applyAll(running, say);
      for (const model of options.train)
        if (applied.includes(model)) await trainAndServe(running, model, say, ended.signal);
        else say(`${model}: not among the model projects of ${modelsFolder()}, so it is not trained`);
      if (!ended.signal.aborted) await sayLinks(running, options.train, say, bold);
      await stopped;
    };
    await Promise.race([stopped, running.failed, work()]);
  } finally {
    say('Stopping: API, workers and Temporal …');
    await running.stop();
    say('Stopped.');
  }
}

function untilSignal(ended: AbortController): Promise<void> {
  let first = 0;
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => {
        if (!ended.signal.aborted) {
          first = Date.now();
          ended.abort();
          done();
        } else if (Date.now() - first > IMPATIENT_AFTER_MS) {
          process.exit(130);
        }
      });
  });
}

/** Applies every project, and goes on past one that cannot be: the others are served all the same. */
async function applyAll({ stores, client }: Running, say: (line: string) => void): Promise<string[]> {
  const models: string[] = [];
  for (const folder of await projectFolders(modelsFolder()))
    try {
      const project = await readProjectFolder(folder);
      const applied = await applyProject(stores, project, { by: whoami(), dryRun: false, now: new Date() });
      const how = applied.changed ? 'applied' : 'as applied before';
      say(`Project ${applied.model}: ${how}, number ${applied.n}, ${applied.hash.slice(0, 12)}`);
      models.push(applied.model);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      say(`Project in ${folder}: not applied. ${error.message}`);
    }
  await ensureLabelSchedules(client, stores, say);
  return models;
}

async function trainAndServe(
  running: Running,
  model: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const { stores } = running;
  const client = createClient(running.url, { apiKey: running.apiKey });
  const served = await stores.serving.current(model);
  if (served?.serving.champion !== undefined) {
    say(`${model}: version ${served.serving.champion} serves since revision ${served.n}, nothing to train`);
    return;
  }
  const workflowId = `train-${model}`;
  const isRunning = await goesOn(client, workflowId);
  const newest = await stores.versions.newest(model);
  if (isRunning) say(`${model}: going on with ${workflowId}, which an earlier start began`);
  else if (!newest) {
    await client.train(model, { promote: true }, workflowId);
    say(`${model}: training, as workflow ${workflowId}`);
  }
  if (isRunning || !newest) {
    const training = await Promise.race([followTraining(client, workflowId, say), aborted(signal)]);
    if (!training || signal.aborted) return;
    if (training.result?.outcome !== 'registered') {
      const { result, failure, status } = training;
      say(
        result
          ? `${model}: halted at ${result.stage}: ${result.because}`
          : `${model}: not trained, ${status}: ${failure?.message ?? ''}`,
      );
      return;
    }
    // Started by somebody who did not ask for its rollout.
    if (!training.result.rollout) await client.startRollout(model, { version: training.result.version!, by: whoami() });
  } else {
    // Registered, and stopped before anybody asked for its rollout.
    await client.startRollout(model, { version: newest.n, by: whoami() });
  }
  await untilServed(running, model, say, signal);
}

async function goesOn(client: Client, workflowId: string): Promise<boolean> {
  try {
    return (await client.training(workflowId)).status === 'running';
  } catch (error) {
    if (error instanceof ApiProblem && error.status === 404) return false;
    throw error;
  }
}

async function untilServed(
  { serving }: Running,
  model: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const until = Date.now() + SERVED_WITHIN_MS;
  while (!signal.aborted) {
    const state = serving.status().models.find((served) => served.model === model);
    if (state?.serving) {
      say(`${model}: version ${state.serving.version} serves, revision ${state.serving.revision}`);
      return;
    }
    if (Date.now() > until)
      throw new UserError(
        'NotServed',
        `${model} is not served after ${SERVED_WITHIN_MS / 1000} seconds: ${serving.ready().because}. Look at workflow rollout-${model}.`,
      );
    await new Promise((done) => setTimeout(done, 100));
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

/** A real row as JSON, of the last to mature; apostrophes are written as escapes, so that the shell's quotes hold. */
function exampleBody(version: ModelVersion): string {
  return JSON.stringify(exampleRows(version).at(-1)).replaceAll("'", '\\u0027');
}

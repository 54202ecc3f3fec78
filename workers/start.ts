import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Client } from '@temporalio/client';
import { removeApiAddress, writeApiAddress } from '../api/address.ts';
import { controlOpenApi, createControl } from '../api/control.ts';
import { dispatch, type App } from '../api/dispatch.ts';
import { KeyRing } from '../api/keys.ts';
import { listen } from '../api/listen.ts';
import { replicaChecks } from '../api/replica-checks.ts';
import { createServing, type ServingApp } from '../api/serving.ts';
import { openPredictionLog, openStores, secretOf, type Stores } from '../bucket/index.ts';
import { piiHasher } from '../onnx/index.ts';
import { UserError } from '../schemas/index.ts';
import { readBuild } from './build.ts';
import { bundleWorkflows, createPipelineWorker, createTrainingWorker } from './create-workers.ts';
import { executionStateOf } from './execution-state.ts';
import { logTemporal, openLog } from './log.ts';
import { ensureLabelSchedules, ensureSchedules } from './schedules.ts';
import { connect, connectWorker, ensureSearchAttributes, findTemporal, namedServer } from './temporal/index.ts';

export interface StartOptions {
  home: string;
  bucket: string;
  /** Taken: an error. Absent: 3000, or the next free one. */
  port?: number;
  /** Address that the API listens on. A bucket has no API keys at first, so by default nobody else's machine is let in. */
  host?: string;
  defaultModel?: string;
  /** Who brings it up, for what this process asks of its own API. */
  by?: string;
  /** What is answered is in the bucket, for looks to see, after this long; default 5 seconds. */
  segmentMs?: number;
  say(line: string): void;
  /** Ends the start at its next step; what was brought up by then is taken down again. */
  signal?: AbortSignal;
  env?: NodeJS.ProcessEnv;
}

export interface Running {
  url: string;
  /** Of this process alone, in no store: with it, it asks its own API. */
  apiKey: string;
  /** Temporal's web UI, where we know it. */
  uiUrl?: string;
  namespace: string;
  client: Client;
  stores: Stores;
  serving: ServingApp;
  /** Rejects when a worker dies of itself. */
  failed: Promise<never>;
  /** Finishes what was accepted, and leaves nothing running. */
  stop(): Promise<void>;
}

/** Everything in one process: Temporal (found or brought up), pipeline worker, training worker and API. */
export async function start(options: StartOptions): Promise<Running> {
  const { say, env = process.env } = options;
  const home = resolve(options.home);
  await mkdir(home, { recursive: true });
  const log = openLog(home, env);
  // The API's go first: what is accepted is finished and logged, whatever workers and Temporal do meanwhile.
  const closing: Record<'api' | 'rest', (() => Promise<unknown>)[]> = { api: [], rest: [] };
  const stop = async (): Promise<void> => {
    for (const step of [...closing.api.splice(0).reverse(), ...closing.rest.splice(0).reverse()])
      await step().catch((error: unknown) => log.error({ err: error }, 'stopping went on after an error'));
  };
  const goOn = () => options.signal?.throwIfAborted();
  try {
    const pii = piiHasher(env['GAUNTLET_PII_KEY']);
    await removeOldScratch(home);
    const stores = await openStores({ bucket: options.bucket, home });
    say(`Bucket: ${options.bucket}`);
    // Before anything is brought up: a port that is taken is the commonest reason not to start.
    let app: App = { fetch: starting };
    const host = options.host ?? '127.0.0.1';
    const listening = await listen(
      {
        fetch: (request, env) => app.fetch(request, env),
        direct: (request, response) => app.direct?.(request, response) ?? false,
      },
      { host, port: options.port, log, say },
    );
    const { port } = listening;
    closing.api.push(() => listening.close());
    const url = `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`;

    // Predictions and rollback need no Temporal, so they do not wait for it either.
    goOn();
    const predictionLog = await openPredictionLog({
      bucket: stores.bucket,
      home,
      log,
      ...(options.segmentMs !== undefined && { limits: { segmentMs: options.segmentMs } }),
    });
    closing.api.push(() => predictionLog.close()); // the last answers are in it by then
    const apiKey = secretOf('0');
    const keys = new KeyRing(stores.keys, { own: { secret: apiKey, name: options.by ?? 'gauntlet' } });
    // Of Temporal, once it is there.
    const up: { client?: Client; uiUrl?: string } = {};
    const serving = createServing({
      stores,
      keys,
      predictionLog,
      pii,
      ...limitsOf(env),
      defaultModel: options.defaultModel,
      log,
      extraPaths: () => controlOpenApi(control),
    });
    const control = createControl({
      stores,
      keys,
      temporal: async () => {
        if (up.client) return up.client;
        throw new Error('Gauntlet is still starting, and has no connection to it yet');
      },
      get uiUrl() {
        return up.uiUrl;
      },
      log,
      serving: () => replicaChecks(serving.status(), predictionLog.lag()),
      flushLog: () => predictionLog.flush(),
      home,
    });
    await serving.start();
    closing.api.push(() => serving.stop());
    closing.api.push(() => listening.close()); // first of all: nothing more is accepted
    app = dispatch(serving, control);

    goOn();
    const temporal = await findTemporal({ home, say, env });
    closing.rest.push(() => temporal.stop());
    goOn();
    const connected = await connect(temporal, env);
    closing.rest.push(() => connected.close());
    await ensureSearchAttributes(connected.connection, connected.namespace);
    Object.assign(up, { client: connected.client, uiUrl: temporal.uiUrl });

    const context = {
      stores,
      home,
      build: await readBuild(),
      pii,
      executionState: executionStateOf(connected.client),
      embedded: namedServer(env).server === undefined,
      // Behind a proxy or a load balancer people find it elsewhere.
      url: env['GAUNTLET_URL']?.replace(/\/+$/, '') || url,
      env,
      ...challengerLimit(env),
    };
    goOn();
    logTemporal(log);
    const connection = await connectWorker(temporal, env);
    closing.rest.push(() => connection.close());
    const { namespace } = connected;
    const bundle = await bundleWorkflows();
    goOn();
    const workers = [await createPipelineWorker({ connection, namespace, context, bundle })];
    workers.push(await createTrainingWorker({ connection, namespace, context }));
    const runs = workers.map((worker) => worker.run());
    closing.rest.push(async () => {
      for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
      await Promise.allSettled(runs);
    });
    const failed = new Promise<never>((_, reject) => runs.forEach((run) => void run.catch(reject)));
    failed.catch(() => {}); // whoever waits for it is told; nobody has to
    await ensureSchedules(connected.client);
    await ensureLabelSchedules(connected.client, stores, say);
    say('Workers: pipeline and training, in this process');

    writeApiAddress(home, port);
    closing.api.push(async () => removeApiAddress(home));
    say(`API: ${url}`);
    if (!['127.0.0.1', '::1', 'localhost'].includes(host) && (await stores.keys.list()).length === 0)
      say(
        `API: it listens on ${host} and the bucket has no API key, so whoever reaches it may change anything. Make one: npx gauntlet keys create --name you --scope operate --scope approve`,
      );
    return { url, apiKey, uiUrl: temporal.uiUrl, namespace, client: connected.client, stores, serving, failed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A killed process leaves its scratch folders; whoever needs one still is younger than a day. */
async function removeOldScratch(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    const path = join(home, name);
    if (name.startsWith('scratch-') && Date.now() - (await stat(path)).mtimeMs > 86_400_000)
      await rm(path, { recursive: true, force: true });
  }
}

/** What is asked before there is anybody to answer. */
function starting(request: Request): Response {
  if (new URL(request.url).pathname === '/health') return Response.json({ status: 'alive' });
  const problem = {
    type: 'urn:gauntlet:not-loaded',
    title: 'Starting',
    status: 503,
    detail: 'Gauntlet is starting: ask /ready again in a second.',
  };
  return Response.json(problem, {
    status: 503,
    headers: { 'content-type': 'application/problem+json', 'retry-after': '1' },
  });
}

/** Of a challenger's process, beside live traffic and in a trial over the log. */
function challengerLimit(env: NodeJS.ProcessEnv): { challengerMb?: number } {
  const challengerMb = megabytes(env, 'GAUNTLET_CHALLENGER_MB');
  return challengerMb === undefined ? {} : { challengerMb };
}

function limitsOf(env: NodeJS.ProcessEnv): { challengerMb?: number; maxModelBytes?: number } {
  const maxModelMb = megabytes(env, 'GAUNTLET_MAX_MODEL_MB');
  return {
    ...challengerLimit(env),
    ...(maxModelMb !== undefined && { maxModelBytes: maxModelMb * 1_048_576 }),
  };
}

function megabytes(env: NodeJS.ProcessEnv, name: string): number | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  const mb = Number(text);
  if (Number.isFinite(mb) && mb > 0) return mb;
  throw new UserError('BadSetting', `${name} is ${JSON.stringify(text)}; expected a number of megabytes, such as 512.`);
}

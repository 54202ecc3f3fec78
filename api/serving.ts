import type { IncomingMessage, ServerResponse } from 'node:http';
import { Hono, type Context } from 'hono';
import type { Logger } from 'pino';
import type { PredictionLog, Stores } from '../bucket/index.ts';
import type { PiiHasher } from '../schemas/index.ts';
import { docsRoutes } from './docs.ts';
import { openApiDocument } from './openapi.ts';
import type { KeyRing } from './keys.ts';
import type { OpenApiPart } from './openapi-part.ts';
import { problemMethod, problemNotFound, problemOnError } from './problem.ts';
import { received } from './received.ts';
import { requestId } from './request-id.ts';
import {
  Challenger,
  Challengers,
  currentOf,
  directly,
  feedbackRoutes,
  Follower,
  lackOf,
  Metrics,
  Predictions,
  type ChallengerStatus,
  type FollowerStatus,
} from './serving/index.ts';

export interface ServingOptions {
  stores: Pick<Stores, 'objects' | 'versions' | 'serving'>;
  /** Where answers, shadow scores and labels are written; closed by whoever opened it, after `stop`. */
  predictionLog: PredictionLog;
  /** What POST /predict asks; else the only model that is served. */
  defaultModel?: string;
  /** How long to wait before the serving log is asked again after it had nothing new; default 1000. */
  pollMs?: number;
  /** Milliseconds since 1970; default the clock. It is also predicted_at. */
  now?: () => number;
  log: Logger;
  /** Bytes; default 1 MB. */
  maxBodyBytes?: number;
  /** A version whose graph is larger is not loaded. */
  maxModelBytes?: number;
  /** Memory of the challenger process above which it is replaced; default 1024. */
  challengerMb?: number;
  /** Of GAUNTLET_PII_KEY; without one, models with personal values are not loaded. */
  pii?: PiiHasher | undefined;
  /** Asked where a version is forced, which scope `operate` may; absent: everybody may. */
  keys?: KeyRing;
  /** What else /openapi.json describes: the control app, where it is on the same port. */
  extraPaths?: () => OpenApiPart;
}

export interface Readiness {
  ready: boolean;
  /** In words, what is awaited or what has failed. */
  because: string;
  status: ServingStatus;
}

export interface ServingStatus extends FollowerStatus {
  challengers: ChallengerStatus[];
}

export interface ServingApp {
  app: Hono;
  /** Before the app, where node's server is what brings the requests: whether it takes this one, which it then answers. */
  direct(request: IncomingMessage, response: ServerResponse): boolean;
  /** Ends when the serving log was read and every champion tried once. The log is followed until `stop`. */
  start(): Promise<void>;
  ready(): Readiness;
  status(): ServingStatus;
  /** Ends when the last request has left, every session is closed and the challenger process is gone. */
  stop(): Promise<void>;
}

/** The app that answers: predictions by what the serving log says, and nothing but a bucket and ONNX Runtime behind them. */
export function createServing(options: ServingOptions): ServingApp {
  const { stores, predictionLog, defaultModel, now = Date.now, log, maxBodyBytes = 1_000_000, pii } = options;
  const challenger = new Challenger({ limitMb: options.challengerMb ?? 1024, log, now });
  const metrics = new Metrics({
    follower: () => follower,
    challengers: () => challengers,
    challenger,
    predictionLog,
    now,
  });
  const challengers = new Challengers({
    stores,
    challenger,
    log,
    now,
    onFailure: (model, failure) => metrics.canaryFailed(model, failure),
    pii,
    maxModelBytes: options.maxModelBytes,
  });
  const follower = new Follower({
    stores,
    pollMs: options.pollMs ?? 1000,
    now,
    log,
    pii,
    maxModelBytes: options.maxModelBytes,
    onRevision: (revision) => challengers.follow(revision),
    onBatch: (rows) => metrics.ranBatch(rows),
  });
  const predictions = new Predictions({
    follower,
    challengers,
    metrics,
    predictionLog,
    log,
    now,
    maxBodyBytes,
    defaultModel,
    pii,
    keys: options.keys,
  });
  const status = (): ServingStatus => ({ ...follower.status(), challengers: challengers.status() });
  const app = new Hono();
  /** One line for each request that is refused: what it was about, never what was in it. */
  const noteRefused = (c: Context, status: number, more: object = {}): void =>
    log.info({ requestId: requestId(c), method: c.req.method, ...more, status }, 'request refused');
  const only =
    (...methods: string[]) =>
    (c: Context): Response => {
      noteRefused(c, 405);
      return problemMethod(...methods)(c);
    };

  const onlyPost = only('POST');
  /** For every method: where two handlers match, Hono puts them together anew for each request. */
  const predict = async (c: Context): Promise<Response> => {
    if (c.req.method !== 'POST') return onlyPost(c);
    const { status, headers, body } = await predictions.answer(received(c), requestId(c), c.req.param('model'));
    return c.body(body, status, headers);
  };
  app.all('/predict', predict);
  app.all('/v1/models/:model/predict', predict);

  app.use('/v1/models/:model/feedback', async (c, next) => {
    await next();
    const { status } = c.res;
    const served = follower.current(c.req.param('model'))?.model.version.model;
    metrics.heard(served, status);
    if (status >= 400) noteRefused(c, status, { model: served });
  });
  app.route(
    '/',
    feedbackRoutes({
      log: predictionLog,
      terms: (model) => ({ version: currentOf(follower, model).model.version }),
      now,
      maxBodyBytes,
      ...(pii && { hash: (value: string) => pii.hash(value) }),
      onKept: (model, labels) => metrics.kept(model, labels),
      onError: (error) => log.error({ err: error }, 'labels could not be kept'),
    }),
  );

  app.get('/health', (c) => c.json({ status: 'alive' }));
  app.all('/health', only('GET'));
  app.get('/ready', (c) => {
    const readiness = readinessOf(status());
    return c.json(readiness, readiness.ready ? 200 : 503);
  });
  app.all('/ready', only('GET'));

  app.get('/metrics', async (c) => {
    const { text, contentType } = await metrics.text();
    return c.body(text, 200, { 'content-type': contentType });
  });
  app.all('/metrics', only('GET'));

  let document: { generation: number; text: string } | undefined;
  app.get('/openapi.json', (c) => {
    if (document?.generation !== follower.generation)
      document = {
        generation: follower.generation,
        text: JSON.stringify(
          openApiDocument({
            versions: follower.serving().map(({ model }) => model.version),
            defaultModel,
            maxBodyBytes,
            extra: options.extraPaths?.(),
          }),
        ),
      };
    return c.body(document.text, 200, { 'content-type': 'application/json', 'cache-control': 'no-cache' });
  });
  app.all('/openapi.json', only('GET'));
  app.route('/', docsRoutes());

  app.onError(problemOnError(log));
  app.notFound((c) => {
    noteRefused(c, 404);
    return problemNotFound(c);
  });

  return {
    app,
    direct: directly(predictions, { maxBodyBytes, log }),
    start: () => follower.start(),
    ready: () => readinessOf(status()),
    status,
    async stop() {
      await follower.stop();
      await challengers.stop();
    },
  };
}

/**
 * Ready: something serves, and every model that has a champion was tried. A model that cannot be loaded does not take
 * the others' replica away: its requests are refused, and the failure stands in `because`.
 */
function readinessOf(status: ServingStatus): Readiness {
  const { models, challengers } = status;
  const tried = models.every(({ serving, failures }) => serving || failures.length > 0);
  const lines = [lackOf(status)];
  for (const { model, version, as, because } of challengers)
    if (because !== undefined) lines.push(`${model} version ${version} (${as}) could not be loaded: ${because}`);
  const because = lines.filter((line) => line !== '').join('; ');
  return {
    ready: tried && models.some(({ serving }) => serving),
    because: because || 'every served model is loaded and warm',
    status,
  };
}

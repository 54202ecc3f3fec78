import { Hono, type Context } from 'hono';
import type { Logger } from 'pino';
import type { PredictionLog, Stores } from '../bucket/index.ts';
import { didYouMean, type PiiHasher } from '../schemas/index.ts';
import { docsRoutes } from './docs.ts';
import { headerOf } from './header.ts';
import { openApiDocument } from './openapi.ts';
import { secretOf, type KeyRing } from './keys.ts';
import type { OpenApiPart } from './openapi-part.ts';
import { problem, problemMethod, problemNotFound, problemOf, problemOnError, ProblemError } from './problem.ts';
import { requestId } from './request-id.ts';
import {
  Challenger,
  Challengers,
  DeadlinePassed,
  EVENT_TIME_HEADER,
  eventTimeOf,
  feedbackRoutes,
  Follower,
  LatencyWindow,
  Metrics,
  NotAnswered,
  predict,
  readJson,
  type ChallengerStatus,
  type Current,
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
  /** Ends when the serving log was read and every champion tried once. The log is followed until `stop`. */
  start(): Promise<void>;
  ready(): Readiness;
  status(): ServingStatus;
  /** Ends when the last request has left, every session is closed and the challenger process is gone. */
  stop(): Promise<void>;
}

const LONGEST_WAIT_MS = 600_000;
export const DEADLINE_HEADER = 'x-gauntlet-deadline-ms';
export const FORCE_HEADER = 'x-gauntlet-force-version';

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
  const championMs = new Map<string, LatencyWindow>();
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

  const answer = async (c: Context, choose: (c: Context) => string): Promise<Response> => {
    const from = performance.now();
    const id = requestId(c);
    let model: string | undefined;
    let version: number | undefined;
    try {
      const body = await readJson(c, maxBodyBytes);
      const force = headerOf(c, FORCE_HEADER);
      if (force !== undefined) await options.keys?.check(secretOf(c), 'operate');
      model = choose(c);
      // Whatever serves from here on, this revision and this champion answer the whole request.
      const current = currentOf(follower, model);
      version = current.model.version.n;
      const nowMs = now();
      const answered = await predict(
        {
          current,
          body,
          requestId: id,
          event: eventTimeOf(current.model.version, headerOf(c, EVENT_TIME_HEADER), nowMs),
          from,
          giveUpAt: giveUpAt(headerOf(c, DEADLINE_HEADER), from),
          championMs: championMs.get(model),
          forced: forcedOf(force, current, follower, challengers),
        },
        { challengers, predictionLog, pii, now },
      );
      if (answered.assigned === 'champion') {
        let latencies = championMs.get(model);
        if (!latencies) championMs.set(model, (latencies = new LatencyWindow()));
        latencies.add(answered.latencyMs, nowMs);
      }
      metrics.answered(model, answered);
      if (log.isLevelEnabled('debug'))
        log.debug(
          { requestId: id, model, version: answered.version, status: 200, ms: answered.latencyMs },
          'request answered',
        );
      // Not by c.body, which makes a Headers object first.
      return new Response(JSON.stringify(answered.body), {
        headers: {
          'content-type': 'application/json',
          'x-request-id': id,
          'x-gauntlet-assigned': answered.assigned,
          'x-gauntlet-version': String(answered.version),
        },
      });
    } catch (error) {
      const fields = problemOf(error instanceof DeadlinePassed ? deadlinePassed() : error);
      const by = error instanceof NotAnswered ? error : undefined;
      if (by) version = by.version;
      const noted = { requestId: id, model, version };
      if (fields.status === 500) log.error({ ...noted, err: error }, 'prediction failed');
      metrics.refused(version === undefined ? undefined : model, version, by?.assigned, fields.status);
      const ms = Math.round((performance.now() - from) * 100) / 100;
      log.info({ ...noted, status: fields.status, type: fields.type, ms }, 'request refused');
      const versionHeader: Record<string, string> =
        version === undefined ? {} : { 'x-gauntlet-version': String(version) };
      return problem(c, { ...fields, headers: { ...versionHeader, ...fields.headers } });
    }
  };

  /** One handler for every method: where two match, Hono puts them together anew for each request. */
  const predictions = (choose: (c: Context) => string) => {
    const refuse = only('POST');
    return (c: Context) => (c.req.method === 'POST' ? answer(c, choose) : refuse(c));
  };
  app.all(
    '/v1/models/:model/predict',
    predictions((c) => c.req.param('model')!),
  );
  app.all(
    '/predict',
    predictions(() => defaultOf(follower, defaultModel)),
  );

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
    start: () => follower.start(),
    ready: () => readinessOf(status()),
    status,
    async stop() {
      await follower.stop();
      await challengers.stop();
    },
  };
}

/** A header's whole number, or what is wrong with it. */
function wholeNumber(name: string, text: string, most: number, what: string): number {
  const number = Number(text);
  if (/^\d{1,9}$/.test(text) && number >= 1 && number <= most) return number;
  throw new ProblemError({
    status: 422,
    type: 'invalid-header',
    title: `The header ${name} is not taken`,
    detail: `It is ${JSON.stringify(text.slice(0, 40))}; expected ${what}.`,
    next: 'Send such a number, or leave the header out.',
  });
}

function giveUpAt(header: string | undefined, from: number): number {
  if (header === undefined) return Infinity;
  return from + wholeNumber(DEADLINE_HEADER, header, LONGEST_WAIT_MS, `milliseconds from 1 to ${LONGEST_WAIT_MS}`);
}

function forcedOf(header: string | undefined, { revision }: Current, follower: Follower, challengers: Challengers) {
  if (header === undefined) return undefined;
  const version = wholeNumber(FORCE_HEADER, header, 1_000_000, 'the number of a version');
  const { model } = revision;
  const warm = follower.warm(model, version);
  if (warm) return { version, model: warm };
  if (challengers.loaded(model, version)) return { version };
  const here = follower.status().models.find((one) => one.model === model)?.warm ?? [];
  for (const one of challengers.status()) if (one.model === model && one.loaded) here.push(one.version);
  throw new ProblemError({
    status: 409,
    type: 'version-not-loaded',
    title: 'That version is not loaded here',
    detail: `${model} version ${version} neither serves, nor did before, nor is it a canary or a shadow. Loaded: ${here.join(', ')}.`,
    next: `Ask one of these, or leave the header ${FORCE_HEADER} out.`,
  });
}

const deadlinePassed = (): ProblemError =>
  new ProblemError({
    status: 504,
    type: 'deadline-passed',
    title: 'The deadline passed first',
    detail: `The request said by ${DEADLINE_HEADER} how long it waits, and nothing was scored by then.`,
    next: 'Wait longer, or send less at once: gauntlet_request_seconds of /metrics shows what is usual.',
    headers: { 'retry-after': '1' },
  });

function currentOf(follower: Follower, name: string): Current {
  const current = follower.current(name);
  if (current) return current;
  const served = follower.served();
  if (follower.status().revision !== undefined && !served.includes(name))
    throw new ProblemError({
      status: 404,
      type: 'no-such-model',
      title: 'No such model',
      detail: `No model named ${name.slice(0, 80)} is served.${didYouMean(name.slice(0, 80), served)} ${servedInWords(served)}`,
      next: 'gauntlet models lists every model; gauntlet promote serves a version of one.',
    });
  throw notLoaded(lackOf(follower.status()));
}

const notLoaded = (detail: string): ProblemError =>
  new ProblemError({
    status: 503,
    type: 'not-loaded',
    title: 'Not loaded yet',
    detail,
    next: 'GET /ready says when it is.',
    headers: { 'retry-after': '1' },
  });

const servedInWords = (served: readonly string[]): string =>
  served.length === 0 ? 'No model is served yet.' : `Served: ${served.join(', ')}.`;

function defaultOf(follower: Follower, defaultModel: string | undefined): string {
  if (defaultModel !== undefined) return defaultModel;
  const served = follower.served();
  if (served.length === 0) throw notLoaded(lackOf(follower.status()));
  if (served.length > 1)
    throw new ProblemError({
      status: 409,
      type: 'which-model',
      title: 'Which model?',
      detail: `${served.length} models are served, and none of them is the default: ${served.join(', ')}.`,
      next: 'POST /v1/models/<model>/predict, or set GAUNTLET_DEFAULT_MODEL.',
    });
  return served[0]!;
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

/** What is awaited or has failed, in words; empty where nothing is. */
function lackOf({ revision, bucketFailure, models }: FollowerStatus): string {
  const lines = models.flatMap(({ model, failures, serving }) =>
    failures.map(
      ({ version, because }) =>
        `${model} version ${version} could not be loaded${serving ? ` (version ${serving.version} goes on serving)` : ''}: ${because}`,
    ),
  );
  if (bucketFailure) lines.push(`the serving log cannot be read: ${bucketFailure.because}`);
  for (const { model, champion, failures, serving } of models)
    if (!serving && failures.length === 0) lines.push(`${model} version ${champion} is being loaded`);
  if (revision === undefined && !bucketFailure) lines.push('the serving log has not been read yet');
  else if (models.length === 0 && !bucketFailure)
    lines.push('nothing has been promoted yet: gauntlet promote <model> serves its newest version');
  return lines.join('; ');
}

import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Logger } from 'pino';
import type { PredictionLog } from '../../bucket/index.ts';
import type { PiiHasher } from '../../schemas/index.ts';
import { secretOf, type KeyRing } from '../keys.ts';
import { ProblemError, problemOf, problemParts } from '../problem.ts';
import type { Received } from '../received.ts';
import { readJson } from './body.ts';
import type { Challengers } from './challengers.ts';
import { currentOf, defaultOf } from './current.ts';
import { EVENT_TIME_HEADER, eventTimeOf } from './event-time.ts';
import type { Current, Follower } from './follower.ts';
import { LatencyWindow } from './latency-window.ts';
import { DeadlinePassed } from './loaded-model.ts';
import type { Metrics } from './metrics.ts';
import { NotAnswered, predict } from './predict.ts';

const LONGEST_WAIT_MS = 600_000;
const DEADLINE_HEADER = 'x-gauntlet-deadline-ms';
const FORCE_HEADER = 'x-gauntlet-force-version';

interface PredictionsOptions {
  follower: Follower;
  challengers: Challengers;
  metrics: Metrics;
  predictionLog: PredictionLog;
  log: Logger;
  now: () => number;
  maxBodyBytes: number;
  /** What is asked where the path names no model; else the only one that is served. */
  defaultModel: string | undefined;
  pii: PiiHasher | undefined;
  /** Asked where a version is forced, which scope `operate` may; absent: everybody may. */
  keys: KeyRing | undefined;
}

/** An answer as it leaves, by whichever way. */
interface Said {
  status: ContentfulStatusCode;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: string;
}

/** Answers requests to predict: reads one, has it scored, counts and notes it. */
export class Predictions {
  readonly #o: PredictionsOptions;
  readonly #championMs = new Map<string, LatencyWindow>();

  constructor(o: PredictionsOptions) {
    this.#o = o;
  }

  /** Never rejects. @param named  the model that the path names, if it does */
  async answer(request: Received, id: string, named?: string): Promise<Said> {
    const { follower, challengers, metrics, log, now } = this.#o;
    const from = performance.now();
    let model: string | undefined;
    let version: number | undefined;
    try {
      const body = await readJson(request, this.#o.maxBodyBytes);
      const force = request.header(FORCE_HEADER);
      if (force !== undefined) await this.#o.keys?.check(secretOf(request), 'operate');
      model = named ?? defaultOf(follower, this.#o.defaultModel);
      // Whatever serves from here on, this revision and this champion answer the whole request.
      const current = currentOf(follower, model);
      version = current.model.version.n;
      const nowMs = now();
      const answered = await predict(
        {
          current,
          body,
          requestId: id,
          event: eventTimeOf(current.model.version, request.header(EVENT_TIME_HEADER), nowMs),
          from,
          giveUpAt: giveUpAt(request.header(DEADLINE_HEADER), from),
          championMs: this.#championMs.get(model),
          forced: forcedOf(force, current, follower, challengers),
        },
        this.#o,
      );
      if (answered.assigned === 'champion') this.#latenciesOf(model).add(answered.latencyMs, nowMs);
      metrics.answered(model, answered);
      if (log.isLevelEnabled('debug'))
        log.debug(
          { requestId: id, model, version: answered.version, status: 200, ms: answered.latencyMs },
          'request answered',
        );
      return {
        status: 200,
        headers: {
          'content-type': 'application/json',
          'x-request-id': id,
          'x-gauntlet-assigned': answered.assigned,
          'x-gauntlet-version': String(answered.version),
        },
        body: JSON.stringify(answered.body),
      };
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
      const { body, headers } = problemParts({ ...fields, headers: { ...versionHeader, ...fields.headers } }, id);
      return { status: fields.status, headers, body };
    }
  }

  #latenciesOf(model: string): LatencyWindow {
    let latencies = this.#championMs.get(model);
    if (!latencies) this.#championMs.set(model, (latencies = new LatencyWindow()));
    return latencies;
  }
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

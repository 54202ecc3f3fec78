import { setTimeout as sleep } from 'node:timers/promises';
import type { AskedRow, KnownLabel, LogDay } from './bookings.ts';

/** What was asked, and how it was answered. */
export interface Tally {
  days: number;
  requests: number;
  rows: number;
  labels: number;
  /** Answers that are not 2xx, and requests that nobody answered. */
  failed: number;
  /** The first of these, in words. */
  firstFailures: string[];
  /** By what the split said: champion, canary. */
  assigned: Record<string, number>;
  /** By the version that answered. */
  versions: Record<string, number>;
  /** [requests] of the newest, milliseconds from the request to its answer */
  latencyMs: number[];
}

const MOST_FAILURES_KEPT = 5;
const LATENCIES_KEPT = 2_000;
/** As many as a person's app would send at once; one row each. */
const CONNECTIONS = 8;
/** Well under what one request may carry (1,000): the shadow has to keep up. */
const ROWS_PER_REQUEST = 100;
const LABELS_PER_REQUEST = 5_000;
const WAIT_MS = 50;

/**
 * Plays days of the log through the API, as an app would have sent them: each booking with the day on which it was made
 * (x-gauntlet-event-time), each outcome with the day on which it became known. Days come once, in their order.
 */
export class Player {
  readonly tally: Tally = {
    days: 0,
    requests: 0,
    rows: 0,
    labels: 0,
    failed: 0,
    firstFailures: [],
    assigned: {},
    versions: {},
    latencyMs: [],
  };
  readonly #url: string;
  readonly #days: readonly LogDay[];
  #next = 0;
  /** Bookings of the next day that were sent already. */
  #sent = 0;
  readonly #fetch: typeof fetch;

  constructor(o: { url: string; model: string; days: readonly LogDay[]; fetch?: typeof fetch }) {
    this.#url = `${o.url}/v1/models/${o.model}`;
    this.#days = o.days;
    this.#fetch = o.fetch ?? fetch;
  }

  /** The last day that was played. */
  get date(): string | undefined {
    return this.#days[this.#next - 1]?.date;
  }

  get isOver(): boolean {
    return this.#next >= this.#days.length;
  }

  /**
   * Days in a burst each, so many in a second, until the signal. What a day takes longer than its time is caught up.
   *
   * @param until    day before which it stops
   * @param isAhead  the log waits while it says so
   */
  async replay(o: {
    daysPerSecond: number;
    until: string;
    signal: AbortSignal;
    isAhead?: () => boolean;
  }): Promise<void> {
    const { signal, isAhead } = o;
    let nextMs = performance.now();
    while (!signal.aborted) {
      const day = this.#days[this.#next];
      if (!day || day.date >= o.until) return;
      if (isAhead?.()) {
        await pause(WAIT_MS, signal);
        nextMs = performance.now();
        continue;
      }
      await this.#playAtOnce(day);
      nextMs += 1000 / o.daysPerSecond;
      await pause(nextMs - performance.now(), signal);
    }
  }

  /** One booking a request, so many in a second, until the signal or the end of the days. */
  async live(o: { requestsPerSecond: number; signal: AbortSignal }): Promise<void> {
    const from = performance.now();
    let sent = 0;
    const under = new Set<Promise<void>>();
    while (!o.signal.aborted) {
      const day = this.#days[this.#next];
      if (!day) break;
      for (; this.#sent < day.rows.length && !o.signal.aborted; this.#sent++) {
        await pause(from + (sent++ * 1000) / o.requestsPerSecond - performance.now(), o.signal);
        while (under.size >= CONNECTIONS) await Promise.race(under);
        const asked = this.#ask(day.date, day.rows[this.#sent]!).finally(() => under.delete(asked));
        under.add(asked);
      }
      await Promise.all(under);
      // Stopped in the middle of a day: the next part goes on from there.
      if (this.#sent < day.rows.length) return;
      await this.#tell(day.labels);
      this.#played();
    }
  }

  async #playAtOnce(day: LogDay): Promise<void> {
    for (const rows of chunks(day.rows.slice(this.#sent), ROWS_PER_REQUEST))
      await this.#ask(day.date, { rows }, rows.length);
    await this.#tell(day.labels);
    this.#played();
  }

  #played(): void {
    this.#next++;
    this.#sent = 0;
    this.tally.days++;
  }

  async #ask(date: string, body: AskedRow, rows = 1): Promise<void> {
    const headers = { 'content-type': 'application/json', 'x-gauntlet-event-time': date };
    const from = performance.now();
    const answer = await this.#send('predict', headers, JSON.stringify(body));
    if (!answer) return;
    const { tally } = this;
    tally.rows += rows;
    if (tally.latencyMs.push(performance.now() - from) > LATENCIES_KEPT) tally.latencyMs.shift();
    count(tally.assigned, answer.headers.get('x-gauntlet-assigned'));
    count(tally.versions, answer.headers.get('x-gauntlet-version'));
  }

  async #tell(labels: readonly KnownLabel[]): Promise<void> {
    for (const some of chunks(labels, LABELS_PER_REQUEST)) {
      const lines = some.map((label) => JSON.stringify(label)).join('\n');
      const answer = await this.#send('feedback', { 'content-type': 'application/x-ndjson' }, lines);
      if (answer) this.tally.labels += some.length;
    }
  }

  /** Undefined where the answer is not 2xx, which is counted. Its body is read, so that the connection is free again. */
  async #send(path: string, headers: Record<string, string>, body: string): Promise<Response | undefined> {
    const { tally } = this;
    tally.requests++;
    let failure: string;
    try {
      const answer = await this.#fetch(`${this.#url}/${path}`, { method: 'POST', headers, body });
      const text = await answer.text();
      // Of several rows, one that has no answer says so in its place.
      const error = text.indexOf('"error":"');
      if (answer.ok && error < 0) return answer;
      failure = `${path}: ${answer.status} ${text.slice(Math.max(0, error)).slice(0, 300)}`;
    } catch (error) {
      const { cause } = error as Error;
      failure = `${path}: no answer (${cause instanceof Error ? cause.message : String(error)})`;
    }
    tally.failed++;
    if (tally.firstFailures.length < MOST_FAILURES_KEPT) tally.firstFailures.push(failure);
    return undefined;
  }
}

/** The share of the latencies at or below which a quantile lies; undefined where there is none. */
export function quantileMs(latencyMs: readonly number[], q: number): number | undefined {
  const sorted = latencyMs.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

function count(counts: Record<string, number>, key: string | null): void {
  if (key !== null) counts[key] = (counts[key] ?? 0) + 1;
}

function* chunks<T>(all: readonly T[], size: number): Generator<T[]> {
  for (let i = 0; i < all.length; i += size) yield all.slice(i, i + size);
}

/** Ends early, and without an error, when the signal says so. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => {});
}

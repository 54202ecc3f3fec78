import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { EVENT_TIME_HEADER } from '../../api/serving/index.ts';
import type { Life, Replica } from './replica.ts';

/** A 2xx answer, as the client had it. */
export interface Answered {
  /** Its x-request-id: of each attempt another. */
  id: string;
  life: Life;
  /** performance.now() */
  receivedMs: number;
  revision: number;
  /** By row. */
  rows: { x: number; version: number; prediction: number }[];
}

export interface Acknowledged {
  labelId: string;
  requestId: string;
  value: number;
}

const ATTEMPTS = 6;
const PATIENCE_MS = 60_000;

/**
 * Asks replicas over connections that are kept alive, as a load balancer would: in turn those that are ready, and the next
 * where a connection is refused or breaks off. It writes down everything that was promised to it.
 */
export class Client {
  readonly answered: Answered[] = [];
  readonly acknowledged: Acknowledged[] = [];
  /** Ids of attempts, answered or not. */
  readonly asked = new Set<string>();
  /** Answers of 5xx that a champion is known to give; nothing else is excused. */
  readonly excused: { id: string; life: Life; receivedMs: number }[] = [];
  /** Answers that were not 2xx, and connections that broke though nobody ended their replica. */
  readonly failures: string[] = [];
  /** Requests that found nobody, however often they were tried. */
  readonly unheard: string[] = [];
  failovers = 0;
  labelRepeats = 0;
  readonly #model: string;
  readonly #replicas: Replica[];
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  readonly #excuses: (type: string) => boolean;
  #turn = 0;

  /** @param excuses  types of problems that an answer may say, and whoever is tested looks into afterwards */
  constructor(model: string, replicas: Replica[], excuses: (type: string) => boolean = () => false) {
    this.#model = model;
    this.#replicas = replicas;
    this.#excuses = excuses;
  }

  /**
   * @param rows       one row, or several in one request, each with its x
   * @param eventTime  when it happened, where that is not now
   */
  async predict(
    id: string,
    rows: ({ x: number } & Record<string, unknown>)[],
    eventTime?: string,
  ): Promise<Answered | undefined> {
    const headers: Record<string, string> = eventTime === undefined ? {} : { [EVENT_TIME_HEADER]: eventTime };
    const body = JSON.stringify(rows.length === 1 ? rows[0] : { rows });
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const own = `${id}.${attempt}`;
      this.asked.add(own);
      const said = await this.#ask('predict', own, body, headers);
      if (!said) continue;
      if (said.status >= 500 && this.#excuses(typeOf(said.text))) {
        this.excused.push({ id: own, life: said.life, receivedMs: said.receivedMs });
        return undefined;
      }
      if (said.status !== 200) return void this.failures.push(`${own} was answered ${said.status}: ${said.text}`);
      const answer = JSON.parse(said.text) as Said & { predictions?: Said[]; revision: number };
      const answered: Answered = {
        id: own,
        life: said.life,
        receivedMs: said.receivedMs,
        revision: answer.revision,
        rows: (answer.predictions ?? [answer]).map(({ prediction, version = answer.version }, i) => ({
          x: rows[i]!.x,
          version: version!,
          prediction,
        })),
      };
      this.answered.push(answered);
      return answered;
    }
    this.unheard.push(id);
    return undefined;
  }

  /** With a label id of ours, so that it may be sent again. */
  async label(labelId: string, requestId: string, value: number, knownAt?: string): Promise<void> {
    const body = JSON.stringify({ labelId, requestId, value, knownAt });
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (attempt > 0) this.labelRepeats++;
      const said = await this.#ask('feedback', `label-${labelId}.${attempt}`, body);
      if (!said) continue;
      if (said.status === 202) this.acknowledged.push({ labelId, requestId, value });
      else this.failures.push(`label ${labelId} was answered ${said.status}: ${said.text}`);
      return;
    }
    this.unheard.push(`label ${labelId}`);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Undefined where the replica was not there, or went away before it had answered. */
  async #ask(
    route: 'predict' | 'feedback',
    id: string,
    body: string,
    headers: Record<string, string> = {},
  ): Promise<Heard | undefined> {
    const ready = this.#replicas.filter((one) => one.ready);
    const replica = ready[this.#turn++ % ready.length];
    if (!replica) return undefined;
    const { life } = replica;
    try {
      return { ...(await this.#post(replica.port, route, body, { ...headers, 'x-request-id': id })), life };
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      const hasEnded = life.killedMs !== undefined || life.stoppedMs !== undefined;
      if (hasEnded && ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(code)) {
        // It is asked again once it was started again.
        if (replica.life === life) replica.ready = false;
        this.failovers++;
      } else this.failures.push(`${id}: ${life.replica}, which was not ended, gave ${code || String(error)}`);
      return undefined;
    }
  }

  #post(port: number, route: string, body: string, headers: Record<string, string>): Promise<Omit<Heard, 'life'>> {
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          host: '127.0.0.1',
          port,
          path: `/v1/models/${this.#model}/${route}`,
          method: 'POST',
          agent: this.#agent,
          timeout: PATIENCE_MS,
          headers: {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
            ...headers,
          },
        },
        (response) => {
          const pieces: Buffer[] = [];
          response.on('data', (piece: Buffer) => pieces.push(piece));
          response.once('error', reject);
          response.once('end', () =>
            resolve({
              status: response.statusCode!,
              text: Buffer.concat(pieces).toString(),
              receivedMs: performance.now(),
            }),
          );
        },
      );
      asked.once('timeout', () => asked.destroy(new Error(`no answer within ${PATIENCE_MS} ms`)));
      asked.once('error', reject);
      asked.end(body);
    });
  }
}

/** urn:gauntlet:<type> of a problem; nothing where it is none. */
const typeOf = (text: string): string => /"type":"urn:gauntlet:([^"]+)"/.exec(text)?.[1] ?? '';

interface Said {
  prediction: number;
  version?: number;
}

interface Heard {
  status: number;
  text: string;
  receivedMs: number;
  life: Life;
}

/**
 * Calls `one` at an even rate while `goesOn` says so, and ends with the last of them. What the machine cannot do is left
 * out: never more than `mostAtOnce` are under way.
 *
 * @returns how many were left out
 */
export async function paced(
  o: { perSecond: number; mostAtOnce: number; goesOn: () => boolean },
  one: (n: number) => Promise<void>,
): Promise<number> {
  const under = new Set<Promise<void>>();
  const from = performance.now();
  let leftOut = 0;
  for (let n = 0; o.goesOn(); await sleep(TICK_MS))
    for (; n < ((performance.now() - from) * o.perSecond) / 1000; n++) {
      if (under.size >= o.mostAtOnce) leftOut++;
      else {
        const running: Promise<void> = one(n).finally(() => under.delete(running));
        under.add(running);
      }
    }
  await Promise.all(under);
  return leftOut;
}

const TICK_MS = 5;

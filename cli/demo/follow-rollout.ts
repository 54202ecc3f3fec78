import { setTimeout as sleep } from 'node:timers/promises';
import { ApiProblem, ApiUnreachable, type Client } from '../../api/client.ts';
import type { Look, RolloutResult, RolloutStatus } from '../../schemas/index.ts';

const POLL_MS = 400;
/** A busy machine's Temporal is waited for; longer than this it is gone. */
const PATIENCE_MS = 60_000;
/** Of looks that were made between two polls. */
const MOST_MISSED = 10;

export interface Followed {
  onLook(look: Look, key: string): void;
  /** Something that the rollout itself noted: a stage passed, a vote refused. */
  onNote(text: string): void;
  /** Where it stands, each time that it was asked. */
  onStatus(status: RolloutStatus): void;
  /** Whether that is as far as it is to be followed. */
  until(status: RolloutStatus): boolean;
  signal: AbortSignal;
}

/** Follows the newest rollout of a model over the API: every look once, oldest first, and what it notes. */
export class RolloutFollower {
  readonly #client: Client;
  readonly #model: string;
  readonly #runId: string;
  readonly #seen = new Set<string>();
  #notes = 0;

  constructor(client: Client, model: string, runId: string) {
    this.#client = client;
    this.#model = model;
    this.#runId = runId;
  }

  /** @returns how it ended; undefined where `until` said so before, or the signal did */
  async follow(o: Followed): Promise<RolloutResult | undefined> {
    while (!o.signal.aborted) {
      const { runId, status, state, result, failure } = await patiently(() => this.#client.rollout(this.#model));
      if (runId !== this.#runId) throw new Error(`another rollout of ${this.#model} began: ${runId}`);
      if (status) {
        for (const { key, look } of await this.#looksSince(status)) o.onLook(look, key);
        // Older notes may have been dropped: then all that are left are new.
        const notes = [...status.lines, ...status.refused.map((text) => `refused: ${text}`)];
        for (const note of notes.slice(Math.min(this.#notes, notes.length))) o.onNote(note.replace(TIME, '$1'));
        this.#notes = notes.length;
        o.onStatus(status);
      }
      if (result) return result;
      if (state !== 'running')
        throw new Error(`the rollout of ${this.#model} ${state}: ${failure?.message ?? 'no reason was given'}`);
      if (status && o.until(status)) return undefined;
      await sleep(POLL_MS, undefined, { signal: o.signal }).catch(() => {});
    }
    return undefined;
  }

  /** Those of this rollout that were not seen yet, once its status names a newer one. */
  async #looksSince({ look: newest }: RolloutStatus): Promise<{ key: string; look: Look }[]> {
    if (!newest || this.#seen.has(newest.key)) return [];
    const { looks } = await patiently(() => this.#client.looks(this.#model, { limit: MOST_MISSED }));
    const ours = looks.filter(({ key, rollout }) => rollout?.runId === this.#runId && !this.#seen.has(key));
    const found: { key: string; look: Look }[] = [];
    for (const { key } of ours.reverse()) {
      found.push({ key, look: (await patiently(() => this.#client.look(this.#model, key))).look });
      this.#seen.add(key);
    }
    return found;
  }
}

/** A note begins with the workflow's own time. */
const TIME = /^(refused: )?\d{4}-\d{2}-\d{2}T[\d:.]+Z /;

/** Asks again where Temporal or the API does not answer just now. Only for what may be asked twice. */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (const until = Date.now() + PATIENCE_MS; ;)
    try {
      return await ask();
    } catch (error) {
      const passing = error instanceof ApiUnreachable || (error instanceof ApiProblem && error.status === 503);
      if (!passing || Date.now() > until) throw error;
      await sleep(POLL_MS);
    }
}

import {
  UserError,
  didYouMean,
  type Cause,
  type Revision,
  type RollbackResult,
  type Serving,
} from '../schemas/index.ts';
import { sameCause } from './cause.ts';
import type { ServingLog } from './serving-log.ts';
import { Versions } from './versions.ts';

/** A request is repeated within minutes: what it did is among so many entries of a model. */
const MADE_WITHIN = 10;
/** Nobody rolls back further than this: so many entries of a model are read at most, each when it is asked for. */
const LOOK_BACK = 100;

/**
 * Serves an earlier version again: the champion becomes `to`, and canary, shadows and holder are cleared. It asks nobody
 * and needs no Temporal; an open rollout finds itself overtaken.
 *
 * Without `to` the newest change is taken back. While a rollout tries a version out beside the champion (a canary, a
 * shadow, people being asked), that is the rollout: traffic goes back to the champion wholly. Else, also in a bake, whose
 * champion is the new version, it is the champion: the serving's `previous` serves again.
 *
 * A rollback goes back only: `previous` becomes the version that served before the restored one did, never one that a
 * rollback left. After 1, 2 and 3, a first rollback serves 2, a second 1, and a third is refused: going forward again
 * takes `to`, because somebody must say that the version is good after all.
 *
 * Safe to repeat: the same cause is the same revision. Where the model serves `to` and nothing else, nothing is written.
 *
 * @throws {UserError} if the model never served, has no version to go back to, or `to` does not exist
 */
export async function rollBack(
  log: ServingLog,
  model: string,
  to: number | undefined,
  by: string,
  reason: string,
  cause: Cause,
): Promise<RollbackResult> {
  for (;;) {
    const table = await log.table();
    const head = table.models[model];
    const champion = head?.serving.champion;
    if (!head || champion === undefined) throw neverServed(model, Object.values(table.models));
    const entries = new Entries(log, head);
    const made = await madeBefore(entries, cause);
    if (made) return await resultOf(log, made);
    const target = to ?? ((await isTriedBeside(entries)) ? champion : head.serving.previous);
    if (target === undefined) throw await nothingBefore(log, entries, champion);
    await checkVersion(log, model, target);
    const { canary, shadows, holder } = head.serving;
    if (target === champion && !canary && shadows.length === 0 && holder === undefined)
      return { revision: head.n, model, from: champion, to: target };
    const appended = await log.append({
      model,
      was: head.n,
      serving: await servingAgain(entries, target),
      by,
      because: reason,
      cause,
      force: true,
    });
    if (appended.ok) return { revision: appended.n, model, from: champion, to: target };
    // Moved meanwhile: what it moved to is rolled back.
  }
}

/** The state in which an earlier version serves again, after the model's entry `head`: what a rollback to it writes. */
export async function servingOf(log: ServingLog, head: Revision, target: number): Promise<Serving> {
  return servingAgain(new Entries(log, head), target);
}

/** The newest entries of a model, each read when it is asked for: in an S3 bucket one takes 10-30 ms. */
class Entries {
  readonly head: Revision;
  readonly #history: AsyncIterator<Revision>;
  readonly #read: Revision[] = [];

  constructor(log: ServingLog, head: Revision) {
    this.head = head;
    this.#history = log.history(head)[Symbol.asyncIterator]();
  }

  /** 0 is the head; undefined beyond the oldest, or beyond what is looked at. */
  async at(i: number): Promise<Revision | undefined> {
    while (this.#read.length <= i && this.#read.length < LOOK_BACK) {
      const next = await this.#history.next();
      if (next.done === true) break;
      this.#read.push(next.value);
    }
    return this.#read[i];
  }
}

async function madeBefore(entries: Entries, cause: Cause): Promise<Revision | undefined> {
  for (let i = 0; i < MADE_WITHIN; i++) {
    const entry = await entries.at(i);
    if (!entry || sameCause(entry.cause, cause)) return entry;
  }
  return undefined;
}

/** Whether a rollout holds the model, or has routed something, and the champion is not its own version. */
async function isTriedBeside(entries: Entries): Promise<boolean> {
  const { canary, shadows, holder, champion } = entries.head.serving;
  if (canary || shadows.length > 0) return true;
  if (holder === undefined) return false;
  // Nothing is routed beside: people are asked about it, or it bakes. Then its holder has changed the champion.
  for (let i = 0; (await entries.at(i))?.serving.holder === holder; i++) {
    const before = await entries.at(i + 1);
    if (before && before.serving.champion !== champion) return false;
  }
  return true;
}

async function servingAgain(entries: Entries, target: number): Promise<Serving> {
  const previous = await servedBefore(entries, target);
  return { champion: target, ...(previous !== undefined && { previous }), shadows: [] };
}

/**
 * The version that served before `target` last did, and that no rollback left since.
 * A rollout's `previous` is the version that it replaced. A rollback's never is: that tells the two apart.
 */
async function servedBefore(entries: Entries, target: number): Promise<number | undefined> {
  const { champion, previous } = entries.head.serving;
  const left = new Set([target, champion]);
  let of = target;
  for (let i = 0, entry = await entries.at(0); entry; entry = await entries.at(++i)) {
    const { serving } = entry;
    if (serving.champion === of) {
      if (serving.previous === undefined || !left.has(serving.previous)) return serving.previous;
      of = serving.previous;
    }
    const before = (await entries.at(i + 1))?.serving.champion;
    if (before !== serving.champion && before !== serving.previous) left.add(before);
  }
  // The target never served: what would have been restored is next.
  return of === target && previous !== target ? previous : undefined;
}

async function resultOf(log: ServingLog, made: Revision): Promise<RollbackResult> {
  const before = await log.at(made.was);
  const to = made.serving.champion!;
  return { revision: made.n, model: made.model, from: before?.serving.champion ?? to, to };
}

async function checkVersion(log: ServingLog, model: string, n: number): Promise<void> {
  const versions = new Versions(log.bucket);
  const numbers = await versions.numbers(model);
  if (numbers.includes(n) && (await versions.read(model, n))) return;
  throw new UserError('NoSuchVersion', `${model} has no version ${n}. It has ${inWords(numbers)}.`);
}

function inWords(numbers: readonly number[]): string {
  if (numbers.length === 0) return 'none';
  const newest = numbers.slice(-10);
  return `${newest.length < numbers.length ? 'among others ' : ''}${newest.join(', ')}`;
}

function neverServed(model: string, revisions: readonly Revision[]): UserError {
  const served = revisions.filter(({ serving }) => serving.champion !== undefined).map((revision) => revision.model);
  return new UserError(
    'NeverServed',
    `${model} has never served, so it cannot be rolled back.${didYouMean(model, served)} Models that serve: ${served.sort().join(', ') || 'none'}.`,
  );
}

async function nothingBefore(log: ServingLog, entries: Entries, champion: number): Promise<UserError> {
  const { model } = entries.head;
  const others = (await new Versions(log.bucket).numbers(model)).filter((n) => n !== champion);
  const tried = await onlyTried(entries);
  const served = others.filter((n) => !tried.has(n));
  const how = (to: number | string): string => `gauntlet rollback ${model} --to ${to} --reason "why"`;
  const next =
    others.length === 0
      ? 'It has no other version.'
      : served.length === 0
        ? `Its other versions (${inWords(others)}) were only tried out beside it: ${how('<n>')} serves one all the same.`
        : `Name the version to serve (it also has ${inWords(served)}): ${how(served.at(-1)!)}`;
  return new UserError(
    'NothingToRollBackTo',
    `${model} serves version ${champion}, and before it served none that was not rolled back. ${next}`,
  );
}

/** Versions that were canaries or shadows lately and never the champion: a rollback suggests none of them. */
async function onlyTried(entries: Entries): Promise<Set<number>> {
  const tried = new Set<number>();
  const champions = new Set<number | undefined>();
  for (let i = 0, entry = await entries.at(0); entry; entry = await entries.at(++i)) {
    const { champion, canary, shadows } = entry.serving;
    champions.add(champion);
    for (const { version } of [...(canary ? [canary] : []), ...shadows]) tried.add(version);
  }
  for (const champion of champions) if (champion !== undefined) tried.delete(champion);
  return tried;
}

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

/** A request is repeated within minutes, and nobody rolls back further than this: so many entries of a model are read. */
const LOOK_BACK = 100;

/**
 * Serves an earlier version again: the champion becomes `to` (by default the serving's `previous`), and canary, shadows
 * and holder are cleared. It asks nobody and needs no Temporal; an open rollout finds itself overtaken.
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
    const entries = await newestEntries(log, head);
    const made = entries.find((entry) => sameCause(entry.cause, cause));
    if (made) return await resultOf(log, made);
    const target = to ?? head.serving.previous;
    if (target === undefined) throw await nothingBefore(log, model, champion);
    await checkVersion(log, model, target);
    const { canary, shadows, holder } = head.serving;
    if (target === champion && !canary && shadows.length === 0 && holder === undefined)
      return { revision: head.n, model, from: champion, to: target };
    const appended = await log.append({
      model,
      was: head.n,
      serving: servingAgain(entries, target),
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
  return servingAgain(await newestEntries(log, head), target);
}

function servingAgain(entries: readonly Revision[], target: number): Serving {
  const previous = servedBefore(entries, target);
  return { champion: target, ...(previous !== undefined && { previous }), shadows: [] };
}

async function newestEntries(log: ServingLog, head: Revision): Promise<Revision[]> {
  const entries: Revision[] = [];
  for await (const entry of log.history(head)) if (entries.push(entry) === LOOK_BACK) break;
  return entries;
}

/**
 * The version that served before `target` last did, and that no rollback left since; `entries` newest first.
 * A rollout's `previous` is the version that it replaced. A rollback's never is: that tells the two apart.
 */
function servedBefore(entries: readonly Revision[], target: number): number | undefined {
  const champion = entries[0]!.serving.champion;
  const left = new Set([target, champion]);
  let of = target;
  for (const [i, { serving }] of entries.entries()) {
    if (serving.champion === of) {
      if (serving.previous === undefined || !left.has(serving.previous)) return serving.previous;
      of = serving.previous;
    }
    const before = entries[i + 1]?.serving.champion;
    if (before !== serving.champion && before !== serving.previous) left.add(before);
  }
  // The target never served: what would have been restored is next.
  const { previous } = entries[0]!.serving;
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

async function nothingBefore(log: ServingLog, model: string, champion: number): Promise<UserError> {
  const others = (await new Versions(log.bucket).numbers(model)).filter((n) => n !== champion);
  return new UserError(
    'NothingToRollBackTo',
    `${model} serves version ${champion}, and before it served none that was not rolled back. ${
      others.length === 0
        ? 'It has no other version.'
        : `Name the version to serve (it also has ${inWords(others)}): gauntlet rollback ${model} --to ${others.at(-1)} --reason "why"`
    }`,
  );
}

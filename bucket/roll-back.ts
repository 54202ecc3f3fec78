import { UserError, didYouMean, type Cause, type Revision, type RollbackResult } from '../schemas/index.ts';
import { sameCause } from './cause.ts';
import type { ServingLog } from './serving-log.ts';
import { Versions } from './versions.ts';

/** A request is repeated within minutes; further back than this nobody looks for its entry. */
const REPEATED_WITHIN = 100;

/**
 * Serves an earlier version again: the champion becomes `to` (by default the version that served before), and canary,
 * shadows and holder are cleared. It asks nobody and needs no Temporal; an open rollout finds itself overtaken.
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
    const made = await madeBy(log, head, cause);
    if (made) return await resultOf(log, made);
    const target = to ?? head.serving.previous;
    if (target === undefined) throw nothingBefore(model, champion);
    await checkVersion(log, model, target);
    const { canary, shadows, holder } = head.serving;
    if (target === champion && !canary && shadows.length === 0 && holder === undefined)
      return { revision: head.n, model, from: champion, to: target };
    const previous = target === champion ? head.serving.previous : champion;
    const appended = await log.append({
      model,
      was: head.n,
      serving: { champion: target, ...(previous !== undefined && { previous }), shadows: [] },
      by,
      because: reason,
      cause,
      force: true,
    });
    if (appended.ok) return { revision: appended.n, model, from: champion, to: target };
    // Moved meanwhile: what it moved to is rolled back.
  }
}

async function madeBy(log: ServingLog, head: Revision, cause: Cause): Promise<Revision | undefined> {
  let seen = 0;
  for await (const entry of log.history(head)) {
    if (sameCause(entry.cause, cause)) return entry;
    if (++seen === REPEATED_WITHIN) return undefined;
  }
  return undefined;
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

const nothingBefore = (model: string, champion: number): UserError =>
  new UserError(
    'NothingToRollBackTo',
    `${model} serves version ${champion}, and no other version served before it. Name the version to serve: gauntlet rollback ${model} --to <version>.`,
  );

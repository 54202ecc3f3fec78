import { didYouMean } from '../../schemas/index.ts';
import { ProblemError } from '../problem.ts';
import type { Current, Follower, FollowerStatus } from './follower.ts';

/**
 * What serves a model.
 *
 * @throws {ProblemError} 404 where nothing does, 503 where it is not loaded yet
 */
export function currentOf(follower: Follower, name: string): Current {
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

/**
 * The model that is asked where the path names none: the given one, else the only one.
 *
 * @throws {ProblemError} 409 where there are several, 503 where there is none yet
 */
export function defaultOf(follower: Follower, defaultModel: string | undefined): string {
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

/** What is awaited or has failed, in words; empty where nothing is. */
export function lackOf({ revision, bucketFailure, models }: FollowerStatus): string {
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

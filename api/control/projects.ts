import { posix } from 'node:path';
import { applyProject } from '../../activities/project/apply.ts';
import { parseModelSpec } from '../../activities/project/parse.ts';
import type { Stores } from '../../bucket/index.ts';
import { didYouMean, UserError, type Applied, type Issue, type ModelSpec } from '../../schemas/index.ts';
import { ProblemError } from '../problem.ts';

/** Largest project folder that an upload may carry. */
export const MAX_PROJECT_BYTES = 512 * 1024 * 1024;

/**
 * Applies the parts of a multipart form as a project folder.
 *
 * @throws {UserError} when model.yaml is missing or wrong, a file that it names did not come, or one came that it does not name
 */
export async function applyUpload(
  stores: Stores,
  form: FormData,
  o: { by: string; dryRun: boolean; now: Date },
): Promise<Applied> {
  const files = new Map<string, Uint8Array>();
  const issues: Issue[] = [];
  for (const [path, part] of form) {
    if (typeof part === 'string')
      issues.push({ at: path, found: 'a text field', expected: 'a file part, as curl -F sends with path=@file' });
    else if (!isInside(path))
      issues.push({ at: path, found: 'a path that leaves the folder', expected: 'a path inside it, such as rows.sql' });
    else files.set(path, new Uint8Array(await part.arrayBuffer()));
  }
  if (issues.length > 0) throw new UserError('ProjectInvalid', 'These parts are no files of a project folder.', issues);
  const yaml = files.get('model.yaml');
  if (!yaml)
    throw new UserError(
      'ProjectInvalid',
      `No part is named model.yaml${files.size > 0 ? `; there are ${[...files.keys()].join(', ')}` : ''}. Send model.yaml and every file that it names, each part named by its path.`,
    );
  const spec = parseModelSpec(new TextDecoder().decode(yaml), 'model.yaml');
  const named = namedFiles(spec);
  for (const path of named)
    if (!files.has(path))
      issues.push({
        at: path,
        found: 'nothing',
        expected: `the file: model.yaml names it.${didYouMean(path, [...files.keys()])}`,
      });
  for (const path of files.keys())
    if (!named.has(path))
      issues.push({
        at: path,
        found: 'a file that model.yaml does not name',
        expected: `only ${[...named].join(', ')}`,
      });
  if (issues.length > 0)
    throw new UserError('ProjectInvalid', `The files of ${spec.name} and its model.yaml do not agree.`, issues);
  return applyProject(stores, { spec, files }, o);
}

/** model.yaml and the files that it names, as it names them. */
const namedFiles = (spec: ModelSpec): Set<string> =>
  new Set([
    'model.yaml',
    spec.rows.sql,
    ...(spec.label.import ? [spec.label.import.sql] : []),
    ...Object.values(spec.sources).map(({ file }) => file),
  ]);

function isInside(path: string): boolean {
  const within = posix.normalize(path);
  return (
    !path.includes('\\') && !posix.isAbsolute(path) && within !== '.' && within !== '..' && !within.startsWith('../')
  );
}

export const tooLarge = (): never => {
  throw new ProblemError({
    status: 413,
    type: 'project-too-large',
    title: 'The project is too large',
    detail: `An upload may have ${MAX_PROJECT_BYTES / 1024 / 1024} MB.`,
    next: 'Compress the data (Parquet is compressed already), or keep less of it in the folder.',
  });
};

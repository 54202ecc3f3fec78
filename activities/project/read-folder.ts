import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { didYouMean, nearest, UserError, type Issue, type ModelSpec } from '../../schemas/index.ts';
import { formatOf } from '../../sql/format.ts';
import { parseModelSpec } from './parse.ts';

export interface ReadFolder {
  spec: ModelSpec;
  /** By path as model.yaml names it: model.yaml itself, its SQL, and the sources' data, which stays on disk. */
  files: Map<string, Uint8Array | { file: string }>;
}

const MODEL_FILE = 'model.yaml';

/**
 * Reads a model project: model.yaml, and every file that it names, all of which must lie inside the folder.
 *
 * @throws {UserError} when the folder, model.yaml or a file is not there, a path leads out of the folder (by `..`,
 *   from the root, or through a symbolic link), or model.yaml has mistakes
 */
export async function readProjectFolder(dir: string): Promise<ReadFolder> {
  const folder = resolve(dir);
  const called = basename(folder);
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder)
    throw problem('NoProjectFolder', `There is no folder ${dir}.`, {
      found: (await exists(folder)) ? 'a file' : 'nothing of that name',
      expected: `a folder with ${MODEL_FILE} in it`,
      next: 'name the folder of a model project, such as: npx gauntlet apply examples/hotel-cancellations',
    });
  const listed = await readdir(folder);
  if (!listed.includes(MODEL_FILE)) {
    const misnamed = nearest(MODEL_FILE, listed)[0];
    throw problem('NoModelFile', `The folder ${called} has no ${MODEL_FILE}.`, {
      found: listed.length === 0 ? 'an empty folder' : listed.slice(0, 10).join(', '),
      expected: `${MODEL_FILE}, which describes the model`,
      next: misnamed
        ? `rename ${misnamed} to ${MODEL_FILE}, and apply the project again`
        : `write ${called}/${MODEL_FILE}; examples/hotel-cancellations has one to begin from`,
    });
  }
  const root = await realpath(folder);
  const inside = async (path: string) => {
    const real = await realpath(join(root, path));
    return real.startsWith(root + sep) ? real : undefined;
  };
  const modelFile = await inside(MODEL_FILE);
  if (!modelFile)
    throw escape([{ at: MODEL_FILE, found: 'a link out of the folder', expected: 'a file in the folder' }], called);
  const model = await readFile(modelFile);
  const spec = parseModelSpec(model.toString('utf8'), MODEL_FILE);
  const named = [
    { at: 'rows.sql', path: spec.rows.sql, isSql: true },
    ...(spec.label.import ? [{ at: 'label.import.sql', path: spec.label.import.sql, isSql: true }] : []),
    ...Object.entries(spec.sources).map(([name, { file }]) => ({
      at: `sources.${name}.file`,
      path: file,
      isSql: false,
    })),
  ];
  const files: ReadFolder['files'] = new Map([[MODEL_FILE, new Uint8Array(model)]]);
  const outside: Issue[] = [];
  const missing: Issue[] = [];
  for (const { at, path, isSql } of named) {
    if (isAbsolute(path) || /^[a-z]:|\\/i.test(path) || leadsOut(path)) {
      outside.push({ at, found: path, expected: 'a path inside the folder, such as bookings.parquet' });
      continue;
    }
    if (!(await exists(join(root, path)))) {
      missing.push({ at, found: `no file ${path}`, expected: `a file in ${called}.${didYouMean(path, listed)}` });
      continue;
    }
    const real = await inside(path);
    if (!real)
      outside.push({
        at,
        found: `${path}, a link that leads out`,
        expected: 'a file inside the folder, not a link out of it',
      });
    else if (!(await stat(real)).isFile()) missing.push({ at, found: `${path} is not a file`, expected: 'a file' });
    else if (isSql) files.set(path, new Uint8Array(await readFile(real)));
    else files.set(path, { file: real });
  }
  if (outside.length > 0) throw escape(outside, called);
  if (missing.length > 0)
    throw problem(
      'MissingFile',
      `${MODEL_FILE} of ${called} names ${missing.length === 1 ? 'a file' : `${missing.length} files`} that ${missing.length === 1 ? 'is' : 'are'} not there.`,
      {
        found: inLines(missing, 'found'),
        expected: inLines(missing, 'expected'),
        next: `put the file there, or correct its name in ${MODEL_FILE}, and apply the project again`,
      },
      missing,
    );
  for (const [name, { file }] of Object.entries(spec.sources)) formatOf(name, file);
  return { spec, files };
}

function leadsOut(path: string): boolean {
  const within = relative('/project', resolve('/project', path));
  return within === '' || within.startsWith('..');
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function escape(issues: Issue[], called: string): UserError {
  return problem(
    'PathOutside',
    `${MODEL_FILE} of ${called} names ${issues.length === 1 ? 'a path' : 'paths'} outside its folder.`,
    {
      found: inLines(issues, 'found'),
      expected: inLines(issues, 'expected'),
      next: 'copy the file into the folder, since a project is applied as a whole; then apply it again',
    },
    issues,
  );
}

function inLines(issues: readonly Issue[], key: 'found' | 'expected'): string {
  return issues.map((issue) => `${issue.at}: ${issue[key]}`).join('\n            ');
}

function problem(
  type: string,
  what: string,
  { found, expected, next }: { found: string; expected: string; next: string },
  issues: Issue[] = [],
): UserError {
  return new UserError(type, `${what}\n  found:    ${found}\n  expected: ${expected}\n  next:     ${next}`, issues);
}

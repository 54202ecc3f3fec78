import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../schemas/problem.ts';

/** Folders in `parent` (or `parent` itself) that hold a model.yaml, by name. */
export async function projectFolders(parent: string): Promise<string[]> {
  if (existsSync(join(parent, 'model.yaml'))) return [parent];
  const names = await readdir(parent).catch(() => {
    throw new UserError('NoProjects', `There is no folder ${parent}. Name a project folder, or set GAUNTLET_MODELS.`);
  });
  const folders = names
    .sort()
    .map((name) => join(parent, name))
    .filter((folder) => existsSync(join(folder, 'model.yaml')));
  if (folders.length === 0)
    throw new UserError(
      'NoProjects',
      `No folder in ${parent} has a model.yaml. Name a project folder, or set GAUNTLET_MODELS.`,
    );
  return folders;
}

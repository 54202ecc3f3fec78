import type { Command } from 'commander';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl, modelsFolder, whoami } from '../environment.ts';
import { paint, say, sayJson } from '../output.ts';

export const applyCommand = (): Command =>
  command(
    'apply',
    'Apply model projects: store each folder as one object with a hash, and print what changes. Applying the same folder again does nothing.',
    'gauntlet apply examples/hotel-cancellations --dry-run\ngauntlet apply    # every project in GAUNTLET_MODELS, default examples/',
  )
    .argument('[folder...]', 'project folders, each with a model.yaml')
    .option('--dry-run', 'only print what would change')
    .action(async (folders: string[], o: CommonOptions & { dryRun?: boolean }) => {
      const [{ createClient }, { readProjectFolder }, { projectFolders }] = await Promise.all([
        import('../../api/client.ts'),
        import('../../activities/project/read-folder.ts'),
        import('../project-folders.ts'),
      ]);
      const client = createClient(apiUrl(o.api));
      const all = [];
      for (const folder of folders.length > 0 ? folders : await projectFolders(modelsFolder())) {
        const { files } = await readProjectFolder(folder);
        const applied = await client.apply(files, { dryRun: o.dryRun, by: whoami() });
        all.push(applied);
        if (o.json) continue;
        const { model, n, hash, changed, changes } = applied;
        const what = !changed ? 'unchanged' : o.dryRun ? 'would be applied' : 'applied';
        say(`${paint('bold', model)} project ${n} (${hash.slice(0, 12)}) ${what}`);
        for (const change of changes) say(`  ${change}`);
      }
      if (o.json) sayJson(all);
    });

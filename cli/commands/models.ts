import type { Command } from 'commander';
import type { ModelSummary } from '../../api/control/shapes.ts';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl } from '../environment.ts';
import { figure, paint, say, sayJson, sayTable, when } from '../output.ts';

export const modelsCommand = (): Command =>
  command('models', 'List the models, or show one with its versions.', 'gauntlet models hotel-cancellations')
    .argument('[model]')
    .action(async (model: string | undefined, o: CommonOptions) => {
      const { createClient } = await import('../../api/client.ts');
      const client = createClient(apiUrl(o.api));
      if (model === undefined) {
        const models = await client.models();
        return o.json ? sayJson(models) : sayModels(models);
      }
      const detail = await client.model(model);
      if (o.json) return sayJson(detail);
      say(`${paint('bold', detail.model)}  ${detail.description ?? ''}`);
      if (detail.serving)
        say(
          `revision ${detail.serving.n} by ${detail.serving.by}, ${when(detail.serving.committedAt)}: ${detail.serving.because}`,
        );
      else say('nothing serves yet');
      if (detail.versions.length === 0) return say(`No version yet. Train one with: gauntlet train ${model}`);
      say('');
      sayTable(
        ['VERSION', 'SERVES', 'ALGORITHM', 'METRIC', 'VALUE', 'AS OF', 'CREATED'],
        detail.versions.map((version) => [
          version.n,
          version.serves,
          version.algorithm,
          version.metric,
          figure(version.value),
          when(version.asOf),
          when(version.createdAt),
        ]),
      );
    });

export function sayModels(models: ModelSummary[]): void {
  if (models.length === 0) return say('No model yet. Apply one with: gauntlet apply <folder>');
  sayTable(
    ['MODEL', 'TASK', 'CHAMPION', 'NEWEST', 'REVISION', 'PROJECT', 'LAST RUN'],
    models.map(({ model, task, champion, newest, revision, project, lastRun }) => [
      model,
      task,
      champion,
      newest,
      revision,
      project?.n,
      lastRun && `${lastRun.outcome} ${when(lastRun.endedAt)}`,
    ]),
  );
}

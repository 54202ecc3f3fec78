import type { Command } from 'commander';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl, readText } from '../environment.ts';
import { say, sayJson } from '../output.ts';

interface FeedbackCommandOptions extends CommonOptions {
  label?: string;
  file?: string;
}

export const feedbackCommand = (): Command =>
  command(
    'feedback',
    'Say what turned out to be true: one label, or a file of them (one JSON object a line). A label is about one request, or about an entity at a time.',
    `gauntlet feedback hotel-cancellations --label '{"booking_id": "73715", "happenedAt": "2016-09-01", "value": true}'
gauntlet feedback hotel-cancellations --label '{"requestId": "01890a5d-ac96-774b-bcce-b302099a8057", "value": false}'
gauntlet feedback hotel-cancellations --file labels.ndjson --json`,
  )
    .argument('<model>')
    .option('--label <json>', 'one label as a JSON object')
    .option('--file <path>', 'labels, one JSON object a line; - is stdin')
    .action(async (model: string, o: FeedbackCommandOptions, self: Command) => {
      if ((o.label === undefined) === (o.file === undefined)) self.error('error: give one of --label and --file');
      const [{ createClient }, { sendLabels }] = await Promise.all([
        import('../../api/client.ts'),
        import('../labels.ts'),
      ]);
      const text = o.file === undefined ? o.label!.replace(/\s*\n\s*/g, ' ') : readText(o.file);
      const kept = await sendLabels(createClient(apiUrl(o.api)), model, text);
      if (o.json) return sayJson(kept);
      const { labels, corrections, withdrawn } = kept;
      const besides = [
        ...(corrections > 0 ? [`${corrections} in place of earlier ones`] : []),
        ...(withdrawn > 0 ? [`${withdrawn} taken back`] : []),
      ];
      say(`${labels} ${labels === 1 ? 'label' : 'labels'} kept${besides.length > 0 ? `, ${besides.join(', ')}` : ''}`);
    });

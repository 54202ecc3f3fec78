import type { Command } from 'commander';
import { command, type CommonOptions } from '../command.ts';
import { apiUrl, readText } from '../environment.ts';
import { sayJson, say } from '../output.ts';

interface PredictOptions extends CommonOptions {
  row?: string;
  file?: string;
  example?: boolean;
}

export const predictCommand = (): Command =>
  command(
    'predict',
    'Ask a model for predictions: one row, a file of rows (one JSON object a line), or an example kept in its version.',
    `gauntlet predict hotel-cancellations --example\ngauntlet predict hotel-cancellations --row '{"booking_id": "B-1", "lead_time": 30, ...}'\ngauntlet predict hotel-cancellations --file bookings.ndjson --json`,
  )
    .argument('<model>')
    .option('--row <json>', 'one row as a JSON object')
    .option('--file <path>', 'rows, one JSON object a line; - is stdin')
    .option('--example', 'a real row that the served version keeps')
    .action(async (model: string, o: PredictOptions, self: Command) => {
      if ([o.row, o.file, o.example].filter((given) => given !== undefined).length !== 1)
        self.error('error: give one of --row, --file and --example');
      const [{ createClient }, { exampleRow, parseRow, parseRows, predictRows }] = await Promise.all([
        import('../../api/client.ts'),
        import('../rows.ts'),
      ]);
      const client = createClient(apiUrl(o.api));
      if (o.file !== undefined) {
        const rows = parseRows(readText(o.file), o.file);
        const answers = await predictRows(client, model, rows);
        return o.json ? sayJson(answers) : say(answers.map((answer) => JSON.stringify(answer)).join('\n'));
      }
      const row = o.row === undefined ? await exampleRow(client, model) : parseRow(o.row, '--row');
      sayJson(await client.predict(model, row));
    });

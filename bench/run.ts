/** npm run bench -- <name>: a table for people, and as the last line one JSON object with the figures. */
import { readdirSync } from 'node:fs';

const NOT_BENCHES = ['run.ts'];
const names = readdirSync(new URL('.', import.meta.url))
  .filter((file) => file.endsWith('.ts') && !NOT_BENCHES.includes(file))
  .map((file) => file.slice(0, -3));
const name = process.argv[2];
if (name === undefined || !names.includes(name)) {
  process.stderr.write(`Which bench? npm run bench -- <name>, one of: ${names.join(', ')}\n`);
  process.exit(2);
}
const bench = (await import(`./${name}.ts`)) as { main(args: string[]): Promise<Record<string, unknown>> };
const figures = await bench.main(process.argv.slice(3));
process.stdout.write(`${JSON.stringify({ bench: name, ...figures })}\n`);

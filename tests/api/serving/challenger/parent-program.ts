/** A parent for a child to lose: says the child's process id once the model is loaded, and gives it a row on demand. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import pino from 'pino';
import { Challenger, type ChallengerModel } from '../../../../api/serving/challenger/index.ts';

const model = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as ChallengerModel;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const log = pino({}, process.stdout);
const challenger = new Challenger({ limitMb: 1024, log, hangMs: 600_000 });
challenger.want([model]);
const loading = setInterval(() => {
  if (!challenger.loaded(model.model, model.version.n)) return;
  clearInterval(loading);
  say('{"said":"loaded"}');
}, 5);

createInterface({ input: process.stdin }).on('line', (ms) => {
  const row = { rows: 1, columns: { x: Float64Array.of(1), ms: Float64Array.of(Number(ms)) } };
  challenger.shadow(model.model, model.version.n, row, Float64Array.of(0), () => undefined);
  // The row is in the pipe; the child has it when it next reads, and says nothing until it is done.
  say('{"said":"sent"}');
});

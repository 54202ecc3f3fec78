/** One of several processes that append to one serving log once they are told to; says which entries it wrote. */
import { once } from 'node:events';
import { DirectoryBucket } from '../../../bucket/directory.ts';
import { ServingLog } from '../../../bucket/serving-log.ts';

const [folder, name, count] = process.argv.slice(2);
const log = new ServingLog(await DirectoryBucket.open(folder!));
// All begin at once: on a quick machine the first would be done before the last has started.
process.stdout.write('ready\n');
await once(process.stdin, 'data');
process.stdin.destroy();
const written: number[] = [];
let moved = 0;
for (let i = 0; i < Number(count);) {
  const model = `model-${i % 3}`;
  const was = (await log.current(model))?.n ?? 0;
  const cause = { workflowId: name!, runId: 'run', step: `step-${i}` };
  const appended = await log.append({
    model,
    was,
    serving: { champion: i + 1, shadows: [] },
    by: name!,
    because: 'test',
    cause,
  });
  if (appended.ok) {
    written.push(appended.n);
    i++;
  } else moved++;
}
process.stdout.write(`${JSON.stringify({ written, moved })}\n`);

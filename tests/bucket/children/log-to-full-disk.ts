/** Appends to a prediction log whose home has no room, with a bucket that has, and says what came of it. */
import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { DirectoryBucket } from '../../../bucket/directory.ts';
import { openPredictionLog } from '../../../bucket/prediction-log/prediction-log.ts';
import { UserError } from '../../../schemas/problem.ts';
import { answer, label, shadow } from '../prediction-log/records.ts';

/** `filled`: the home is a small disk, which is filled here, and freed afterwards. */
const [folder, home, filled] = process.argv.slice(2);
const filler = join(home!, 'filler');
const fill = async (bytes: number): Promise<void> => {
  try {
    for (;;) await appendFile(filler, Buffer.alloc(bytes, 1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
};
const said: unknown[] = [];
const log = await openPredictionLog({
  bucket: await DirectoryBucket.open(folder!),
  home: home!,
  log: pino({ base: undefined }, { write: (line: string) => void said.push(JSON.parse(line)) }),
  limits: { segmentMs: 100, diskRetryMs: 50 },
});
if (filled) for (const bytes of [65_536, 4_096, 1]) await fill(bytes);

const refusals: string[] = [];
for (let round = 0; round < 10; round++) {
  for (let i = 0; i < 200; i++) {
    log.append(answer(`${round}-${i}`, `${i} `.repeat(300)));
    log.append(shadow(`${round}-${i}`));
  }
  log.append(label(round));
  await log.written().catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    refusals.push(error.message);
  });
}
const { failing } = log.lag();
while (log.lag().rows > 0) await sleep(10);
if (filled) {
  await rm(filler);
  while (log.lag().failing !== undefined) await sleep(10);
}
// A label is small.
log.append(label('last'));
log.append(answer('last'));
await log.written();
await log.close();
process.stdout.write(JSON.stringify({ refusals, failing, shed: log.lag().shed, said }));

/**
 * Appends answers to a prediction log at a steady rate, until it is killed or its input ends, when it closes the log. Notes
 * which it appended and when in a journal, which the kernel keeps when it is killed.
 */
import { openSync, writeSync } from 'node:fs';
import { DirectoryBucket } from '../../../bucket/directory.ts';
import { openPredictionLog } from '../../../bucket/prediction-log/prediction-log.ts';
import { answer } from '../prediction-log/records.ts';

const [folder, home, name, perSecond, segmentMs] = process.argv.slice(2);
const journal = openSync(`${home}-${name}.journal`, 'a');
const bucket = await DirectoryBucket.open(folder!);
const log = await openPredictionLog({ bucket, home: home!, limits: { segmentMs: Number(segmentMs) } });
const beganMs = performance.now();
let n = 0;
const timer = setInterval(() => {
  const due = ((performance.now() - beganMs) / 1000) * Number(perSecond);
  let noted = '';
  for (; n < due; n++) {
    const id = `${name}-${n}`;
    noted += `r-${id} ${Date.now()}\n`;
    log.append(answer(id, 'what a client sent '.repeat(20)));
  }
  writeSync(journal, noted);
}, 1);
process.stdout.write(`${log.boot}\n`);
process.stdin.resume().once('end', () => {
  clearInterval(timer);
  void log.close();
});

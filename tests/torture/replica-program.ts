/** An API replica without Temporal, as workers/start.ts has it; argv is its bucket, its home, its port and how long segments stay. */
import pino from 'pino';
import { listen } from '../../api/listen.ts';
import { createServing } from '../../api/serving.ts';
import { openPredictionLog, openStores } from '../../bucket/index.ts';

const [bucket, home, port, segmentMs] = process.argv.slice(2) as [string, string, string, string?];

const stores = await openStores({ bucket, home });
const log = pino({ level: 'warn' }, pino.destination({ dest: `${home}/replica.log`, sync: true }));
const predictionLog = await openPredictionLog({
  bucket: stores.bucket,
  home,
  log,
  ...(segmentMs && { limits: { segmentMs: Number(segmentMs) } }),
});
const serving = createServing({ stores, predictionLog, log, challengerMb: 400 });
await serving.start();
const listening = await listen(
  { fetch: (request) => serving.app.fetch(request), direct: serving.direct },
  { host: '127.0.0.1', port: Number(port), log },
);

process.once('SIGTERM', () => {
  void (async () => {
    await listening.close();
    await serving.stop();
    await predictionLog.close();
    process.exit(0);
  })();
});
process.on('disconnect', () => process.exit(1)); // nobody is left whom it could serve

/** An API replica without Temporal, as workers/start.ts has it: argv is its bucket, its home and its port. */
import { createServer } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import pino from 'pino';
import { Closing } from '../../api/closing.ts';
import { createServing } from '../../api/serving.ts';
import { openPredictionLog, openStores } from '../../bucket/index.ts';

const [bucket, home, port] = process.argv.slice(2) as [string, string, string];

const stores = await openStores({ bucket, home });
const log = pino({ level: 'warn' }, pino.destination({ dest: `${home}/replica.log`, sync: true }));
const predictionLog = await openPredictionLog({ bucket: stores.bucket, home, log });
const serving = createServing({ stores, predictionLog, log, challengerMb: 400 });
const closing = new Closing();
const listener = getRequestListener((request) => serving.app.fetch(request));
const server = createServer(closing.around((request, response) => void listener(request, response)));
await serving.start();
await new Promise<void>((done) => server.listen(Number(port), '127.0.0.1', done));

process.once('SIGTERM', () => {
  void (async () => {
    await closing.close(server);
    await serving.stop();
    await predictionLog.close();
    process.exit(0);
  })();
});
process.on('disconnect', () => process.exit(1)); // nobody is left whom it could serve

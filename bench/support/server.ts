/** A server under load: `echo`, or `ours` on a bucket. Told by its parent to profile; ends with it. */
import { Session } from 'node:inspector/promises';
import { Hono } from 'hono';
import pino from 'pino';
import { dispatch, type App } from '../../api/dispatch.ts';
import { listen } from '../../api/listen.ts';
import { createServing } from '../../api/serving.ts';
import { openPredictionLog, openStores } from '../../bucket/index.ts';

const [kind, bucket, home] = process.argv.slice(2) as ['echo' | 'ours', string, string];

async function ours(): Promise<App> {
  const stores = await openStores({ bucket, home });
  const predictionLog = await openPredictionLog({ bucket: stores.bucket, home, log });
  const serving = createServing({ stores, predictionLog, log });
  await serving.start();
  process.on('SIGTERM', () => {
    void (async () => {
      await serving.stop();
      await predictionLog.close();
      process.exit(0);
    })();
  });
  const loaded = setInterval(() => {
    if (!serving.ready().ready || !serving.status().challengers.every((one) => one.loaded)) return;
    clearInterval(loaded);
    process.send!({ ready: true });
  }, 20);
  return dispatch(serving, new Hono());
}

function echo(): App {
  const app = new Hono();
  app.post('/predict', async (c) => c.json(await c.req.json<object>()));
  process.send!({ ready: true });
  return { fetch: (request, env) => app.fetch(request, env) };
}

const log = pino(
  { level: 'info' },
  pino.destination({ dest: kind === 'ours' ? `${home}/bench.log` : '/dev/null', sync: false }),
);
const app = kind === 'echo' ? echo() : await ours();
const { port } = await listen(app, { host: '127.0.0.1', port: 0, log });
process.send!({ port });

process.on('disconnect', () => process.exit(0));
process.on('message', (message: { profileMs: number } | { cpu: true }) => {
  if ('profileMs' in message) void profile(message.profileMs);
  else process.send!({ cpu: process.cpuUsage() });
});

/** Time of each function itself, in percent of the time that was not idle, largest first. */
async function profile(ms: number): Promise<void> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.start');
  await new Promise((done) => setTimeout(done, ms));
  const { profile: found } = await session.post('Profiler.stop');
  session.disconnect();
  const own = new Map<string, number>();
  let busy = 0;
  for (const { callFrame, hitCount = 0 } of found.nodes) {
    if (callFrame.functionName === '(idle)') continue;
    busy += hitCount;
    const file = callFrame.url.split('/').slice(-2).join('/');
    const name = `${callFrame.functionName || '(anonymous)'}${file ? ` ${file}:${callFrame.lineNumber + 1}` : ''}`;
    own.set(name, (own.get(name) ?? 0) + hitCount);
  }
  const top = [...own].sort((a, b) => b[1] - a[1]).map(([name, hits]) => [name, (100 * hits) / busy]);
  process.send!({ profile: top.slice(0, 25) });
}

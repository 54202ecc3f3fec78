/** The serving app on a port of its own, which says how much memory it has when asked. Run with --expose-gc; ends with its parent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { bookings, register, serve, temporaryStores } from './fixture.ts';
import { serveOverHttp } from './over-http.ts';

const temporary = await temporaryStores();
const terms = { unitPii: false, entityPii: false, allowEventTime: true };
await register(temporary.stores, 'bookings', bookings, { serving: terms });
await serve(temporary.stores, 'bookings', { champion: 1 });
const http = await serveOverHttp(temporary.stores);

async function residentBytes(): Promise<number> {
  await http.serving.predictionLog.flush();
  // What a test keeps of the log lines is not the server's.
  http.lines.length = http.serving.lines.length = 0;
  for (let i = 0; i < 5; i++) {
    globalThis.gc!();
    await sleep(50);
  }
  return process.memoryUsage.rss();
}

process.on('message', (what: 'measure' | 'stop') => {
  if (what === 'measure') void residentBytes().then((bytes) => process.send!({ residentBytes: bytes }));
  else void stop();
});
process.on('disconnect', () => void stop());

async function stop(): Promise<void> {
  await http.stop();
  await temporary.remove();
  process.exit(0);
}

process.send!({ port: http.port });

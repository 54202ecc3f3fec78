import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Problem } from '../../../schemas/index.ts';
import { constant, register, serve, startServing, temporaryStores, until } from './fixture.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let serving: Awaited<ReturnType<typeof startServing>>;
let server: ReturnType<typeof createAdaptorServer>;
let port: number;

beforeAll(async () => {
  temporary = await temporaryStores();
  await register(temporary.stores, 'prices', constant(1));
  await serve(temporary.stores, 'prices', { champion: 1 });
  serving = await startServing(temporary.stores);
  server = createAdaptorServer({ fetch: serving.app.fetch });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  server.close();
  if ('closeAllConnections' in server) server.closeAllConnections();
  await serving.stop();
  await temporary.remove();
});

const send = (body: string | ReadableStream, more: object = {}) =>
  fetch(`http://127.0.0.1:${port}/predict`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
    ...more,
  });

it('over a real connection a row is answered', async () => {
  expect(await (await send('{"x": 1}')).json()).toMatchObject({ prediction: 1 });
});

it('a body above the limit is a 413 over a real connection, told beforehand or not, and the next request is answered', async () => {
  const big = JSON.stringify({ x: 'x'.repeat(3_000_000) });
  for (const more of [{}, { duplex: 'half' }]) {
    const response = await send('duplex' in more ? new Blob([big]).stream() : big, more);
    expect(Problem.parse(await response.json()).status).toBe(413);
    expect((await send('{"x": 1}')).status).toBe(200);
  }
});

it('a client that leaves in the middle of its body is refused, not logged as a fault of ours', async () => {
  const socket = connect(port, '127.0.0.1');
  socket.write(
    'POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-request-id: gone\r\ncontent-length: 100\r\n\r\n{"x":',
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  await until(() => serving.lines.some(({ requestId }) => requestId === 'gone'));
  expect(serving.lines.filter(({ requestId }) => requestId === 'gone')).toMatchObject([{ level: 30, status: 400 }]);
  expect((await send('{"x": 1}')).status).toBe(200);
});

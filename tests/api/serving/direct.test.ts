import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { Hono } from 'hono';
import pino from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dispatch } from '../../../api/dispatch.ts';
import { listen, type Listening } from '../../../api/listen.ts';
import { problemNotFound } from '../../../api/problem.ts';
import { bookings, register, serve, startServing, temporaryStores, until } from './fixture.ts';
import { exchange, RawConnection, requestText } from './over-http.ts';

const NOW = Date.UTC(2017, 5, 1);
const valid = JSON.stringify(bookings.warmUpRows[0]);

let remove: () => Promise<void>;
let serving: Awaited<ReturnType<typeof startServing>>;
const servers: Record<'direct' | 'byHono', Listening> = {} as never;
/** Requests that went past Hono. */
let taken = 0;

beforeAll(async () => {
  const { stores, ...temporary } = await temporaryStores();
  remove = temporary.remove;
  await register(stores, 'bookings', bookings);
  await serve(stores, 'bookings', { champion: 1 });
  serving = await startServing(stores, { now: () => NOW, maxBodyBytes: 2_000 });
  const app = dispatch(serving, new Hono().notFound(problemNotFound));
  const o = { host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) };
  servers.byHono = await listen({ fetch: app.fetch }, o);
  servers.direct = await listen(
    {
      fetch: app.fetch,
      direct(request, response) {
        const takes = app.direct!(request, response);
        if (takes) taken++;
        return takes;
      },
    },
    o,
  );
});

afterAll(async () => {
  for (const server of Object.values(servers)) await server.close();
  await serving.stop();
  await remove();
});

/** Status, headers and body; ids that are not the client's differ by design, as does the date. */
async function said(server: Listening, sent: string): Promise<{ head: string[]; body: string }> {
  const received = (await exchange(server.port, Buffer.from(sent))).toString();
  const text = received.replaceAll(/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g, 'an id of ours');
  const [head, body] = text.split('\r\n\r\n') as [string, string];
  const lines = head.split('\r\n').map((line) => line.replace(/^[\w-]+(?=:)/, (name) => name.toLowerCase()));
  return { head: lines.filter((line) => !line.startsWith('date:')).sort(), body };
}

const asked = (path: string, body: string, headers: Record<string, string> = {}) =>
  requestText(path, body, { connection: 'close', 'x-request-id': 'r-1', ...headers });

it.each<[what: string, direct: boolean, sent: string]>([
  ['a row', true, asked('/predict', valid)],
  ['a row, its model named', true, asked('/v1/models/bookings/predict', valid)],
  ['rows', true, asked('/predict', JSON.stringify({ rows: [bookings.warmUpRows[0], bookings.warmUpRows[0]] }))],
  [
    'letters beyond ASCII',
    true,
    asked('/predict', JSON.stringify({ ...bookings.warmUpRows[0], booking_id: 'Zürich €' })),
  ],
  ['a deadline', true, asked('/predict', valid, { 'x-gauntlet-deadline-ms': '5000' })],
  ['a deadline that is none', true, asked('/predict', valid, { 'x-gauntlet-deadline-ms': 'soon' })],
  ['what is no JSON', true, asked('/predict', '{"lead_time": }')],
  ['nothing', true, asked('/predict', '')],
  ['another type', false, asked('/predict', valid, { 'content-type': 'text/plain' })],
  ['a type with its charset', true, asked('/predict', valid, { 'content-type': 'application/json; charset=UTF-8' })],
  ['a field that is not known', true, asked('/predict', '{"colour": 1}')],
  ['a model that is not there', true, asked('/v1/models/weather/predict', valid)],
  ['a name that needs decoding', false, asked('/v1/models/book%69ngs/predict', valid)],
  ['a name that is a step in a path', false, asked('/v1/models/../predict', valid)],
  [
    'a type with another charset',
    false,
    asked('/predict', valid, { 'content-type': 'application/json;charset=latin1' }),
  ],
  ['a packed body', false, asked('/predict', valid, { 'content-encoding': 'gzip' })],
  ['two types', true, asked('/predict', valid).replace('\r\n\r\n', '\r\ncontent-type: text/plain\r\n\r\n')],
  ['another host', true, asked('/predict', valid, { host: 'gauntlet.example.com:3000' })],
  ['a host that is none', false, asked('/predict', valid, { host: 'a b' })],
  ['a port that is none', false, asked('/predict', valid, { host: 'localhost:70000' })],
  [
    'HTTP/1.0 without a host',
    false,
    asked('/predict', valid).replace('HTTP/1.1', 'HTTP/1.0').replace('host: x\r\n', ''),
  ],
  ['a query', false, asked('/predict?pretty', valid)],
  ['too much', false, asked('/predict', valid + ' '.repeat(2_000))],
  ['another method', false, asked('/predict', valid).replace('POST', 'PUT')],
])('the same answer straight from the server as through Hono: %s', async (_, direct, sent) => {
  const before = taken;
  const answer = await said(servers.direct, sent);
  expect(taken - before).toBe(direct ? 1 : 0);
  expect(answer).toEqual(await said(servers.byHono, sent));
});

it('a body may come in any pieces', async () => {
  const sent = Buffer.from(asked('/predict', valid));
  const whole = await said(servers.direct, sent.toString());
  for (const bytes of [1, 7, 100]) {
    const connection = new RawConnection(servers.direct.port);
    for (let at = 0; at < sent.length; at += bytes) {
      connection.send(sent.subarray(at, at + bytes));
      if (at % 70 === 0) await turn();
    }
    await connection.closed;
    expect(connection.received.split('\r\n\r\n')[1]).toBe(whole.body);
  }
});

it('who is refused before the body was read is told so once, and does not hold the connection', async () => {
  for (const server of Object.values(servers)) {
    const connection = new RawConnection(server.port);
    connection.send(asked('/predict', valid, { 'content-type': 'text/plain', connection: 'keep-alive' }).slice(0, -5));
    await connection.closed;
    expect(connection.statuses).toEqual([415]);
  }
});

it('whoever leaves in the middle of a body is a refused request, and costs nobody an answer', async () => {
  for (const server of Object.values(servers)) {
    const refused = () => serving.lines.filter(({ msg, status }) => msg === 'request refused' && status === 400).length;
    const before = refused();
    const connection = new RawConnection(server.port);
    connection.send(asked('/predict', valid).slice(0, -5));
    await sleep(20);
    connection.socket.destroy();
    await until(() => refused() === before + 1);
    expect((await said(server, asked('/predict', valid))).body).toContain('"probability"');
  }
});

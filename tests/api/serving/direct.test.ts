import { Hono } from 'hono';
import pino from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dispatch } from '../../../api/dispatch.ts';
import { listen, type Listening } from '../../../api/listen.ts';
import { problemNotFound } from '../../../api/problem.ts';
import { bookings, register, serve, startServing, temporaryStores } from './fixture.ts';
import { exchange, requestText } from './over-http.ts';

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

/** Status, headers and body; times of the clock and of the request are the same by design. */
async function said(server: Listening, sent: string): Promise<{ head: string[]; body: string }> {
  const [head, body] = (await exchange(server.port, Buffer.from(sent))).toString().split('\r\n\r\n') as [
    string,
    string,
  ];
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
  ['another type', true, asked('/predict', valid, { 'content-type': 'text/plain' })],
  ['a type with its charset', true, asked('/predict', valid, { 'content-type': 'application/json; charset=UTF-8' })],
  ['a field that is not known', true, asked('/predict', '{"colour": 1}')],
  ['a model that is not there', true, asked('/v1/models/weather/predict', valid)],
  ['a name that needs decoding', false, asked('/v1/models/book%69ngs/predict', valid)],
  ['a query', false, asked('/predict?pretty', valid)],
  ['too much', false, asked('/predict', valid + ' '.repeat(2_000))],
  ['another method', false, asked('/predict', valid).replace('POST', 'PUT')],
])('the same answer straight from the server as through Hono: %s', async (_, direct, sent) => {
  const before = taken;
  const answer = await said(servers.direct, sent);
  expect(taken - before).toBe(direct ? 1 : 0);
  expect(answer).toEqual(await said(servers.byHono, sent));
  expect(answer.head).toContain('x-request-id: r-1');
});

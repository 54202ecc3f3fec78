import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bookings } from './fixture.ts';
import { bytesOf, feedbackRequest, predictRequest, strayRequest, type OddRequest } from './fuzz-requests.ts';
import { exchange } from './over-http.ts';

const MOST_GROWTH = 1.3;
const [FIRST, ALL, TOGETHER, SEED] = [500, 5_000, 8, 11];

let child: ChildProcess;
let port: number;

beforeAll(async () => {
  const program = fileURLToPath(new URL('fuzz-memory-program.ts', import.meta.url));
  child = fork(program, { execArgv: ['--expose-gc', '--import', 'tsx'] });
  port = (await heard<{ port: number }>()).port;
});
afterAll(async () => {
  const ended = once(child, 'exit');
  child.send('stop');
  await ended;
});

async function heard<T>(): Promise<T> {
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('the server ended')));
  const [said] = (await Promise.race([once(child, 'message'), ended])) as [T];
  return said;
}

async function residentMb(): Promise<number> {
  child.send('measure');
  return Math.round((await heard<{ residentBytes: number }>()).residentBytes / 2 ** 20);
}

/** What clients send on a usual day: rows, batches, labels one by one and in lines, probes. */
const usual = (): fc.Arbitrary<OddRequest> => {
  const row = fc.record({ lead_time: fc.nat(800), adr: fc.double({ min: 0, max: 500, noNaN: true }) }).map((some) => ({
    ...bookings.warmUpRows[0],
    ...some,
  }));
  const label = fc.record({ requestId: fc.uuid(), value: fc.boolean() });
  const post = (path: string, text: fc.Arbitrary<string>, type = 'application/json') =>
    text.map((body): OddRequest => ({
      method: 'POST',
      path,
      headers: [['content-type', type]],
      body: new TextEncoder().encode(body),
      chunked: false,
    }));
  const get = fc
    .constantFrom('/ready', '/health', '/metrics', '/openapi.json')
    .map((path): OddRequest => ({ method: 'GET', path, headers: [], body: new Uint8Array(), chunked: false }));
  const feedback = '/v1/models/bookings/feedback';
  return fc.oneof(
    {
      weight: 12,
      arbitrary: post(
        '/predict',
        row.map((one) => JSON.stringify(one)),
      ),
    },
    {
      weight: 2,
      arbitrary: post(
        '/predict',
        fc.array(row, { minLength: 1, maxLength: 50 }).map((rows) => JSON.stringify({ rows })),
      ),
    },
    {
      weight: 2,
      arbitrary: post(
        feedback,
        label.map((one) => JSON.stringify(one)),
      ),
    },
    {
      weight: 1,
      arbitrary: post(
        feedback,
        fc.array(label, { minLength: 1 }).map((all) => all.map((one) => JSON.stringify(one)).join('\n')),
        'application/x-ndjson',
      ),
    },
    { weight: 1, arbitrary: get },
  );
};

/** Half of it is as it should be, half is not. */
const requests = fc.sample(fc.oneof({ weight: 4, arbitrary: usual() }, predictRequest, feedbackRequest, strayRequest), {
  numRuns: ALL,
  seed: SEED,
});

async function send(request: OddRequest): Promise<number> {
  const received = await exchange(port, bytesOf(request));
  return Number(/HTTP\/1\.1 (?!100)(\d{3}) /.exec(received.toString('latin1'))?.[1]);
}

it(
  'takes no more memory after 5,000 requests, half of them odd, than 1.3 times what it takes after 500',
  async () => {
    const statuses = new Map<number, number>();
    let next = 0;
    const upTo = async (end: number): Promise<void> => {
      const lane = async (): Promise<void> => {
        while (next < end) {
          const status = await send(requests[next++]!);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
      };
      await Promise.all(Array.from({ length: TOGETHER }, lane));
    };
    await upTo(FIRST);
    const first = await residentMb();
    await upTo(ALL);
    const all = await residentMb();
    console.info(`RSS after ${FIRST} requests ${first} MB, after ${ALL} ${all} MB: ${(all / first).toFixed(2)} times`);
    console.info(Object.fromEntries([...statuses].sort(([a], [b]) => a - b)));
    expect(statuses.get(200)).toBeGreaterThan(ALL / 4);
    expect(all).toBeLessThanOrEqual(MOST_GROWTH * first);
  },
  10 * 60_000,
);

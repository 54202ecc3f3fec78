import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Problem } from '../../../schemas/index.ts';
import { createLogViews, openDatabase } from '../../../sql/index.ts';
import { bookings, register, serve, temporaryStores } from './fixture.ts';
import {
  bytesOf,
  feedbackRequest,
  mangledBytes,
  predictRequest,
  strayRequest,
  type OddRequest,
} from './fuzz-requests.ts';
import { recordsOf } from './log-records.ts';
import { exchange, serveOverHttp, type OverHttp } from './over-http.ts';

/** Requests in the air at once. */
const TOGETHER = 8;
const RUNS = 150;
const SEED = 11;

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let http: OverHttp;
let rowsAnswered = 0;
let labelsKept = 0;

beforeAll(async () => {
  temporary = await temporaryStores();
  const terms = { unitPii: false, entityPii: false, allowEventTime: true };
  await register(temporary.stores, 'bookings', bookings, { serving: terms });
  await serve(temporary.stores, 'bookings', { champion: 1 });
  http = await serveOverHttp(temporary.stores);
});
afterAll(async () => {
  await http.stop();
  await temporary.remove();
});

interface Response {
  status: number;
  body: string;
}

/** Each response in what came. */
function responsesOf(received: Buffer, hasBody = true): Response[] {
  const responses: Response[] = [];
  for (let rest = received; rest.length > 0;) {
    const end = rest.indexOf('\r\n\r\n');
    const head = rest.subarray(0, end).toString('latin1');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
    if (end === -1 || Number.isNaN(status))
      throw new Error(`no HTTP response: ${rest.toString('latin1').slice(0, 200)}`);
    rest = rest.subarray(end + 4);
    if (status === 100) continue;
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
    const body = hasBody ? rest.subarray(0, length).toString('utf8') : '';
    responses.push({ status, body });
    // An empty body without a length is one last chunk.
    const taken = /^transfer-encoding: chunked$/im.test(head) ? '0\r\n\r\n'.length : length;
    rest = hasBody ? rest.subarray(taken) : Buffer.alloc(0);
  }
  return responses;
}

/** 2xx, the redirect from / to the docs, or a 4xx that says what is wrong. */
function check({ status, body }: Response, hasBody = true): void {
  expect([status >= 200 && status < 500, status], body).toEqual([true, status]);
  if (status < 400 || !hasBody) return;
  const problem = Problem.parse(JSON.parse(body));
  expect([problem.status, (problem.detail ?? '').length > 10], body).toEqual([status, true]);
}

function count({ status, body }: Response): void {
  if (status >= 300 || !body.startsWith('{')) return;
  const said = JSON.parse(body) as { labels?: number; predictions?: unknown[]; requestId?: string };
  if (said.labels !== undefined) labelsKept += said.labels;
  else if (said.requestId !== undefined) rowsAnswered += said.predictions?.length ?? 1;
}

async function logged(): Promise<{ answers: number; labels: number }> {
  await http.serving.predictionLog.flush();
  const records = await recordsOf(temporary.stores.bucket);
  const [answers = 0, labels = 0] = ['answer', 'label'].map(
    (kind) => records.filter((one) => one.kind === kind).length,
  );
  return { answers, labels };
}

async function askAll(requests: OddRequest[], statuses: Map<number, number>): Promise<void> {
  const received = await Promise.all(requests.map((request) => exchange(http.port, bytesOf(request))));
  received.forEach((bytes, i) => {
    const { method, path } = requests[i]!;
    const hasBody = method !== 'HEAD';
    const responses = responsesOf(bytes, hasBody);
    expect(responses.length, `${method} ${path.slice(0, 200)}`).toBe(1);
    check(responses[0]!, hasBody);
    count(responses[0]!);
    statuses.set(responses[0]!.status, (statuses.get(responses[0]!.status) ?? 0) + 1);
  });
}

async function fuzz(request: fc.Arbitrary<OddRequest>, most: number[]): Promise<void> {
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: TOGETHER, maxLength: TOGETHER, size: 'max' }), (requests) =>
      askAll(requests, statuses),
    ),
    { numRuns: RUNS, seed: SEED },
  );
  console.info(Object.fromEntries([...statuses].sort(([a], [b]) => a - b)));
  for (const status of most) expect(statuses.get(status), String(status)).toBeGreaterThan(10);
}

describe('thousands of odd requests over real connections: each is a 2xx, or a 4xx that says what is wrong', () => {
  it('to predict', () => fuzz(predictRequest, [200, 400, 413, 415, 422]), 10 * 60_000);

  it('to feedback, single and in lines', () => fuzz(feedbackRequest, [202, 400, 415, 422]), 10 * 60_000);

  it('by any method, to any path', () => fuzz(strayRequest, [200, 404, 405]), 10 * 60_000);

  it('of which each row answered and each label taken is one record of the log, and nothing else is', async () => {
    expect(rowsAnswered).toBeGreaterThan(50);
    expect(await logged()).toEqual({ answers: rowsAnswered, labels: labelsKept });
  });

  it(
    'with bytes that are no HTTP, or that end too early',
    async () => {
      const counts = { answered: 0, silent: 0 };
      await fc.assert(
        fc.asyncProperty(
          fc.array(mangledBytes, { minLength: TOGETHER, maxLength: TOGETHER, size: 'max' }),
          async (all) => {
            for (const received of await Promise.all(all.map((sent) => exchange(http.port, sent, { end: true })))) {
              const responses = responsesOf(received);
              if (responses.length === 0) counts.silent++;
              else counts.answered++;
              for (const response of responses) {
                check(response);
                count(response);
              }
            }
          },
        ),
        { numRuns: RUNS, seed: SEED },
      );
      console.info(counts);
      expect(counts.answered).toBeGreaterThan(3 * counts.silent);
    },
    10 * 60_000,
  );

  it('leave a server that answers as before, no fault in its own log, and a prediction log of which DuckDB reads every record', async () => {
    const body = new TextEncoder().encode(JSON.stringify(bookings.warmUpRows[0]));
    const headers: OddRequest['headers'] = [['content-type', 'application/json']];
    const valid = bytesOf({ method: 'POST', path: '/predict', headers, body, chunked: false });
    const [answer] = responsesOf(await exchange(http.port, valid));
    count(answer!);
    expect(JSON.parse(answer!.body)).toMatchObject({ prediction: true, probability: expect.closeTo(0.8808, 4) });
    const faults = [...http.serving.lines, ...http.lines].filter(({ level }) => Number(level) > 30);
    expect(faults).toEqual([]);

    // A client that left before its answer was answered all the same.
    const { answers, labels } = await logged();
    expect([answers >= rowsAnswered, labels >= labelsKept]).toEqual([true, true]);
    const folder = join(temporary.folder, 'bucket', 'log', 'raw');
    const raw = (await readdir(folder, { recursive: true }))
      .filter((name) => name.endsWith('.gz'))
      .map((name) => join(folder, name));
    const db = await openDatabase({ files: raw });
    const read = await createLogViews(db, 'bookings', { raw, parquet: [] });
    db.close();
    expect(read).toMatchObject({ broken: 0, unknown: 0 });
    expect(read.answers + read.labels + read.duplicates).toBe(answers + labels);
  });
});

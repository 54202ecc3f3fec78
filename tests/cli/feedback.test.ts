import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { problemOnError } from '../../api/problem.ts';
import { feedbackRoutes } from '../../api/serving/feedback.ts';
import { run } from '../../cli/run.ts';
import { ModelVersion, type NewLogRecord } from '../../schemas/index.ts';
import { silent } from '../api/control/records.ts';

const HASH = '0'.repeat(64);
const version = ModelVersion.parse({
  model: 'bookings',
  n: 1,
  task: 'binary',
  run: 'r',
  project: { n: 1, hash: HASH },
  rowsHash: HASH,
  asOf: '2017-01-01T00:00:00.000Z',
  labelsSeenUntil: '2017-01-01T00:00:00.000Z',
  onnx: { sha256: HASH, bytes: 1 },
  algorithm: 'linear',
  entity: 'booking_id',
  inputs: {},
  usesPredictedAt: false,
  strataEdgesDays: [],
  referenceHistograms: {},
  lossSd: 1,
  warmUpRows: [{}],
  primaryMetric: 'logLoss',
  metrics: [],
  cause: { workflowId: 'w', runId: 'r', step: 's' },
  createdAt: '2017-01-01T00:00:00.000Z',
});

let kept: NewLogRecord[] = [];
let server: Server;
let folder: string;
let api: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gauntlet-feedback-'));
  const log = { append: (record: NewLogRecord) => (kept.push(record), 'kept' as const), written: async () => {} };
  const app = new Hono().route(
    '/',
    feedbackRoutes({ log, terms: (model) => (model === 'bookings' ? { version } : undefined), now: Date.now }),
  );
  app.onError(problemOnError(silent));
  const answer = getRequestListener(app.fetch);
  server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => void (kept = []));
afterAll(() => {
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function feedback(...args: string[]) {
  let [out, err] = ['', ''];
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += text), true));
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += text), true));
  try {
    return { code: await run(['feedback', ...args, '--api', api]), out, err };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
    process.exitCode = undefined;
  }
}

const file = (name: string, labels: unknown[]): string => {
  const path = join(folder, name);
  writeFileSync(path, labels.map((label) => JSON.stringify(label)).join('\n'));
  return path;
};

it('keeps one label, over several lines or in one', async () => {
  expect(await feedback('bookings', '--label', '{"requestId": "r",\n "value": true}')).toMatchObject({
    code: 0,
    out: '1 label kept\n',
  });
  expect(kept).toMatchObject([{ kind: 'label', requestId: 'r', value: true }]);
});

it('keeps a file of any length, and answers with every id as JSON', async () => {
  const labels = Array.from({ length: 12_000 }, (_, i) => ({ requestId: `r-${i}`, value: true, labelId: `l-${i}` }));
  const { code, out } = await feedback('bookings', '--file', file('many.ndjson', labels), '--json');
  const answer = JSON.parse(out) as { labels: number; labelIds: string[] };
  expect([code, answer.labels, answer.labelIds.at(-1)]).toEqual([0, 12_000, 'l-11999']);
  expect(kept).toHaveLength(12_000);
});

it('says how many correct or take back an earlier one', async () => {
  const path = file('corrections.ndjson', [
    { requestId: 'r', value: true, supersedes: 'a' },
    { withdrawn: true, supersedes: 'b' },
  ]);
  expect((await feedback('bookings', '--file', path)).out).toBe(
    '2 labels kept, 1 in place of earlier ones, 1 taken back\n',
  );
});

it('names the line of the whole file, and what was kept before it', async () => {
  const labels: unknown[] = Array.from({ length: 6000 }, (_, i) => ({ requestId: `r-${i}`, value: true }));
  labels[5500] = { requestId: 'r', value: 'yes' };
  const { code, err } = await feedback('bookings', '--file', file('bad.ndjson', labels));
  expect(code).toBe(1);
  expect(err).toContain('line 5501: value: found "yes" (a string), expected true or false');
  expect(err).toContain('The 5,000 labels of lines 1 to 5000 were kept: send the rest from line 5001 on.');
  expect(kept).toHaveLength(5000);
});

it('refuses both and neither of --label and --file, an empty file, another model, and says when nobody answers', async () => {
  expect((await feedback('bookings')).code).toBe(2);
  expect((await feedback('bookings', '--label', '{}', '--file', '-')).code).toBe(2);
  expect(await feedback('bookings', '--file', file('empty.ndjson', []))).toMatchObject({
    code: 1,
    err: expect.stringContaining('one JSON object a line') as string,
  });
  expect((await feedback('booking', '--label', '{}')).err).toContain('No model named booking is served');
  const reachable = api;
  api = 'http://127.0.0.1:9';
  expect((await feedback('bookings', '--label', '{}')).code).toBe(3);
  api = reachable;
});

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createControl } from '../../api/control.ts';
import { run } from '../../cli/run.ts';
import { fill, MODEL, noTemporal, silent, temporaryStores } from '../api/control/records.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let server: Server;
let api: string;

beforeAll(async () => {
  temporary = await temporaryStores();
  await fill(temporary.stores);
  const control = createControl({ stores: temporary.stores, temporal: noTemporal, log: silent });
  const answer = getRequestListener(control.fetch);
  server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server?.close();
  temporary?.remove();
});

async function history(...args: string[]) {
  let [out, err] = ['', ''];
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += text), true));
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += text), true));
  try {
    return { code: await run(['history', ...args, '--api', api]), out, err };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
    process.exitCode = undefined;
  }
}

it('is a table, newest first', async () => {
  const { code, out } = await history(MODEL);
  expect(code).toBe(0);
  const [head, newest, oldest] = out.split('\n');
  expect(head).toMatch(/^REVISION +COMMITTED +CHAMPION +PREVIOUS +CANARY/);
  expect(newest).toMatch(/^ +2 .* 2 +1 +- +- +ana +rollout-hotel-cancellations +- +version 2 passed its gate$/);
  expect(oldest).toMatch(/^ +1 .* version 1 passed its gate$/);
});

it('says that there is more than the limit', async () => {
  const { out, err } = await history(MODEL, '--limit', '1');
  expect(out.trimEnd().split('\n')).toHaveLength(2);
  expect(err).toContain('There are older ones');
});

it('at a time is a sentence before the table', async () => {
  const { out } = await history(MODEL, '--at', '2090-01-01');
  expect(out).toMatch(
    /^2090-01-01T00:00:00.000Z is yet to come\. At .* version 2 of .* served everybody .*\n\nREVISION/,
  );
  expect(await history(MODEL, '--at', '2017-01-01')).toMatchObject({
    code: 0,
    out: expect.stringContaining('served nothing yet'),
  });
});

it('is JSON with --json, and refuses what is no time', async () => {
  expect(JSON.parse((await history(MODEL, '--json')).out)).toMatchObject({
    model: MODEL,
    entries: [{ revision: 2 }, {}],
  });
  expect(await history(MODEL, '--at', 'noon')).toMatchObject({
    code: 1,
    err: expect.stringContaining('a time is 2016-07-01'),
  });
});

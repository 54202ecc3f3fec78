import { afterAll, beforeAll, expect, it } from 'vitest';
import { post, register, serve, startServing, temporaryStores } from './fixture.ts';
import { registerOdd, throws } from './challenger/odd-graphs.ts';
import { recordsOf } from './log-records.ts';
import { good } from '../../torture/models.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let serving: Awaited<ReturnType<typeof startServing>>;
beforeAll(async () => {
  temporary = await temporaryStores();
  await registerOdd(temporary.stores, 'odd', throws());
  await register(temporary.stores, 'odd', good(2));
  await serve(temporary.stores, 'odd', { champion: 1 });
  serving = await startServing(temporary.stores);
});
afterAll(async () => {
  await serving?.stop();
  await temporary.remove();
});

it('a champion that throws is a 500 that says so, each of its rows is in the log as failed, and /metrics says who was asked', async () => {
  const fails = { x: 1, throw: 1 };
  for (const body of [fails, { rows: [fails, { x: 2 }] }]) {
    const response = await post(serving.app, '/v1/models/odd/predict', body, { 'x-request-id': 'again' });
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({
      type: 'urn:gauntlet:model-failed',
      detail: expect.stringMatching(/^odd version 1: .*the fault is the model's\.$/s) as string,
      next: expect.stringContaining('gauntlet rollback odd') as string,
    });
  }
  expect((await post(serving.app, '/v1/models/odd/predict', { x: 3 })).status).toBe(200);
  expect(await (await serving.app.request('/metrics')).text()).toContain(
    'gauntlet_requests_total{model="odd",version="1",assigned="champion",status="500"} 2',
  );
  await serving.predictionLog.flush();
  const records = await recordsOf(temporary.stores.serving.bucket);
  expect(records).toHaveLength(4);
  const failed = { version: 1, why: 'threw', detail: expect.any(String) as string };
  expect(records).toMatchObject([{ failed }, { failed, row: 0 }, { failed, row: 1 }, { output: { scores: [3] } }]);
  expect(records.slice(0, 3).every((record) => !('output' in record))).toBe(true);
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { controlOpenApi, createControl } from '../../api/control.ts';
import type { Diagnosis, ModelDetail, RunSummary, Status } from '../../api/control/shapes.ts';
import type { Stores } from '../../bucket/index.ts';
import { Problem } from '../../schemas/index.ts';
import { fill, MODEL, noTemporal, silent, temporaryStores } from './control/records.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let app: ReturnType<typeof createControl>;

beforeEach(async () => {
  temporary = await temporaryStores();
  ({ stores } = temporary);
  app = createControl({ stores, temporal: noTemporal, log: silent, now: () => new Date('2026-11-24T12:00:00Z') });
});
afterEach(() => temporary.remove());

const post = (path: string, body: unknown) =>
  app.request(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
async function problemOf(answer: Response): Promise<Problem> {
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  const problem = Problem.parse(await answer.json());
  expect(problem.status).toBe(answer.status);
  return problem;
}
const json = async <T = unknown>(path: string): Promise<T> => {
  const answer = await app.request(path);
  expect(answer.status).toBe(200);
  return (await answer.json()) as T;
};

describe('reading', () => {
  beforeEach(() => fill(stores));

  it('models come with champion, newest version, revision and last run', async () => {
    expect(await json('/v1/models')).toMatchObject([
      {
        model: MODEL,
        task: 'binary',
        project: { n: 1 },
        champion: 2,
        previous: 1,
        newest: 2,
        revision: 2,
        lastRun: { id: '20261102T000000Z-2', outcome: 'halted', halted: { stage: 'gate' } },
      },
    ]);
  });

  it('a model shows its serving revision, and which version serves', async () => {
    const model = await json<ModelDetail>(`/v1/models/${MODEL}`);
    expect(model.serving).toMatchObject({ n: 2, because: 'version 2 passed its gate' });
    expect(model.versions).toMatchObject([
      { n: 2, serves: 'champion', metric: 'logLoss', value: 0.481 },
      { n: 1, serves: 'previous' },
    ]);
  });

  it('one version is given as it was registered', async () => {
    expect(await json(`/v1/models/${MODEL}/versions/1`)).toEqual(await stores.versions.read(MODEL, 1));
  });

  it('runs are listed newest first, the primary metric beside the baseline', async () => {
    const runs = await json<RunSummary[]>(`/v1/runs?model=${MODEL}`);
    expect(runs.map((run) => run.id)).toEqual(['20261102T000000Z-2', '20261101T000000Z-1']);
    expect(runs[1]).toMatchObject({ metric: 'logLoss', value: 0.481, baseline: 0.497, version: 1 });
    expect(await json('/v1/runs?limit=1')).toHaveLength(1);
  });

  it('one run is given as it was recorded', async () => {
    expect(await json(`/v1/runs/${MODEL}/20261101T000000Z-1`)).toEqual(
      await stores.runs.read(MODEL, '20261101T000000Z-1'),
    );
  });

  it('the newest project of a model is given', async () => {
    expect(await json(`/v1/projects/${MODEL}`)).toMatchObject({ n: 1, by: 'ana', spec: { name: MODEL } });
  });

  it('status says what does not answer and lists the models all the same', async () => {
    const status = await json<Status>('/v1/status');
    expect(status.bucket).toEqual({ ok: true, because: 'serving log at revision 2' });
    expect(status.temporal).toMatchObject({ ok: false, because: expect.stringContaining('nothing listens there') });
    expect(status.models).toMatchObject([{ model: MODEL, champion: 2 }]);
  });

  it.each([
    ['/v1/models/hotel-cancelations', 404, 'There is no model hotel-cancelations. Did you mean hotel-cancellations?'],
    ['/v1/models/zzz/versions', 404, 'There is no model zzz. Known: hotel-cancellations.'],
    [`/v1/models/${MODEL}/versions/9`, 404, `${MODEL} has no version 9; it has 1, 2.`],
    [`/v1/runs/${MODEL}/20261101T000000Z-9`, 404, 'Did you mean 20261101T000000Z-1 or 20261102T000000Z-2?'],
    [`/v1/runs/${MODEL}/20261101T000000Z%201`, 404, 'has no run 20261101T000000Z 1. Did you mean 20261101T000000Z-1'],
    [`/v1/runs/${MODEL}/..%2F..`, 404, 'has no run ../..'],
    ['/v1/runs?model=hotel', 404, 'Did you mean hotel-cancellations?'],
    ['/v1/projects/hotel', 404, 'Did you mean hotel-cancellations?'],
  ])('%s is a %i that names what there is', async (path, status, detail) => {
    const answer = await app.request(path);
    expect(answer.status).toBe(status);
    expect((await problemOf(answer)).detail).toContain(detail);
  });

  it('a query that is wrong is a 422 that names the field', async () => {
    const problem = await problemOf(await app.request('/v1/runs?limit=many'));
    expect(problem).toMatchObject({ status: 422, issues: [{ at: 'limit' }] });
  });
});

describe('rollback', () => {
  beforeEach(() => fill(stores));

  it('works with Temporal down, and cites who and why', async () => {
    const answer = await post(`/v1/models/${MODEL}/rollback`, { by: 'ana', reason: 'version 2 refuses groups' });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ revision: 3, model: MODEL, from: 2, to: 1 });
    expect(await stores.serving.next(2)).toMatchObject({
      serving: { champion: 1 },
      by: 'ana',
      because: 'version 2 refuses groups',
      cause: { workflowId: 'rollback' },
    });
  });

  it('with the same request id is done once', async () => {
    const body = { reason: 'version 2 refuses groups', requestId: 'r-1' };
    const first: unknown = await (await post(`/v1/models/${MODEL}/rollback`, body)).json();
    expect(await (await post(`/v1/models/${MODEL}/rollback`, body)).json()).toEqual(first);
    expect(await stores.serving.next(3)).toBeUndefined();
  });

  it('a second time has nothing to go back to, and never serves what was left: 409', async () => {
    await post(`/v1/models/${MODEL}/rollback`, { reason: 'version 2 refuses groups' });
    const again = await problemOf(await post(`/v1/models/${MODEL}/rollback`, { reason: 'x' }));
    expect(again).toMatchObject({ status: 409, type: 'urn:gauntlet:nothing-to-roll-back-to' });
    expect((await stores.serving.current(MODEL))?.serving.champion).toBe(1);
  });

  it('to a version that does not exist is a 404 that names those there are', async () => {
    const problem = await problemOf(await post(`/v1/models/${MODEL}/rollback`, { to: 9, reason: 'x' }));
    expect(problem).toMatchObject({ status: 404, detail: `${MODEL} has no version 9; it has 1, 2.` });
    expect(await stores.serving.next(2)).toBeUndefined();
  });

  it('without a reason is a 422 that asks for one', async () => {
    const problem = await problemOf(await post(`/v1/models/${MODEL}/rollback`, {}));
    expect(problem).toMatchObject({ status: 422, issues: [{ at: 'reason' }] });
  });

  it('of a model that never served is a 409', async () => {
    const other = { model: 'churn', hash: 'b'.repeat(64), files: {}, appliedAt: '2026-11-01T00:00:00Z', by: 'ana' };
    const { spec } = (await stores.projects.newest(MODEL))!;
    await stores.projects.create({ ...other, spec: { ...spec, name: 'churn' } });
    expect((await post('/v1/models/churn/rollback', { reason: 'x' })).status).toBe(409);
  });
});

describe('with Temporal down', () => {
  beforeEach(() => fill(stores));

  it.each([
    ['POST', `/v1/models/${MODEL}/train`],
    ['POST', `/v1/models/${MODEL}/rollouts`],
    ['GET', `/v1/trainings/train-${MODEL}`],
  ])('%s %s is a 503 that says so and what still works', async (method, path) => {
    const answer =
      method === 'GET' ? await app.request(path) : await post(path, path.endsWith('rollouts') ? { version: 2 } : {});
    const problem = await problemOf(answer);
    expect(problem).toMatchObject({ status: 503, title: 'Temporal does not answer' });
    expect(problem.detail).toContain('nothing listens there');
    expect(problem.detail).toContain('rollback work all the same');
  });

  it('a model that does not exist is a 404 before Temporal is asked', async () => {
    expect((await post('/v1/models/hotel-cancelations/train', {})).status).toBe(404);
  });
});

describe('what a web page sends through a browser', () => {
  beforeEach(() => fill(stores));
  const rollback = async (headers: Record<string, string>) =>
    (
      await app.request(`/v1/models/${MODEL}/rollback`, {
        method: 'POST',
        headers: { host: '127.0.0.1:3000', 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ reason: 'x' }),
      })
    ).status;

  it.each([
    [{ origin: 'https://evil.example' }],
    [{ origin: 'http://127.0.0.1:8080' }],
    [{ origin: 'null' }],
    [{ 'sec-fetch-site': 'cross-site' }],
    [{ origin: 'http://127.0.0.1:8080', 'sec-fetch-site': 'same-site' }],
  ])('%j is a 403, and changes nothing', async (headers) => {
    expect(await rollback(headers)).toBe(403);
    expect(await stores.serving.next(2)).toBeUndefined();
  });

  it.each([
    [{}],
    [{ origin: 'http://127.0.0.1:3000' }],
    [{ origin: 'https://gauntlet.example', 'sec-fetch-site': 'same-origin' }],
    [{ 'sec-fetch-site': 'none' }],
  ])('%j is let in', async (headers) => {
    expect(await rollback(headers)).toBe(200);
  });

  it('a training without a body and an upload from elsewhere are refused; reading is not', async () => {
    const headers = { origin: 'https://evil.example' };
    for (const path of [`/v1/models/${MODEL}/train`, '/v1/projects'])
      expect((await app.request(path, { method: 'POST', headers })).status).toBe(403);
    expect((await app.request('/v1/models', { headers })).status).toBe(200);
  });
});

describe('bad requests', () => {
  beforeEach(() => fill(stores));

  it('malformed JSON is a 400 problem', async () => {
    const problem = await problemOf(await post(`/v1/models/${MODEL}/train`, '{"promote": tru'));
    expect(problem).toMatchObject({ status: 400, title: 'Malformed JSON in request body' });
  });

  it('an unknown field is a 422 that names it', async () => {
    const problem = await problemOf(await post(`/v1/models/${MODEL}/train`, { promot: true }));
    expect(problem).toMatchObject({ status: 422, issues: [{ at: 'promot' }] });
  });

  it('force without a reason is a 422', async () => {
    const problem = await problemOf(await post(`/v1/models/${MODEL}/rollouts`, { version: 1, force: true }));
    expect(problem).toMatchObject({ status: 422, issues: [{ at: 'reason' }] });
  });

  it('a version that does not exist cannot be promoted', async () => {
    expect((await post(`/v1/models/${MODEL}/rollouts`, { version: 7 })).status).toBe(404);
  });

  it('a path that is not a route is a 404 problem', async () => {
    expect((await problemOf(await app.request('/v1/nothing'))).status).toBe(404);
  });
});

describe('doctor', () => {
  it('finds bucket and model, and gives each failed check a next step', async () => {
    await fill(stores);
    const { says, checks } = await json<Diagnosis>('/v1/doctor');
    expect(says).toBe('fail');
    expect(checks).toMatchObject([
      { check: 'bucket', says: 'ok' },
      { check: `model ${MODEL}`, says: 'fail', next: expect.stringContaining('rollback') },
      { check: 'temporal', says: 'fail', next: expect.stringContaining('gauntlet up') },
    ]);
  });

  it('leaves nothing in the bucket', async () => {
    await json('/v1/doctor');
    const keys = [];
    for await (const { key } of stores.bucket.list('')) keys.push(key);
    expect(keys).toEqual([]);
  });

  it('says that no model is applied yet', async () => {
    expect((await json<Diagnosis>('/v1/doctor')).checks[1]).toMatchObject({ check: 'models', says: 'warn' });
  });
});

it('every route is in the OpenAPI part, with the shapes as components', () => {
  const { paths, components } = controlOpenApi(app);
  expect(Object.keys(paths!).sort()).toEqual([
    '/v1/doctor',
    '/v1/models',
    '/v1/models/{model}',
    '/v1/models/{model}/history',
    '/v1/models/{model}/import-labels',
    '/v1/models/{model}/looks',
    '/v1/models/{model}/looks/{look}',
    '/v1/models/{model}/looks/{look}/judge',
    '/v1/models/{model}/rollback',
    '/v1/models/{model}/rollout',
    '/v1/models/{model}/rollout/advance',
    '/v1/models/{model}/rollout/approve',
    '/v1/models/{model}/rollout/change-plan',
    '/v1/models/{model}/rollout/pause',
    '/v1/models/{model}/rollout/reject',
    '/v1/models/{model}/rollout/resume',
    '/v1/models/{model}/rollout/rollback',
    '/v1/models/{model}/rollouts',
    '/v1/models/{model}/train',
    '/v1/models/{model}/versions',
    '/v1/models/{model}/versions/{n}',
    '/v1/projects',
    '/v1/projects/{model}',
    '/v1/runs',
    '/v1/runs/{model}/{id}',
    '/v1/status',
    '/v1/trainings/{workflowId}',
    '/v1/why/{requestId}',
  ]);
  expect(Object.keys(components!.schemas!)).toEqual(
    expect.arrayContaining(['Diagnosis', 'ModelDetail', 'Problem', 'Run', 'Training']),
  );
  expect(components!['securitySchemes']).toMatchObject({
    apiKey: { scheme: 'bearer' },
    apiKeyHeader: { in: 'header', name: 'x-api-key' },
  });
});

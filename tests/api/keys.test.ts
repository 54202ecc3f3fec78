import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createControl } from '../../api/control.ts';
import { KeyRing } from '../../api/keys.ts';
import { keyIdOf, secretOf, type Stores } from '../../bucket/index.ts';
import { Problem, Stages, type Scope } from '../../schemas/index.ts';
import { fill, MODEL, noTemporal, temporaryStores } from './control/records.ts';
import { bookings, post as ask, register, serve, startServing } from './serving/fixture.ts';

const DAY_MS = 86_400_000;

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let nowMs: number;
let app: ReturnType<typeof createControl>;
let logged: string[];

beforeEach(async () => {
  temporary = await temporaryStores();
  ({ stores } = temporary);
  await fill(stores);
  nowMs = Date.parse('2026-11-24T12:00:00Z');
  logged = [];
  const log = { error: (fields: object, message: string) => void logged.push(inspect(fields) + message) };
  app = createControl({ stores, temporal: noTemporal, log, now: () => new Date(nowMs) });
});
afterEach(() => temporary.remove());

async function make(name: string, scopes: Scope[], days = 90): Promise<{ id: string; secret: string }> {
  const { key, secret } = await stores.keys.create({
    name,
    scopes,
    expiresAt: new Date(nowMs + days * DAY_MS).toISOString(),
    createdBy: 'tests',
    now: new Date(nowMs).toISOString(),
  });
  return { id: key.id, secret };
}

async function rollBack(headers: Record<string, string> = {}, to = 1) {
  const answer = await app.request(`/v1/models/${MODEL}/rollback`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ to, by: 'somebody', reason: 'x' }),
  });
  const body: unknown = await answer.json();
  return { status: answer.status, body: answer.ok ? undefined : Problem.parse(body), headers: answer.headers };
}
const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });
const servedBy = async () => (await stores.serving.current(MODEL))!.by;

describe('while the bucket has no key', () => {
  it('everybody may change anything, and who they are is their claim', async () => {
    expect((await rollBack()).status).toBe(200);
    expect(await servedBy()).toBe('somebody');
  });

  it('a scheme that is for a proxy before us, or a key of another bucket, is no reason to refuse', async () => {
    expect((await rollBack({ authorization: 'Basic YW5hOnNlY3JldA==' })).status).toBe(200);
    expect((await rollBack(bearer(secretOf('abc')), 2)).status).toBe(200);
  });
});

describe('once the bucket has a key', () => {
  it('who changes something is who the key says, by either header, never who the body says', async () => {
    const { secret } = await make('ana', ['operate']);
    expect((await rollBack(bearer(secret))).status).toBe(200);
    expect(await servedBy()).toBe('ana');
    const ben = await make('ben', ['operate']);
    nowMs += 1_000;
    expect((await rollBack({ 'x-api-key': ben.secret }, 2)).status).toBe(200);
    expect(await servedBy()).toBe('ben');
  });

  it('the token of a gateway before us does not hide a key in x-api-key, and is no key by itself', async () => {
    const { secret } = await make('ana', ['operate']);
    const token = bearer('eyJhbGciOiJIUzI1NiJ9.e30.c2ln');
    expect((await rollBack({ ...token, 'x-api-key': secret })).status).toBe(200);
    expect(await servedBy()).toBe('ana');
    expect((await rollBack(token, 2)).body!.detail).toContain('no key of Gauntlet');
  });

  it('nobody changes anything without one: 401 in words, and nothing is changed', async () => {
    await make('ana', ['operate']);
    const { status, body, headers } = await rollBack();
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(body).toMatchObject({
      type: 'urn:gauntlet:key-needed',
      detail: expect.stringContaining('no key came with the request'),
      next: expect.stringContaining('GAUNTLET_API_KEY'),
    });
    expect((await stores.serving.current(MODEL))!.n).toBe(2);
  });

  it.each<[string, () => Promise<string> | string, string]>([
    ['is none of ours', () => 'hunter2', 'no key of Gauntlet'],
    ['is unknown', () => secretOf('0123456789ab'), 'not known here'],
    ['has another secret', async () => secretOf(keyIdOf((await make('ben', ['operate'])).secret)!), 'not known here'],
    ['has expired', async () => (await make('ben', ['operate'], -1)).secret, 'of ben expired at 2026-11-23'],
  ])('one that %s is a 401 that says so, and never the secret', async (_, secret, says) => {
    await make('ana', ['operate']);
    const shown = await secret();
    const { status, body } = await rollBack(bearer(shown));
    expect(status).toBe(401);
    expect(body!.detail).toContain(says);
    expect(JSON.stringify(body)).not.toContain(shown);
  });

  it('one without the scope is a 403 that names it', async () => {
    const { secret } = await make('ana', ['approve']);
    const { status, body } = await rollBack(bearer(secret));
    expect(status).toBe(403);
    expect(body!.detail).toMatch(/needs a key of scope operate, and the key \w+ of ana has approve/);
  });

  it.each([
    ['train', '{}'],
    ['rollouts', '{"version": 1}'],
    ['import-labels', '{}'],
    ['rollout/pause', '{"reason": "x"}'],
    ['rollout/approve', '{"reason": "x"}'],
  ])('%s needs one', async (path, body) => {
    await make('ana', ['operate']);
    const headers = { 'content-type': 'application/json' };
    const answer = await app.request(`/v1/models/${MODEL}/${path}`, { method: 'POST', headers, body });
    expect(answer.status).toBe(401);
  });

  it('a vote needs scope approve, and operate is not it', async () => {
    const { secret } = await make('ana', ['operate']);
    const headers = { 'content-type': 'application/json', ...bearer(secret) };
    const said = { method: 'POST', headers, body: '{"reason": "x"}' };
    expect((await app.request(`/v1/models/${MODEL}/rollout/approve`, said)).status).toBe(403);
    // Temporal is down: the key was let through.
    expect((await app.request(`/v1/models/${MODEL}/rollout/pause`, said)).status).toBe(503);
  });

  describe('a rollout that goes round an approval needs scope approve as well', () => {
    const APPROVAL = { kind: 'approval' };
    const start = async (body: object, ...scopes: Scope[]) => {
      nowMs += 10_000; // the key of before is not all there is
      const { secret } = await make('ana', scopes);
      const answer = await app.request(`/v1/models/${MODEL}/rollouts`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...bearer(secret) },
        body: JSON.stringify({ version: 1, ...body }),
      });
      return { status: answer.status, body: (await answer.json()) as Problem };
    };
    const ask = async (stages: object[]) => {
      const project = (await stores.projects.newest(MODEL))!;
      const rollout = { ...project.spec.rollout, stages: Stages.parse(stages) };
      await stores.projects.create({ ...project, spec: { ...project.spec, rollout } });
    };

    it.each<[string, object, string]>([
      ['by force', { force: true, reason: 'x' }, 'force leaves every stage out'],
      ['by stages that have none', { stages: [{ kind: 'bake' }] }, 'leave out the approval'],
      ['by one that anybody may give', { stages: [{ ...APPROVAL, allowUnverified: true }] }, 'allowUnverified'],
      ['by a canary alone', { kind: 'canaryRollout' }, 'a canary rollout leaves out the approval'],
      ['by a version from before it was asked for', {}, 'the one that version 1 was made from does not'],
    ])('%s', async (_, body, because) => {
      await ask([APPROVAL]);
      expect(await start(body, 'operate')).toMatchObject({
        status: 403,
        body: { type: 'urn:gauntlet:scope-missing', detail: expect.stringContaining(because) },
      });
      // Temporal is down: the key was let through.
      expect((await start(body, 'operate', 'approve')).status).toBe(503);
    });

    it.each<[string, object]>([
      ['given stages ask for one', { stages: [APPROVAL] }],
      ['nothing is routed', { kind: 'shadowTrial' }],
    ])('but not where %s', async (_, body) => {
      await ask([APPROVAL]);
      expect((await start(body, 'operate')).status).toBe(503);
    });

    it('and so does a rollback to a version that never served; to one that did it needs none', async () => {
      await ask([APPROVAL]);
      const { n: _n, ...version } = (await stores.versions.read(MODEL, 2))!;
      const third = await stores.versions.create({
        ...version,
        cause: { ...version.cause, runId: 'another' },
      });
      const ben = await make('ben', ['operate']);
      const refused = await rollBack(bearer(ben.secret), third.n);
      expect(refused).toMatchObject({
        status: 403,
        body: { detail: expect.stringContaining('has not served before') },
      });
      expect((await rollBack(bearer(ben.secret), 1)).status).toBe(200);
      nowMs += 10_000;
      const ana = await make('ana', ['operate', 'approve']);
      expect((await rollBack(bearer(ana.secret), third.n)).status).toBe(200);
    });

    it('nor where model.yaml asks for none', async () => {
      await ask([{ kind: 'bake' }]);
      for (const body of [{ kind: 'canaryRollout' }, { stages: [] }, {}])
        expect((await start(body, 'operate')).status).toBe(503);
    });
  });

  it('reading is open', async () => {
    await make('ana', ['operate']);
    for (const path of ['/v1/models', '/v1/status', `/v1/models/${MODEL}/history`, `/v1/models/${MODEL}/looks`])
      expect((await app.request(path)).status).toBe(200);
  });

  it('a page of another origin is refused before its key is looked at', async () => {
    const { secret } = await make('ana', ['operate']);
    const { body } = await rollBack({ ...bearer(secret), origin: 'https://evil.example' });
    expect(body!.type).toBe('urn:gauntlet:other-origin');
  });

  it('the first closes the API within a second', async () => {
    expect((await rollBack()).status).toBe(200);
    await make('ana', ['operate']);
    nowMs += 1_000;
    expect((await rollBack({}, 2)).status).toBe(401);
  });

  it('a new one works within a second, and an expired or revoked one within ten seconds no longer', async () => {
    const { id, secret } = await make('ana', ['operate'], 1);
    expect((await rollBack(bearer(secret))).status).toBe(200);
    nowMs += 1_000;
    const ben = await make('ben', ['operate']);
    expect((await rollBack(bearer(ben.secret), 2)).status).toBe(200);
    await stores.keys.revoke(id, { by: 'ben', now: new Date(nowMs).toISOString(), reason: 'ana left' });
    nowMs += 10_000;
    const { status, body } = await rollBack(bearer(secret));
    expect(status).toBe(401);
    expect(body!.detail).toContain(`the key ${id} of ana was revoked at 2026-11-24T12:00:01.000Z by ben`);
    nowMs += 91 * DAY_MS;
    expect((await rollBack(bearer(ben.secret))).body!.detail).toContain('of ben expired at');
  });

  it('stays closed when every key has expired or was revoked', async () => {
    const { id } = await make('ana', ['operate']);
    await stores.keys.revoke(id, { by: 'ana', now: new Date(nowMs).toISOString() });
    expect((await rollBack()).status).toBe(401);
  });

  it('nobody is let in where the bucket cannot be listed', async () => {
    const { secret } = await make('ana', ['operate']);
    stores.keys.list = () => Promise.reject(new Error('the bucket is away'));
    expect((await rollBack(bearer(secret))).status).toBe(500);
    expect(logged.join()).toContain('the bucket is away');
    expect(logged.join()).not.toContain(secret);
  });

  it('asks the bucket once for many who come together, and again only after seconds', async () => {
    const { secret } = await make('ana', ['operate']);
    const ring = new KeyRing(stores.keys, { now: () => nowMs });
    let listed = 0;
    const list = stores.keys.list.bind(stores.keys);
    stores.keys.list = () => (listed++, list());
    await Promise.all(Array.from({ length: 50 }, () => ring.check(secret, 'operate')));
    expect(listed).toBe(1);
    const guesses = Array.from({ length: 50 }, () => ring.check(secretOf('abc'), 'operate').catch(() => {}));
    await Promise.all(guesses);
    expect(listed).toBe(1);
    nowMs += 5_000;
    await ring.check(secret, 'operate');
    expect(listed).toBe(2);
  });

  it('a process lets itself in, by a secret that is in no bucket', async () => {
    await make('ana', ['operate']);
    const secret = secretOf('0');
    const ring = new KeyRing(stores.keys, { now: () => nowMs, own: { secret, name: 'whoever started it' } });
    expect(await ring.check(secret, 'approve')).toMatchObject({ name: 'whoever started it' });
    await expect(ring.check(secretOf('0'), 'operate')).rejects.toThrow('not known here');
  });
});

describe('at rest', () => {
  it('there is a hash, and no secret', async () => {
    const { id, secret } = await make('ana', ['operate', 'approve']);
    const folder = join(temporary.folder, 'bucket', 'keys');
    expect(await readdir(folder)).toEqual([`${id}.json`]);
    const text = await readFile(join(folder, `${id}.json`), 'utf8');
    expect(text).not.toContain(secret);
    expect(text).not.toContain(secret.split('_')[2]);
    expect(secret).toMatch(/^gk_[0-9a-f]{12}_[0-9a-f]{64}$/);
  });

  it('a revocation stays as it was first', async () => {
    const { id } = await make('ana', ['operate']);
    await stores.keys.revoke(id, { by: 'ben', now: '2026-11-24T12:00:00.000Z', reason: 'lost' });
    expect(await stores.keys.revoke(id, { by: 'eve', now: '2026-11-25T12:00:00.000Z' })).toMatchObject({
      revoked: { by: 'ben', reason: 'lost' },
    });
    expect(await stores.keys.list()).toMatchObject([{ key: { id, name: 'ana' }, revoked: { by: 'ben' } }]);
    for (const none of ['0123', '../x', ''])
      await expect(stores.keys.revoke(none, { by: 'x', now: '2026-11-24T12:00:00.000Z' })).rejects.toThrow(
        'There is no API key',
      );
  });
});

describe('predictions', () => {
  it('are open, but for a version that is forced: it needs scope operate', async () => {
    await register(stores, 'bookings', bookings);
    await serve(stores, 'bookings', { champion: 1 });
    const serving = await startServing(stores, { keys: new KeyRing(stores.keys, { now: () => nowMs }) });
    const row = { lead_time: 200, adr: 90, hotel: 'City Hotel', is_repeated_guest: false, arrival_date: '2099-03-04' };
    const forced = { 'x-gauntlet-force-version': '1' };
    const asked = async (headers: Record<string, string>) =>
      (await ask(serving.app, '/v1/models/bookings/predict', row, headers)).status;
    try {
      expect(await asked(forced)).toBe(200);
      const ana = await make('ana', ['operate']);
      const ben = await make('ben', ['approve']);
      nowMs += 10_000;
      expect(await asked({})).toBe(200);
      expect(await asked(forced)).toBe(401);
      expect(await asked({ ...forced, ...bearer(ben.secret) })).toBe(403);
      expect(await asked({ ...forced, ...bearer(ana.secret) })).toBe(200);
      expect(JSON.stringify(serving.lines)).not.toContain('gk_');
    } finally {
      await serving.stop();
    }
  });
});

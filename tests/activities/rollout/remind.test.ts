import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRemind, type Reminder } from '../../../activities/rollout/remind.ts';
import { createRouteStage } from '../../../activities/rollout/route.ts';
import type { Context } from '../../../activities/context.ts';
import { openStores } from '../../../bucket/index.ts';
import { ApprovalStage, Stages, type LookRef, type OpenRollout } from '../../../schemas/index.ts';
import { writeModel } from '../../workflows/rollout-lab.ts';

const rollout: OpenRollout = {
  model: 'churn',
  version: 2,
  champion: 1,
  stages: Stages.parse([{ kind: 'approval' }, { kind: 'bake' }]),
  project: { n: 1, hash: '3'.repeat(64) },
  workflowId: 'rollout-churn',
  runId: 'r1',
  by: 'ana',
  allowUnverified: false,
  was: 1,
};
const look: LookRef = {
  key: 'looks/churn/20260301T000000.000Z-shadow.json',
  sha256: 'abcdef01'.repeat(8),
  kind: 'shadow',
  verdict: { says: 'pass', because: 'better' },
};

let folder: string;
let context: Context;
let server: Server;
let address: string;
let posts: Reminder[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gauntlet-remind-'));
  const stores = await openStores({ bucket: `file:${folder}/bucket`, home: folder });
  context = { stores, home: folder, build: { commit: '', dirty: false, node: '', packages: {} } };
  await writeModel(stores, 'churn');
  const { workflowId, runId } = rollout;
  await createRouteStage(context).routeStage(
    rollout,
    0,
    { now: '2026-03-01T00:00:00.000Z', because: 'a test' },
    { workflowId, runId, step: 'stage-0' },
  );
  posts = [];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      posts.push(JSON.parse(body) as Reminder);
      response.statusCode = request.url === '/gone' ? 404 : 200;
      response.end();
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.close();
  await rm(folder, { recursive: true, force: true });
});

const remind = (webhook: string, more: Partial<Context> = {}) =>
  createRemind({ ...context, ...more }).remind(rollout, { webhook, look, text: 'Version 2 of churn waits' });

describe('a reminder', () => {
  it('says where the rollout is seen, and the command that says yes to this very look', async () => {
    expect(await remind(address, { url: 'https://gauntlet.example' })).toEqual({});
    const link = 'https://gauntlet.example/v1/models/churn/rollout';
    expect(posts).toMatchObject([
      { text: `Version 2 of churn waits\n${link}\ngauntlet approve churn --look abcdef01 --reason "..."`, link },
    ]);
  });

  it('goes where $NAME of the environment says', async () => {
    await remind('$SLACK_WEBHOOK', { env: { SLACK_WEBHOOK: `${address}/services/secret` } });
    expect(posts).toHaveLength(1);
  });

  it.each([
    ['is not there', {}, 'the worker’s environment variable SLACK_WEBHOOK is not set'],
    ['is no URL', { SLACK_WEBHOOK: 'hunter2' }, 'SLACK_WEBHOOK is no http or https URL'],
    ['is a file', { SLACK_WEBHOOK: 'file:///etc/hunter2' }, 'SLACK_WEBHOOK is no http or https URL'],
  ])('says in words, and without its value, that a name %s', async (_, env, says) => {
    const failed: unknown = await remind('$SLACK_WEBHOOK', { env }).catch((error: unknown) => error);
    expect(String(failed).replaceAll("'", '’')).toContain(says);
    expect(String(failed)).not.toContain('hunter2');
    expect(posts).toEqual([]);
  });

  it('that is refused says so, and where to mend it', async () => {
    await expect(remind(`${address}/gone`)).rejects.toThrow('answered 404: correct rollout.stages of model.yaml');
  });
});

it.each([
  ['$SLACK_WEBHOOK', true],
  ['https://hooks.example/services/1', true],
  ['$slack', false],
  ['hooks.example', false],
  ['ftp://hooks.example', false],
])('the webhook of a stage may be %s: %s', (webhook, is) => {
  expect(ApprovalStage.safeParse({ kind: 'approval', webhook }).success).toBe(is);
});

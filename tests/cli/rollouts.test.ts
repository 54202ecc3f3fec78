import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createControl } from '../../api/control.ts';
import { run } from '../../cli/run.ts';
import { fillLooks } from '../api/control/looks.ts';
import { fill, MODEL, noTemporal, silent, temporaryStores } from '../api/control/records.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let server: Server;
let looks: Awaited<ReturnType<typeof fillLooks>>;

beforeAll(async () => {
  temporary = await temporaryStores();
  await fill(temporary.stores);
  looks = await fillLooks(temporary.stores);
  const control = createControl({ stores: temporary.stores, temporal: noTemporal, log: silent });
  const answer = getRequestListener(control.fetch);
  server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  vi.stubEnv('GAUNTLET_API', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  vi.stubEnv('GAUNTLET_HOME', temporary.folder);
  vi.stubEnv('GAUNTLET_BUCKET', temporary.bucket);
});
afterAll(() => {
  vi.unstubAllEnvs();
  server?.close();
  temporary?.remove();
});

async function gauntlet(...args: string[]) {
  let [out, err] = ['', ''];
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += text), true));
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += text), true));
  try {
    return { code: await run(args), out, err };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
    process.exitCode = undefined;
  }
}

function file(name: string, text: string): string {
  const path = join(temporary.folder, name);
  writeFileSync(path, text);
  return path;
}

describe('gauntlet looks', () => {
  it('lists them, newest first, of a kind where one is named', async () => {
    const { code, out } = await gauntlet('looks', MODEL);
    expect(code).toBe(0);
    const [head, ...rows] = out.trimEnd().split('\n');
    expect(head).toMatch(/^AT +KIND +VERSIONS +HASH +SAYS +BECAUSE$/);
    expect(rows.map((row) => row.split(/ {2,}/)[1])).toEqual(['plan', 'canary', 'approval', 'shadow', 'plan', 'gate']);
    expect((await gauntlet('looks', MODEL, '--kind', 'gate')).out.trimEnd().split('\n')).toHaveLength(2);
    expect((await gauntlet('looks', MODEL, '--kind', 'dusk')).code).toBe(2);
    expect((await gauntlet('looks', MODEL, '--limit', '1')).err).toContain('There are older ones: --before looks/');
  });

  it('shows one, with its rules and figures', async () => {
    const { out } = await gauntlet('looks', MODEL, looks.shadow.sha256.slice(0, 10));
    expect(out).toContain(looks.shadow.key);
    expect(out).toMatch(/^pass: /m);
    expect(out).toMatch(/^RULE +SAYS +BECAUSE/m);
    expect(out).toMatch(/^FIGURE +VALUE +LOWER +UPPER/m);
    expect((await gauntlet('looks', MODEL, looks.approval.key)).out).toMatch(
      /approve by ana, .*, by api: slices look right/,
    );
    expect(JSON.parse((await gauntlet('looks', MODEL, looks.gate.key, '--json')).out)).toMatchObject({
      look: { kind: 'gate' },
    });
  });
});

describe('gauntlet judge', () => {
  it('says that the same evidence by the same plan says the same', async () => {
    const { code, out } = await gauntlet('judge', looks.shadow.key);
    expect(code).toBe(0);
    expect(out).toMatch(/^then +pass: .*\nnow +pass: .*\nThe same\.$/m);
  });

  it('by another plan says what would have been said, and which rules say otherwise; a hash finds its model', async () => {
    const plan = file('stricter.yaml', 'kind: shadow\nminimumEffect: 0.2\n');
    const { code, out } = await gauntlet('judge', looks.shadow.sha256, '--plan', plan);
    expect(code).toBe(0);
    expect(out).toMatch(/^then +pass/m);
    expect(out).toMatch(/^now +(undecided|fail)/m);
    expect(out).toMatch(/^effect +/m);
  });

  it('refuses in words what does not fit, is no YAML, or is no look', async () => {
    const day = await gauntlet('judge', looks.shadow.key, '--plan', file('day.yaml', 'kind: shadow\nblock: day\n'));
    expect(day).toMatchObject({ code: 1, err: expect.stringContaining('counted with block week') });
    const broken = await gauntlet('judge', looks.shadow.key, '--plan', file('broken.yaml', 'kind: [shadow\n'));
    expect(broken).toMatchObject({ code: 1, err: expect.stringContaining('cannot be read as YAML') });
    expect(await gauntlet('judge', '0123456789')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no look of any model'),
    });
  });
});

describe('starting, seeing and steering, with Temporal down', () => {
  it.each([
    ['promote', MODEL],
    ['trial', MODEL, '--to', '2', '--max-unseen', '0.3'],
    ['canary', MODEL],
    ['rollout', MODEL],
    ['approve', MODEL, '--reason', 'x'],
    ['reject', MODEL, '--reason', 'x', '--look', 'abcdef01'],
    ['pause', MODEL, '--reason', 'x'],
    ['resume', MODEL, '--reason', 'x'],
    ['advance', MODEL, '--reason', 'x'],
    ['change-plan', MODEL, '--set', 'maxUnseen=0.3', '--set', 'maxDuration=40 weeks', '--reason', 'x'],
  ])('%s says so', async (...args) => {
    expect(await gauntlet(...args)).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('Temporal does not answer (nothing listens there)'),
    });
  });

  it('a mistake in stages or options is told before anything starts', async () => {
    const stages = file('stages.yaml', '- kind: canary\n  weight: 2\n');
    expect(await gauntlet('promote', MODEL, '--stages', stages)).toMatchObject({
      code: 1,
      err: expect.stringContaining('stages[0].weight'),
    });
    const approval = file('approval.yaml', '- kind: approval\n');
    expect(await gauntlet('canary', MODEL, '--stages', approval)).toMatchObject({
      code: 1,
      err: expect.stringContaining('a canaryRollout has canary stages and a bake, not approval'),
    });
    expect((await gauntlet('promote', MODEL, '--stages', stages, '--force', '--reason', 'x')).code).toBe(2);
    expect((await gauntlet('trial', MODEL, '--max-unseen', '3')).code).toBe(2);
    expect(await gauntlet('change-plan', MODEL, '--set', 'maxUnsene=0.3', '--reason', 'x')).toMatchObject({
      code: 1,
      err: expect.stringContaining('maxUnsene'),
    });
    expect((await gauntlet('change-plan', MODEL, '--set', 'maxUnseen', '--reason', 'x')).code).toBe(2);
    expect((await gauntlet('change-plan', MODEL, '--reason', 'x')).err).toContain("required option '--set");
    expect((await gauntlet('approve', MODEL)).err).toContain("required option '--reason <text>'");
  });
});

describe('gauntlet keys', () => {
  it('makes a key on the bucket, whose secret alone is on stdout; then changes need it, from GAUNTLET_API_KEY', async () => {
    expect((await gauntlet('keys', 'list')).out).toContain('No key: whoever reaches the API may do everything');
    const args = ['--name', 'ana', '--scope', 'approve', '--scope', 'operate', '--expires', '90 days'];
    const { code, out, err } = await gauntlet('keys', 'create', ...args);
    expect(code).toBe(0);
    expect(out).toMatch(/^gk_[0-9a-f]{12}_[0-9a-f]{64}\n$/);
    expect(err).toMatch(/^Key [0-9a-f]{12} of ana \(approve, operate\) until 20/);
    const id = out.split('_')[1]!;
    await new Promise((done) => setTimeout(done, 1_100)); // it is known within a second
    const rollback = ['rollback', MODEL, '--to', '1', '--reason', 'x'];
    expect(await gauntlet(...rollback)).toMatchObject({ code: 1, err: expect.stringContaining('GAUNTLET_API_KEY') });
    vi.stubEnv('GAUNTLET_API_KEY', out.trim());
    try {
      expect((await gauntlet(...rollback)).code).toBe(0);
    } finally {
      vi.stubEnv('GAUNTLET_API_KEY', '');
    }
    expect((await temporary.stores.serving.current(MODEL))!.by).toBe('ana');
    const listed = await gauntlet('keys', 'list');
    expect(listed.out).toMatch(new RegExp(`^${id} +ana +approve, operate +valid`, 'm'));
    expect(listed.out).not.toContain('gk_');
    expect((await gauntlet('keys', 'revoke', id, '--reason', 'ana left')).out).toContain(`revoked ${id} of ana`);
    const [key] = JSON.parse((await gauntlet('keys', 'list', '--json')).out) as object[];
    expect(key).toMatchObject({ id, name: 'ana', revoked: { reason: 'ana left' } });
    expect(key).not.toHaveProperty('sha256');
  });

  it('makes a key before there is an API or a bucket, and says that it made the bucket; nothing else makes one', async () => {
    const folder = join(temporary.folder, 'not-yet');
    vi.stubEnv('GAUNTLET_BUCKET', `file:${folder}`);
    try {
      expect((await gauntlet('keys', 'list')).err).toContain('There is no bucket at');
      const { code, out, err } = await gauntlet('keys', 'create', '--name', 'ana', '--scope', 'operate');
      expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining(`no bucket at file:${folder} yet`) });
      expect(out).toMatch(/^gk_/);
      expect((await gauntlet('keys', 'list')).out).toContain('ana');
      expect((await gauntlet('keys', 'create', '--name', 'ben', '--scope', 'operate')).err).not.toContain('bucket');
    } finally {
      vi.stubEnv('GAUNTLET_BUCKET', temporary.bucket);
    }
  });

  it.each(['', '  ', 'x'.repeat(201)])('refuses the name %j in words', async (name) => {
    const { code, err } = await gauntlet('keys', 'create', '--name', name, '--scope', 'operate');
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/^--name is .*; expected whose key it is/) });
  });

  it('refuses what is no scope, no while and no key', async () => {
    const wrongScope = await gauntlet('keys', 'create', '--name', 'ana', '--scope', 'everything');
    expect(wrongScope).toMatchObject({ code: 2, err: expect.stringContaining('A scope is operate or approve') });
    for (const expires of ['soon', '2001-01-01'])
      expect(
        await gauntlet('keys', 'create', '--name', 'ana', '--scope', 'operate', '--expires', expires),
      ).toMatchObject({ code: 1, err: expect.stringContaining('"90 days"') });
    expect(await gauntlet('keys', 'revoke', 'abc')).toMatchObject({
      code: 1,
      err: expect.stringContaining('There is no API key abc'),
    });
    expect((await gauntlet('keys', 'shred')).code).toBe(2);
  });

  it.each(['create', 'list', 'revoke'])('%s has help with an example', async (name) => {
    const { code, out } = await gauntlet('keys', name, '--help');
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`Example:\n  gauntlet keys ${name}`));
    expect(out).toContain('--json');
  });
});

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { getRequestListener } from '@hono/node-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createControl } from '../../api/control.ts';
import type { Stores } from '../../bucket/index.ts';
import { run } from '../../cli/run.ts';
import { fill, MODEL, noTemporal, silent, temporaryStores } from '../api/control/records.ts';

const BIN = fileURLToPath(new URL('../../bin/gauntlet.js', import.meta.url));
const COMMANDS = [
  'up',
  'apply',
  'train',
  'runs',
  'models',
  'status',
  'history',
  'why',
  'predict',
  'feedback',
  'import-labels',
  'promote',
  'trial',
  'canary',
  'rollout',
  'approve',
  'reject',
  'pause',
  'resume',
  'advance',
  'rollback',
  'looks',
  'judge',
  'keys',
  'doctor',
];

const CHURN = `apiVersion: gauntlet/v1
name: churn
owner: crm
description: Will this customer leave?
task: binary
sources: { customers: { file: customers.csv } }
rows: { entity: customer_id }
inputs: { orders: { type: number } }
`;

function gauntlet(args: string[], env: Record<string, string> = {}, stdin = '') {
  return new Promise<{ code: number | null; out: string; err: string }>((done) => {
    const child = spawn(process.execPath, [BIN, ...args], {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], TMPDIR: tmpdir(), NO_COLOR: '1', ...env },
    });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    child.on('close', (code) => done({ code, out, err }));
    child.stdin.end(stdin);
  });
}

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let server: Server;
let up: Record<string, string>;
/** A port that nobody listens on: it was ours a moment ago. */
let nobody: Record<string, string>;

beforeAll(async () => {
  temporary = await temporaryStores();
  ({ stores } = temporary);
  await fill(stores);
  const control = createControl({ stores, temporal: noTemporal, log: silent });
  const answer = getRequestListener(control.fetch);
  server = createServer((request, response) => void answer(request, response));
  const listen = (one: Server) =>
    new Promise<string>((done) =>
      one.listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${(one.address() as AddressInfo).port}`)),
    );
  up = { GAUNTLET_API: await listen(server), GAUNTLET_HOME: temporary.folder };
  const closed = createServer();
  nobody = { GAUNTLET_API: await listen(closed), GAUNTLET_HOME: temporary.folder, GAUNTLET_BUCKET: temporary.bucket };
  await new Promise((done) => closed.close(done));
});
afterAll(() => {
  server?.close();
  temporary?.remove();
});

/** The same without a process of its own, where only the words matter. */
async function words(args: string[]) {
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

describe('help', () => {
  it('lists every command and what exit codes mean', async () => {
    const { code, out } = await gauntlet(['--help']);
    expect(code).toBe(0);
    for (const command of COMMANDS) expect(out).toMatch(new RegExp(`^  ${command} `, 'm'));
    expect(out).toContain('3 the API is not reachable');
  });

  it.each(COMMANDS)('of %s shows an example, --json and the exit codes', async (command) => {
    const { code, out } = await words([command, '--help']);
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`Example:\n  gauntlet ${command}`));
    expect(out).toContain('Exit codes: 0 ok');
    expect(out).toContain('--json');
  });
});

describe('a mistake on the command line is exit code 2', () => {
  it('in a process too, with nothing on stdout', async () => {
    const { code, out, err } = await gauntlet(['traim', MODEL]);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('Did you mean train?');
  });

  it.each([
    [['traim', MODEL], 'Did you mean train?'],
    [['train', MODEL, '--promot'], 'Did you mean --promote?'],
    [['rollback', MODEL], "required option '--reason <text>'"],
    [['train'], "missing required argument 'model'"],
    [['runs', '--limit', 'many'], 'whole number from 1'],
    [['train', MODEL, '--set', 'depth'], 'training.maxDepth=8'],
    [['predict', MODEL], '--row, --file and --example'],
    [['promote', MODEL, '--force'], '--force needs a --reason'],
    [[], 'Usage: gauntlet'],
  ])('%j', async (args, says) => {
    const { code, out, err } = await words(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(says);
  });
});

describe('with the API up', () => {
  it('models is a table, and JSON with --json', async () => {
    const { code, out } = await gauntlet(['models'], up);
    expect(code).toBe(0);
    const [head, row] = out.split('\n');
    expect(head).toMatch(/^MODEL +TASK +CHAMPION +NEWEST +REVISION/);
    expect(row).toMatch(/^hotel-cancellations +binary +2 +2 +2 +1 +halted 2026-11-01 00:05$/);
    expect(JSON.parse((await gauntlet(['models', '--json'], up)).out)).toMatchObject([{ model: MODEL, champion: 2 }]);
  });

  it('models <model> shows its versions and what serves', async () => {
    const { out } = await gauntlet(['models', MODEL], up);
    expect(out).toContain('revision 2 by ana');
    expect(out).toMatch(/^ +2 +champion +gradientBoosting +logLoss +0.481/m);
  });

  it('runs shows how each ended and the metric beside the baseline', async () => {
    const { code, out } = await gauntlet(['runs', MODEL], up);
    expect(code).toBe(0);
    expect(out).toMatch(/20261102T000000Z-2 .* halted .* gate: auc 0\.79 is below 0\.8/);
    expect(out).toMatch(/20261101T000000Z-1 .* registered +1 +logLoss +0\.481 +0\.497/);
  });

  it('a mistyped model suggests the nearest, exit code 1', async () => {
    const { code, out, err } = await gauntlet(['train', 'hotel-cancelations'], up);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toBe('There is no model hotel-cancelations. Did you mean hotel-cancellations?\n');
  });

  it('status tells what does not answer, and fails', async () => {
    const { code, out } = await gauntlet(['status'], up);
    expect(code).toBe(1);
    expect(out).toMatch(/^bucket +ok/m);
    expect(out).toMatch(/^temporal +fail/m);
    expect(out).toContain(MODEL);
  });

  it('doctor gives every failed check a next step, and fails', async () => {
    const { code, out } = await gauntlet(['doctor'], up);
    expect(code).toBe(1);
    expect(out).toMatch(/^ok +api /m);
    expect(out).toMatch(/^fail +temporal .*\n +-> Start it with/m);
  });

  it('train with Temporal down says so, exit code 1', async () => {
    const { code, err } = await gauntlet(['train', MODEL], up);
    expect(code).toBe(1);
    expect(err).toContain('Temporal does not answer (nothing listens there)');
  });

  it('predict names the line of a file that is not JSON', async () => {
    const { code, err } = await gauntlet(['predict', MODEL, '--file', '-'], up, '{"lead_time": 1}\n{"lead_time"\n');
    expect(code).toBe(1);
    expect(err).toContain('- line 2 is not a JSON object');
  });

  it('apply prints what changes, and nothing the second time', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gauntlet-apply-'));
    writeFileSync(join(folder, 'model.yaml'), CHURN);
    writeFileSync(join(folder, 'rows.sql'), 'select * from customers');
    writeFileSync(join(folder, 'customers.csv'), 'customer_id,orders\n1,2\n');
    const dry = await gauntlet(['apply', '--dry-run'], { ...up, GAUNTLET_MODELS: folder });
    const first = await gauntlet(['apply', folder], up);
    const again = await gauntlet(['apply', folder, '--json'], up);
    rmSync(folder, { recursive: true });
    expect(dry).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^churn project 1 \([0-9a-f]{12}\) would be applied/),
    });
    expect(first).toMatchObject({ code: 0, out: expect.stringMatching(/ applied\n  first project of this model\n/) });
    expect(first.out).toContain('  customers.csv: new (23 bytes)\n');
    expect(JSON.parse(again.out)).toMatchObject([{ model: 'churn', n: 1, changed: false, changes: [] }]);
  });

  it('an apply that is refused says each issue once', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gauntlet-apply-'));
    writeFileSync(join(folder, 'model.yaml'), 'apiVersion: gauntlet/v1\nname: Churn\n');
    const { code, err } = await gauntlet(['apply', folder], up);
    rmSync(folder, { recursive: true });
    expect(code).toBe(1);
    expect(err.match(/the text Churn/g)).toHaveLength(1);
    expect(err).not.toMatch(/ at .*\.ts:\d/);
  });

  it('a server that is not Gauntlet is told apart', async () => {
    const other = createServer((_, response) => response.end('<html>hello</html>'));
    const url = await new Promise<string>((done) =>
      other.listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${(other.address() as AddressInfo).port}`)),
    );
    const { code, err } = await gauntlet(['models', '--api', url]);
    other.close();
    expect(code).toBe(1);
    expect(err).toContain('Is another program listening there?');
  });
});

describe('with nothing up', () => {
  it.each([[['models']], [['status']], [['train', MODEL]]])(
    '%j is exit code 3 and says how to start the API',
    async (args) => {
      const { code, err } = await gauntlet(args, nobody);
      expect(code).toBe(3);
      expect(err).toContain('ECONNREFUSED');
      expect(err).toContain('npx gauntlet up');
    },
  );

  it('doctor looks for itself, exit code 3', async () => {
    const env = { ...nobody, TEMPORAL_ADDRESS: new URL(nobody['GAUNTLET_API']!).host };
    const { code, out } = await gauntlet(['doctor', '--json'], env);
    expect(code).toBe(3);
    expect(JSON.parse(out).checks).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ check: 'api', says: 'fail' }),
        expect.objectContaining({ check: 'bucket', says: 'ok' }),
        expect.objectContaining({ check: `model ${MODEL}` }),
        expect.objectContaining({ check: 'temporal', says: 'fail', found: expect.stringContaining('refused') }),
      ]),
    );
  });

  it('doctor looks at Temporal also where there is no bucket yet', async () => {
    const env = {
      ...nobody,
      GAUNTLET_BUCKET: `file:${join(temporary.folder, 'elsewhere')}`,
      TEMPORAL_ADDRESS: new URL(nobody['GAUNTLET_API']!).host,
    };
    const { code, out } = await gauntlet(['doctor', '--json'], env);
    expect(code).toBe(3);
    expect(JSON.parse(out).checks).toMatchObject([
      { check: 'api', says: 'fail' },
      { check: 'bucket', says: 'warn' },
      { check: 'temporal', says: 'fail' },
    ]);
  });

  it('rollback works on the bucket itself, and says so', async () => {
    const { code, out, err } = await gauntlet(['rollback', MODEL, '--reason', 'version 2 refuses groups'], nobody);
    expect(err).toContain(`rolling back on the bucket itself, ${temporary.bucket}`);
    expect({ code, out }).toEqual({
      code: 0,
      out: `rolled back ${MODEL} from version 2 to 1 (revision 3)\n`,
    });
    expect(await stores.serving.next(2)).toMatchObject({
      serving: { champion: 1 },
      because: 'version 2 refuses groups',
      cause: { workflowId: 'rollback' },
    });
  });

  it('rollback by way of an API elsewhere touches no bucket that nobody named', async () => {
    const { GAUNTLET_BUCKET: _, ...env } = nobody;
    const { code, out, err } = await gauntlet(['rollback', MODEL, '--to', '2', '--reason', 'x'], env);
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(err).toContain('nothing was rolled back. Set GAUNTLET_BUCKET');
    expect((await stores.serving.current(MODEL))?.serving.champion).toBe(1);
  });

  it('rollback does not wait for an API that hangs', { timeout: 30_000 }, async () => {
    const hangs = createServer(() => {});
    const url = await new Promise<string>((done) =>
      hangs.listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${(hangs.address() as AddressInfo).port}`)),
    );
    const args = ['rollback', MODEL, '--to', '1', '--reason', 'x', '--api', url];
    const { code, err } = await gauntlet(args, nobody);
    hangs.close();
    expect(code).toBe(0);
    expect(err).toContain('rolling back on the bucket itself');
  });

  it.each([
    [['rollback', 'hotel-cancelations', '--reason', 'x'], 'Did you mean hotel-cancellations?'],
    [['rollback', MODEL, '--to', '9', '--reason', 'x'], 'has no version 9'],
  ])('%j is refused', async (args, says) => {
    const { code, err } = await gauntlet(args, nobody);
    expect(code).toBe(1);
    expect(err).toContain(says);
  });

  it('rollback makes no bucket where there is none', async () => {
    const env = { ...nobody, GAUNTLET_BUCKET: `file:${join(temporary.folder, 'elsewhere')}` };
    const { code, err } = await gauntlet(['rollback', MODEL, '--reason', 'x'], env);
    expect(code).toBe(1);
    expect(err).toContain('There is no bucket at');
  });
});

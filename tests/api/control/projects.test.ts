import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../../api/client.ts';
import { createControl } from '../../../api/control.ts';
import { noTemporal, silent, temporaryStores } from './records.ts';

const YAML = `apiVersion: gauntlet/v1
name: churn
owner: crm
description: Will this customer leave?
task: binary
sources:
  customers: { file: data/customers.csv }
rows: { entity: customer_id }
label: { maturesAt: predicted_at + 14 days }
inputs:
  orders: { type: number }
training: { algorithm: gradientBoosting, maxDepth: 6 }
`;
const SQL = 'select * from customers';
const CSV = 'customer_id,orders\n1,2\n';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let client: ReturnType<typeof createClient>;
let folder: string;

beforeEach(async () => {
  temporary = await temporaryStores();
  folder = mkdtempSync(join(tmpdir(), 'gauntlet-project-'));
  const app = createControl({ stores: temporary.stores, temporal: noTemporal, log: silent });
  client = createClient('http://gauntlet.test', { fetch: async (input, init) => app.request(input, init) });
});
afterEach(() => {
  temporary.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** As the command line sends it: text as bytes, data as a file on disk. */
function files(o: { yaml?: string; sql?: string; more?: Record<string, string> } = {}) {
  const data = join(folder, 'customers.csv');
  writeFileSync(data, CSV);
  const map = new Map<string, Uint8Array | { file: string }>([
    ['model.yaml', Buffer.from(o.yaml ?? YAML)],
    ['rows.sql', Buffer.from(o.sql ?? SQL)],
    ['data/customers.csv', { file: data }],
  ]);
  for (const [path, text] of Object.entries(o.more ?? {})) map.set(path, Buffer.from(text));
  return map;
}
async function keys(): Promise<string[]> {
  const all = [];
  for await (const { key } of temporary.stores.bucket.list('')) all.push(key);
  return all;
}

describe('applying a project', () => {
  it('stores files by hash and a record that names them', async () => {
    const applied = await client.apply(files(), { by: 'ana' });
    expect(applied).toMatchObject({ model: 'churn', n: 1, changed: true, dryRun: false });
    expect(applied.changes).toEqual([
      'first project of this model',
      'data/customers.csv: new (23 bytes)',
      `model.yaml: new (${YAML.length} bytes)`,
      `rows.sql: new (${SQL.length} bytes)`,
    ]);
    const project = (await temporary.stores.projects.newest('churn'))!;
    expect(project).toMatchObject({ n: 1, hash: applied.hash, by: 'ana' });
    const csv = await temporary.stores.objects.read(project.files['data/customers.csv']!.sha256);
    expect(Buffer.from(csv).toString()).toBe(CSV);
  });

  it('the same again changes nothing', async () => {
    const first = await client.apply(files(), {});
    const before = await keys();
    expect(await client.apply(files(), {})).toMatchObject({ n: 1, hash: first.hash, changed: false, changes: [] });
    expect(await keys()).toEqual(before);
  });

  it('an edit is a new number, and its lines say what changed', async () => {
    await client.apply(files(), {});
    const applied = await client.apply(
      files({ yaml: YAML.replace('maxDepth: 6', 'maxDepth: 8, l2: 2'), sql: `${SQL} limit 9` }),
      {},
    );
    expect(applied.n).toBe(2);
    expect(applied.changes).toEqual(['training.maxDepth: 6 -> 8', 'training.l2: 1 -> 2', 'rows.sql changed']);
  });

  it('going back to an older project is a new number with the old hash', async () => {
    const first = await client.apply(files(), {});
    await client.apply(files({ sql: 'select 1' }), {});
    expect(await client.apply(files(), {})).toMatchObject({ n: 3, hash: first.hash, changed: true });
  });

  it('a comment in model.yaml is a change of wording only', async () => {
    await client.apply(files(), {});
    const { changes } = await client.apply(files({ yaml: `# ours\n${YAML}` }), {});
    expect(changes).toEqual(['model.yaml: only its wording, no value changed']);
  });

  it('a dry run says the same and writes nothing', async () => {
    expect(await client.apply(files(), { dryRun: true })).toMatchObject({ n: 1, changed: true, dryRun: true });
    expect(await keys()).toEqual([]);
  });
});

describe('a project that is wrong is refused, and the bucket stays as it was', () => {
  const refused = async (map: Map<string, Uint8Array | { file: string }>) => {
    const error: Error & { status: number; issues: unknown[] } = await client.apply(map, {}).then(
      () => expect.unreachable('it was applied'),
      (reason) => reason,
    );
    expect(error.status).toBe(422);
    expect(await keys()).toEqual([]);
    return error;
  };

  it('without model.yaml', async () => {
    const map = files();
    map.delete('model.yaml');
    expect((await refused(map)).message).toContain('No part is named model.yaml');
  });

  it('with a file that model.yaml names and that did not come', async () => {
    const map = files({ more: { 'data/customer.csv': CSV } });
    map.delete('data/customers.csv');
    expect((await refused(map)).issues).toMatchObject([
      {
        at: 'data/customers.csv',
        found: 'nothing',
        expected: expect.stringContaining('Did you mean data/customer.csv?'),
      },
      { at: 'data/customer.csv', found: 'a file that model.yaml does not name' },
    ]);
  });

  it('with a path that leaves the folder', async () => {
    expect((await refused(files({ more: { '../../etc/passwd': 'x' } }))).issues).toMatchObject([
      { at: '../../etc/passwd' },
    ]);
  });

  it('with an expression that names no input', async () => {
    const error = await refused(files({ yaml: YAML.replace('predicted_at + 14 days', 'order_date + 14 days') }));
    expect(error.issues).toMatchObject([{ at: expect.stringContaining('maturesAt') }]);
  });

  it('with a value of the wrong type, naming the line', async () => {
    const error = await refused(files({ yaml: YAML.replace('maxDepth: 6', 'maxDepth: deep') }));
    expect(`${error.message} ${JSON.stringify(error.issues)}`).toMatch(/maxDepth/);
  });
});

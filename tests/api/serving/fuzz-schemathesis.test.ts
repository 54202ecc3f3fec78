import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GraphSpec } from '../../../schemas/index.ts';
import { installSchemathesis, runSchemathesis } from '../../servers/schemathesis.ts';
import { bookings, constant, flowers, register, serve, temporaryStores, type Made } from './fixture.ts';
import { serveOverHttp, type OverHttp } from './over-http.ts';

const installed = await installSchemathesis();
const MINUTES = 60_000;

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let http: OverHttp;
let scratch: string;

beforeAll(async () => {
  temporary = await temporaryStores();
  const { stores } = temporary;
  const terms = { unitPii: false, entityPii: false, allowEventTime: true };
  // JSON Schema has no word for the first date that is allowed, so every date is; and none for a number that a model
  // overflows at, so every model has its limits.
  const limits = { type: 'number', min: -1e6, max: 1e6 };
  await register(stores, 'bookings', withInputs(bookings, { arrival_date: { type: 'date' } }), { serving: terms });
  await register(stores, 'flowers', withInputs(flowers, { petal: limits }));
  const byVisitor = { serving: { ...terms, unit: 'visitor' } };
  await register(stores, 'prices', withInputs(constant(1), { x: limits }), byVisitor);
  for (const model of ['bookings', 'flowers', 'prices']) await serve(stores, model, { champion: 1 });
  http = await serveOverHttp(stores, { defaultModel: 'bookings' });
  scratch = await mkdtemp(join(tmpdir(), 'gauntlet-schemathesis-'));
});
afterAll(async () => {
  await http.stop();
  await temporary.remove();
  await rm(scratch, { recursive: true, force: true });
});

const withInputs = (made: Made, changed: object): Made => ({
  ...made,
  graph: GraphSpec.parse({ ...made.graph, inputs: { ...made.graph.inputs, ...changed } }),
});

interface Document {
  paths: Record<string, { post?: { requestBody: { content: Record<string, { schema: object; examples?: object }> } } }>;
}

/** Bulk feedback as schemathesis can make it: a list, of which its hook makes lines. */
function withLines(document: Document): Document {
  for (const { post } of Object.values(document.paths)) {
    const { 'application/x-ndjson': lines, 'application/json': one } = post?.requestBody.content ?? {};
    if (!lines) continue;
    lines.schema = { type: 'array', items: one!.schema, minItems: 1 };
    delete lines.examples;
  }
  return document;
}

/** What a rule of ours says that JSON Schema cannot is no failure; nor is a deadline that has passed, which is a 504. */
const CONFIG = `
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]

# A label may not supersede itself, and of one body each has an id of its own.
[[operations]]
include-tag = "feedback"
checks.positive_data_acceptance.enabled = false
`;

it.skipIf(!installed.ok)(
  'schemathesis finds nothing that /openapi.json does not say: no server error, no valid request refused, no invalid one taken',
  async () => {
    const document = withLines((await (await fetch(`${http.url}/openapi.json`)).json()) as Document);
    const { code, said } = await runSchemathesis({
      folder: installed.ok ? installed.folder : '',
      scratch,
      document,
      url: http.url,
      config: CONFIG,
      maxExamples: 50,
      seed: 11,
      limitMs: 8 * MINUTES,
    });
    expect(code, said).toBe(0);
    const faults = [...http.serving.lines, ...http.lines].filter(({ level }) => Number(level) > 40);
    expect(faults).toEqual([]);
    console.info(said.split('\n').slice(-12).join('\n'));
  },
  9 * MINUTES,
);

import { createHash } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCloseHour } from '../../../activities/housekeeping/close-hour.ts';
import { createClient, type ApiProblem } from '../../../api/client.ts';
import { createControl, type ControlOptions } from '../../../api/control.ts';
import type { Why, WhyStep } from '../../../api/control/why/shapes.ts';
import { uuidv7 } from '../../../api/request-id.ts';
import { projectKey, revisionKey, runKey, versionKey, type Stores } from '../../../bucket/index.ts';
import { piiHasher } from '../../../onnx/index.ts';
import type { ModelVersion, Serving } from '../../../schemas/index.ts';
import { upload } from '../../activities/housekeeping/log-bucket.ts';
import { answer, DAY_MS, HOUR_MS, label, shadow } from '../../sql/log-records.ts';
import { registerOdd, sometimesNaN, throws } from '../serving/challenger/odd-graphs.ts';
import {
  bookings,
  constant,
  post,
  register,
  serve,
  startServing,
  temporaryStores,
  until,
  type Made,
} from '../serving/fixture.ts';
import { fillLooks } from './looks.ts';
import { noTemporal, run, SHA, silent, spec } from './records.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let stores: Stores;
let serving: Awaited<ReturnType<typeof startServing>> | undefined;

beforeEach(async () => {
  temporary = await temporaryStores();
  stores = temporary.stores;
});
afterEach(async () => {
  await serving?.stop();
  serving = undefined;
  await temporary.remove();
});

const LATER = '2100-01-01T00:00:00.000Z';
const BOOKING = { lead_time: 200, adr: 90, hotel: 'City Hotel', is_repeated_guest: false, arrival_date: '2099-03-04' };
const CSV = 'booking_id,lead_time\nB-1,200\n';

/** Whoever asks by the API, on the bucket that the serving app writes to. */
function asking(o: Partial<ControlOptions> = {}): ReturnType<typeof createClient> {
  const flushLog = () => serving!.predictionLog.flush();
  const app = createControl({ stores, temporal: noTemporal, log: silent, ...(serving && { flushLog }), ...o });
  return createClient('http://gauntlet.test', { fetch: async (input, init) => app.request(input, init) });
}

/** What a training leaves behind: a project with a file, its dataset, a run, and a version of it. */
async function trained(
  model: string,
  made: Made,
  changes: Partial<ModelVersion> = {},
  look?: string,
): Promise<ModelVersion> {
  const { sha256, bytes } = await stores.objects.put(Buffer.from(CSV));
  const file = { sha256, bytes };
  const project =
    (await stores.projects.newest(model)) ??
    (await stores.projects.create({
      model,
      hash: SHA,
      files: { 'model.yaml': file, 'rows.sql': file, 'bookings.csv': file },
      spec: spec(model, { label: { window: '30 days' } }),
      appliedAt: '2026-10-31T00:00:00Z',
      by: 'ana',
    }));
  await stores.datasets.create({
    name: 'bookings',
    hash: sha256,
    parts: [{ sha256, bytes, rows: 1, format: 'csv', gzip: false }],
    rows: 1,
    bytes,
    columns: [],
    source: 'bookings.csv',
    ingestedAt: '2026-11-01T00:00:00Z',
  });
  const ref = { n: project.n, hash: project.hash };
  const n = ((await stores.versions.numbers(model)).at(-1) ?? 0) + 1;
  const id = `20261101T00000${n}Z-1`;
  await stores.runs.create(
    run(id, {
      model,
      version: n,
      project: ref,
      look,
      datasets: [{ name: 'bookings', hash: sha256, rows: 1 }],
      expectations: [
        { expectation: 'unique(booking_id)', passed: true, failed: 0, rows: 1, because: 'it is', examples: [] },
      ],
      build: { commit: 'c0ffee0123456789', dirty: true, node: 'v20', packages: {} },
    }),
  );
  return register(stores, model, made, { run: id, project: ref, ...changes });
}

async function begin(more: Partial<Serving> = {}, changes: Partial<ModelVersion> = {}): Promise<void> {
  await trained('bookings', bookings, changes);
  await trained('bookings', bookings, changes);
  await serve(stores, 'bookings', { champion: 1, ...more });
  serving = await startServing(stores, { pii: piiHasher('a secret of text, 30 bytes long') });
  await until(() => serving!.status().challengers.every(({ loaded }) => loaded), 30_000);
}

async function ask(body: object, headers: Record<string, string> = {}, model = 'bookings'): Promise<string> {
  const response = await post(serving!.app, `/v1/models/${model}/predict`, body, headers);
  expect(response.status).toBe(200);
  return response.headers.get('x-request-id')!;
}

async function tell(body: object): Promise<string> {
  const response = await post(serving!.app, '/v1/models/bookings/feedback', body);
  expect(response.status).toBe(202);
  return ((await response.json()) as { labelIds: string[] }).labelIds[0]!;
}

type StepOf<K extends WhyStep['step']> = Extract<WhyStep, { step: K }>;
const all = <K extends WhyStep['step']>({ steps }: Why, step: K): StepOf<K>[] =>
  steps.filter((one): one is StepOf<K> => one.step === step);
const only = <K extends WhyStep['step']>(why: Why, step: K): StepOf<K> => {
  const [found, ...more] = all(why, step);
  expect(more).toEqual([]);
  return found!;
};
const refused = (asked: Promise<unknown>) =>
  asked.then(
    () => {
      throw new Error('it was answered');
    },
    (error: ApiProblem) => error.problem,
  );

/** Compacts whatever hour anything is in. */
async function compact(): Promise<void> {
  await serving?.predictionLog.flush();
  const context = { stores, home: temporary.folder, build: { commit: 'x', dirty: false, node: 'v20', packages: {} } };
  for (const { hour } of await stores.logHours.list())
    await createCloseHour(context).closeHour(hour, new Date().toISOString());
}

describe('an answer', () => {
  it('leads over revision, version and run to the file, and every key that is named is there', async () => {
    await begin();
    const id = await ask({ ...BOOKING, booking_id: 'B-1' });
    const why = await asking().why(id);
    expect(why.steps.map(({ step }) => step)).toEqual([
      'answer',
      'route',
      'revision',
      'version',
      'run',
      'dataset',
      'project',
      'labels',
    ]);
    expect(why).toMatchObject({ requestId: id, model: 'bookings', row: 0, rows: 1, others: [] });
    expect(why.says).toMatch(
      /^At 20.*Z version 1 of bookings said true \(score 0\.\d+\); its outcome is not known yet\.$/,
    );
    const keys = why.steps.flatMap(({ key }) => key ?? []);
    expect(why.steps.filter(({ key }) => key === undefined).map(({ step }) => step)).toEqual(['route', 'labels']);
    for (const key of keys) expect(await stores.bucket.read(key), key).toBeDefined();
    expect(why.steps.filter(({ gone }) => gone !== undefined)).toEqual([]);
    expect(only(why, 'answer')).toMatchObject({
      record: { requestId: id, inputs: BOOKING, entity: 'B-1' },
      personal: [],
    });
    expect(only(why, 'answer').says).toMatch(
      /^Asked about B-1 with lead_time 200, adr 90, hotel "City Hotel".* it said true/,
    );
    expect(only(why, 'route')).toMatchObject({ assigned: 'champion', reason: 'champion', propensity: 1, unit: id });
    expect(only(why, 'revision')).toMatchObject({
      n: 1,
      record: { by: 'test', because: 'a test says so', cause: { step: 'serve' } },
    });
    const { onnx } = (await stores.versions.read('bookings', 1))!;
    expect(only(why, 'version')).toMatchObject({ n: 1, record: { run: '20261101T000001Z-1', onnx } });
    expect(only(why, 'run').says).toBe(
      'Run 20261101T000001Z-1 trained it, ended 2026-11-01T00:05:00Z: by code c0ffee012345 with changes that are in no commit, 1 of 1 expectations passed, logLoss 0.481 on the test rows (linear baseline 0.497).',
    );
    const dataset = only(why, 'dataset');
    expect(dataset).toMatchObject({ name: 'bookings', record: { source: 'bookings.csv', rows: 1 } });
    expect(Buffer.from((await stores.bucket.read(dataset.objects[0]!))!).toString()).toBe(CSV);
    expect(only(why, 'project')).toMatchObject({ n: 1, record: { owner: 'revenue', by: 'ana' } });
    expect(only(why, 'project').says).toContain('model.yaml, rows.sql, bookings.csv');
  });

  it('of a canary says that its unit fell to it, how likely that was, and what has become of the model since', async () => {
    await begin({ canary: { version: 2, weight: 0.999, salt: 's', until: LATER } });
    const id = await ask(BOOKING);
    await serve(stores, 'bookings', { champion: 2, previous: 1 });
    const why = await asking().why(id);
    expect(only(why, 'route')).toMatchObject({
      assigned: 'canary',
      assignedVersion: 2,
      version: 2,
      reason: 'canary',
      propensity: 0.999,
      says: `Unit ${id} fell to the canary, version 2, as 99.9 % of the units do.`,
    });
    expect(only(why, 'revision').says).toContain(
      `version 1 as the champion, version 2 as a canary with 99.9 % until ${LATER}`,
    );
    expect(only(why, 'run').id).toBe('20261101T000002Z-1');
  });

  it('of the champion for a canary that failed says who failed and how', async () => {
    const odd = throws();
    const terms = { unitPii: false, entityPii: false, allowEventTime: false, deadlineMs: 2_000 };
    await registerOdd(stores, 'odd', { ...odd, bytes: sometimesNaN(1e-15).bytes }, { serving: terms });
    await registerOdd(stores, 'odd', odd);
    await serve(stores, 'odd', { champion: 1, canary: { version: 2, weight: 1, salt: 's', until: LATER } });
    serving = await startServing(stores);
    await until(() => serving!.status().challengers.every(({ loaded }) => loaded), 30_000);
    const why = await asking().why(await ask({ x: 1.5, throw: 1 }, {}, 'odd'));
    expect(only(why, 'answer').record).toMatchObject({ version: 1, output: { prediction: 1.5 } });
    expect(only(why, 'route')).toMatchObject({ assigned: 'canary', version: 1, failed: { version: 2, why: 'threw' } });
    expect(only(why, 'route').says).toMatch(/; it failed, so version 1 answered\. Version 2 failed: /);
  });

  it('that was asked for by name says so', async () => {
    await begin();
    await serve(stores, 'bookings', { champion: 2, previous: 1 });
    await until(() => serving!.status().models[0]?.serving?.version === 2);
    const id = await ask(BOOKING, { 'x-gauntlet-force-version': '1' });
    expect(only(await asking().why(id), 'route').says).toBe('Version 1 was asked for by name, outside the split.');
  });

  it('shows what shadows said, and which is due and said nothing', async () => {
    await begin({ shadows: [{ version: 2, until: LATER }] });
    const id = await ask(BOOKING);
    let why = await asking().why(id);
    for (const end = Date.now() + 20_000; only(why, 'shadow').gone !== undefined && Date.now() < end;)
      why = await asking().why(id);
    expect(only(why, 'shadow')).toMatchObject({ version: 2, record: { requestId: id, output: { prediction: true } } });
    expect(only(why, 'shadow').says).toMatch(/^Version 2, a shadow, said true \(score 0\.\d+\)/);

    await upload(stores.bucket, Date.now(), [answer('no-score', { model: 'bookings', answeredMs: Date.now() })]);
    expect(only(await asking().why('no-score'), 'shadow')).toMatchObject({
      version: 2,
      gone: expect.stringContaining('has no score of row 0'),
    });
  });

  it('of a batch is one of its rows', async () => {
    await begin();
    const rows = [BOOKING, { ...BOOKING, lead_time: 1, booking_id: 'B-2' }, BOOKING];
    const id = await ask({ rows }, { 'x-request-id': 'my-batch' });
    expect(id).toBe('my-batch');
    const why = await asking().why(id, { row: 1 });
    expect(why).toMatchObject({ row: 1, rows: 3, says: expect.stringContaining(' to row 1, one of 3;') });
    expect(only(why, 'answer').record).toMatchObject({
      row: 1,
      inputs: { lead_time: 1 },
      output: { prediction: false },
    });
    expect(await refused(asking().why(id, { row: 3 }))).toMatchObject({
      status: 404,
      detail: 'The request my-batch has rows 0 to 2 in the prediction log, and no row 3.',
    });
  });

  it('keeps of what is personal only a hash, and says of what', async () => {
    const inputs = {
      ...bookings.graph.inputs,
      agent: { ...bookings.graph.inputs['agent']!, pii: true },
    } as ModelVersion['inputs'];
    const pii = piiHasher('a secret of text, 30 bytes long')!;
    const terms = { unitPii: false, entityPii: true, allowEventTime: false, piiKey: pii.fingerprint };
    const warmUpRows = bookings.warmUpRows.map((one) => ({ ...one, agent: pii.hash('9') }));
    await begin({}, { inputs, warmUpRows, serving: terms });
    const id = await ask({ ...BOOKING, agent: 'Mrs Smith', booking_id: 'B-secret' });
    const why = await asking().why(id);
    expect(only(why, 'answer')).toMatchObject({ personal: ['agent'], record: { entity: pii.hash('B-secret') } });
    expect(only(why, 'answer').says).toContain('(personal, so only a hash is kept: agent)');
    expect(JSON.stringify(why)).not.toMatch(/Smith|B-secret/);
  });

  it('is the same whether its hour is compacted or not, and labels that come later are there', async () => {
    await begin();
    const id = await ask({ ...BOOKING, booking_id: 'B-1' });
    const raw = await asking().why(id);
    await compact();
    const compacted = await asking().why(id);
    expect(only(compacted, 'answer').key).toMatch(/^log\/rows\/bookings\/.*\.parquet$/);
    const without = ({ steps, ...why }: Why) => ({ ...why, steps: steps.map((step) => ({ ...step, key: undefined })) });
    expect(without(compacted)).toEqual(without(raw));

    await tell({ requestId: id, value: false });
    await serving!.predictionLog.flush();
    expect(only(await asking().why(id), 'labels')).toMatchObject({ state: 'labelled', label: false });
    await compact();
    expect(only(await asking().why(id), 'labels')).toMatchObject({ state: 'labelled', label: false });
  });
});

describe('the looks that a revision rests on', () => {
  const looksOf = (why: Why) => all(why, 'look');

  async function rested(cites: 'approval' | 'canary' | 'gate'): Promise<Why> {
    const looks = await fillLooks(stores, 'bookings');
    await trained('bookings', bookings, {}, looks.gate.key);
    const cause = { workflowId: 'rollout-bookings', runId: 'a-rollout', step: 'finish' };
    const serving = { champion: 1, shadows: [] };
    const said = { by: 'ana', because: 'approved', look: looks[cites].key, cause };
    await stores.serving.append({ model: 'bookings', was: 0, serving, ...said });
    await upload(stores.bucket, Date.now(), [answer('asked', { model: 'bookings', answeredMs: Date.now() })]);
    return asking().why('asked');
  }

  it('of an approval are it, the look approved, the plan of the trial and the gate of the run', async () => {
    const why = await rested('approval');
    expect(why.steps.map(({ step }) => step).slice(2, 8)).toEqual([
      'revision',
      'look',
      'look',
      'look',
      'look',
      'version',
    ]);
    const looks = looksOf(why);
    expect(looks.map(({ kind }) => kind)).toEqual(['approval', 'shadow', 'plan', 'gate']);
    expect(looks[0]!.says).toMatch(
      /^The approval of the look looks\/bookings\/.*-shadow\.json, at .*: approved by ana \(verified, by api, .*\): slices look right: pass, because /,
    );
    expect(looks[0]!.votes).toMatchObject([{ by: 'ana', verified: true }]);
    expect(looks[1]!.says).toMatch(/^The trial of version 2 against version 1, looked at .*: pass, because /);
    expect(looks[2]!).toMatchObject({ key: expect.stringContaining('20261111T'), verdict: { says: 'pass' } });
    expect(looks[3]!.says).toMatch(/^The gate of its training, at .*: pass, because .*, judged by code c0ffee012345/);
    for (const { key } of looks) expect(await stores.bucket.read(key!), key).toBeDefined();
  });

  it('of a later stage lead over it to the approval before', async () => {
    const looks = looksOf(await rested('canary'));
    expect(looks.map(({ kind }) => kind)).toEqual(['canary', 'approval', 'shadow', 'plan', 'gate']);
    expect(looks[0]!.says).toMatch(/^The canary of version 2 with 5 %, looked at /);
  });

  it('of a version that served at once are its gate, which stands once', async () => {
    expect(looksOf(await rested('gate')).map(({ kind }) => kind)).toEqual(['gate']);
  });

  it('that are damaged or gone are said so, and the walk goes on', async () => {
    await rested('approval');
    const looks = await fillLooks(stores, 'bookings');
    await stores.bucket.remove(looks.shadow.key);
    await writeFile(join(temporary.folder, 'bucket', looks.approval.key), '{"kind": 3');
    const found = looksOf(await asking().why('asked'));
    expect(found.map(({ kind, gone }) => [kind, gone !== undefined])).toEqual([
      ['approval', true],
      ['gate', false],
    ]);
  });
});

describe('what came true', () => {
  it('is the newest label, and those before it are there', async () => {
    await begin();
    const id = await ask(BOOKING);
    const first = await tell({ requestId: id, value: false, labelId: 'first' });
    const labelId = await tell({ requestId: id, value: true, supersedes: first });
    await serving!.predictionLog.flush();
    const why = await asking().why(id);
    expect(only(why, 'labels')).toMatchObject({ state: 'labelled', label: true, labelId });
    expect(only(why, 'labels').records.map(({ labelId, value }) => [labelId, value])).toEqual([
      ['first', false],
      [labelId, true],
    ]);
    expect(only(why, 'labels').says).toMatch(
      /^The outcome was true \(known at .*; label .* by feedback; 1 other label does not count/,
    );
    expect(why.says).toMatch(/; the outcome was true\.$/);
  });

  it('is taken back with the label', async () => {
    await begin();
    const id = await ask(BOOKING);
    const first = await tell({ requestId: id, value: false });
    await tell({ withdrawn: true, supersedes: first });
    await serving!.predictionLog.flush();
    const labels = only(await asking().why(id), 'labels');
    expect(labels).toMatchObject({ state: 'pending', label: null });
    expect(labels.records).toHaveLength(2);
  });

  it('is found weeks after the answer, by the entity', async () => {
    const nowMs = Date.now();
    const about = { model: 'bookings', entity: 'B-1' };
    await trained('bookings', bookings);
    await serve(stores, 'bookings', { champion: 1 });
    const askedMs = nowMs - 20 * DAY_MS;
    const times = { eventMs: askedMs, answeredMs: askedMs, maturesMs: nowMs + DAY_MS };
    await upload(stores.bucket, askedMs, [
      answer('old', { ...about, ...times }),
      answer('far', { ...times, model: 'bookings' }),
    ]);
    await upload(stores.bucket, nowMs - DAY_MS, [
      label('in', { ...about, happenedMs: nowMs - 2 * DAY_MS, knownMs: nowMs - DAY_MS, value: true }),
      label('before', { ...about, happenedMs: askedMs - DAY_MS, knownMs: nowMs - DAY_MS, value: false }),
    ]);
    await compact();
    const labels = only(await asking().why('old'), 'labels');
    expect(labels).toMatchObject({ state: 'labelled', label: true, labelId: 'in' });
    expect(labels.records).toHaveLength(1);
    expect(only(await asking().why('far'), 'labels')).toMatchObject({ state: 'pending', records: [] });
  });

  it('of what happened before it was asked is found too', async () => {
    const nowMs = Date.now();
    await trained('bookings', bookings);
    const about = { model: 'bookings', entity: 'B-1' };
    const eventMs = Date.parse('2016-07-01T12:00:00Z');
    await upload(stores.bucket, nowMs - 5 * DAY_MS, [
      label('imported', { ...about, happenedMs: eventMs + DAY_MS, knownMs: eventMs + DAY_MS }),
    ]);
    await compact();
    await upload(stores.bucket, nowMs, [
      answer('replayed', { ...about, eventMs, eventBy: 'client', answeredMs: nowMs }),
    ]);
    const why = await asking().why('replayed');
    expect(only(why, 'labels')).toMatchObject({ state: 'labelled', label: true });
    expect(only(why, 'answer').says).toContain('as of 2016-07-01T12:00:00.000Z');
  });
});

describe('an id', () => {
  it('is found before its answer was uploaded, where this process gave it', async () => {
    await begin();
    const [ours, theirs] = [await ask(BOOKING), await ask(BOOKING, { 'x-request-id': 'theirs' })];
    expect(await refused(asking({ flushLog: undefined }).why(theirs))).toMatchObject({ status: 404 });
    expect((await asking().why(theirs)).requestId).toBe('theirs');
    expect((await asking({ flushLog: undefined }).why(ours)).requestId).toBe(ours);
  });

  it('is not waited for longer than five seconds', async () => {
    const from = performance.now();
    const problem = await refused(asking({ flushLog: () => new Promise(() => {}) }).why('nobody'));
    expect(performance.now() - from).toBeLessThan(9_000);
    expect(problem.detail).toContain('could not be brought there in 5 s');
    expect(
      (await refused(asking({ flushLog: async () => Promise.reject(new Error('no bucket')) }).why('nobody'))).detail,
    ).toContain('what this process has not uploaded yet is not there (no bucket)');
  });

  it('of ours says its time: hours from then on are looked through, though a spool came days later', async () => {
    const nowMs = Date.now();
    const madeMs = nowMs - 200 * DAY_MS;
    const [id, before] = [uuidv7(madeMs), uuidv7(madeMs)];
    const times = { model: 'bookings', eventMs: madeMs, answeredMs: madeMs };
    await upload(stores.bucket, madeMs - 3 * HOUR_MS, [answer(before, times)]);
    await upload(stores.bucket, madeMs + 4 * DAY_MS, [answer(id, times)]);
    for (let hour = 0; hour < 10; hour++)
      await upload(stores.bucket, madeMs + hour * HOUR_MS, [answer(`r${hour}`, times)], 'b2');
    expect((await asking().why(id)).says).toContain(new Date(madeMs).toISOString());
    expect(await refused(asking().why(before))).toMatchObject({
      status: 404,
      type: 'urn:gauntlet:no-such-request',
      detail: expect.stringMatching(
        /^No answer with the request id .* Looked in 11 hours of uploads, from .*, which is when the id was made, for 31 days\.$/,
      ),
    });
  });

  it("of a client's own is looked for in the last month, or around the time that is given", async () => {
    const nowMs = Date.now();
    const at = (ms: number) => ({ model: 'bookings', eventMs: ms, answeredMs: ms });
    const [recent, old] = [nowMs - 30 * DAY_MS, nowMs - 40 * DAY_MS];
    await upload(stores.bucket, recent, [answer('recent', at(recent))]);
    await upload(stores.bucket, old, [answer('old', at(old)), answer('again', at(old))]);
    await upload(stores.bucket, old + 12 * HOUR_MS, [answer('again', at(old + 12 * HOUR_MS))]);
    expect((await asking().why('recent')).requestId).toBe('recent');
    const problem = await refused(asking().why('old'));
    expect(problem.detail).toContain('Looked in 1 hour of uploads, backwards from now to ');
    expect(problem.next).toContain('--around');
    const day = new Date(old).toISOString().slice(0, 10);
    expect((await asking().why('old', { around: day })).requestId).toBe('old');
    const around = new Date(old).toISOString();
    expect(only(await asking().why('again', { around }), 'answer').record.answeredMs).toBe(old);
    expect((await refused(asking().why('old', { around: '2020-01-01' }))).detail).toContain(
      'Looked in 0 hours of uploads, from 2019-12-31T00:00:00.000Z to 2020-01-02T00:00:00.000Z.',
    );
  });

  it('that was sent again is the first answer, and says that it came twice', async () => {
    await begin();
    await ask(BOOKING, { 'x-request-id': 'retried' });
    await ask({ ...BOOKING, lead_time: 1 }, { 'x-request-id': 'retried' });
    const { record, times, says } = only(await asking().why('retried'), 'answer');
    expect({ record, times }).toMatchObject({ record: { inputs: { lead_time: 200 } }, times: 2 });
    expect(says).toMatch(/ The id came 2 times, and the first counts\.$/);
  });

  it('that two models answered is told, and either can be asked about', async () => {
    const nowMs = Date.now();
    const at = { eventMs: nowMs, answeredMs: nowMs };
    await upload(stores.bucket, nowMs, [
      answer('same', { ...at, model: 'bookings' }),
      answer('same', { ...at, model: 'churn' }),
    ]);
    expect(await asking().why('same')).toMatchObject({ model: 'bookings', others: ['churn'] });
    expect(await asking().why('same', { model: 'churn' })).toMatchObject({ model: 'churn', others: ['bookings'] });
    expect((await refused(asking().why('same', { model: 'fraud' }))).detail).toContain(
      'No answer of fraud with the request id same',
    );
  });

  it('that only labels and shadows have is told so; what is no id is refused', async () => {
    await upload(stores.bucket, Date.now(), [label('l', { requestId: 'lonely' }), shadow('lonely')]);
    expect((await refused(asking().why('lonely'))).detail).toContain(
      'A label of it is there, and waits for its answer.',
    );
    expect(await refused(asking().why('no id'))).toMatchObject({ status: 422, issues: [{ at: 'requestId' }] });
    expect(await refused(asking().why('r', { row: -1 }))).toMatchObject({ status: 422, issues: [{ at: 'row' }] });
  });

  it('leaves nothing on the disk of who looks it up', async () => {
    await upload(stores.bucket, Date.now(), [answer('r')]);
    const home = temporary.folder;
    await asking({ home }).why('r');
    await refused(asking({ home }).why('nobody'));
    expect((await readdir(home)).filter((name) => name.startsWith('scratch-'))).toEqual([]);
  });
});

describe('a link that is damaged or gone', () => {
  const BUCKET = () => join(temporary.folder, 'bucket');

  it.each([
    ['revision', () => revisionKey(1)],
    ['version', () => versionKey('bookings', 1)],
    ['run', () => runKey('bookings', '20261101T000001Z-1')],
    ['project', () => projectKey('bookings', 1)],
    ['dataset', () => `datasets/bookings/${createHash('sha256').update(CSV).digest('hex')}.json`],
  ] as const)('%s is said so, and the walk goes on', async (step, key) => {
    await begin();
    const id = await ask(BOOKING);
    await tell({ requestId: id, value: true });
    const whole = await asking().why(id);
    for (const harm of ['damaged', 'gone']) {
      if (harm === 'damaged') await writeFile(join(BUCKET(), key()), '{"half": ');
      else await stores.bucket.remove(key());
      const why = await asking().why(id);
      const { gone, record } = only(why, step);
      expect({ gone, record }).toEqual({
        gone: expect.stringContaining(
          harm === 'damaged' ? `${key()} in the bucket cannot be read` : `${key()} is not in the bucket`,
        ),
        record: undefined,
      });
      expect(why.steps.map((one) => one.step)).toEqual(whole.steps.map((one) => one.step));
      expect(why.steps.filter((one) => one.gone !== undefined)).toHaveLength(1);
      expect(only(why, 'labels')).toMatchObject({ state: 'labelled', label: true });
    }
  });

  it('all at once leave the answer and what came true', async () => {
    await begin();
    const id = await ask(BOOKING);
    await tell({ requestId: id, value: true });
    const { objects } = only(await asking().why(id), 'dataset');
    for (const key of [
      revisionKey(1),
      versionKey('bookings', 1),
      runKey('bookings', '20261101T000001Z-1'),
      projectKey('bookings', 1),
      ...objects,
    ])
      await stores.bucket.remove(key);
    const why = await asking().why(id);
    expect(why.steps.filter(({ gone }) => gone === undefined).map(({ step }) => step)).toEqual([
      'answer',
      'route',
      'labels',
    ]);
    expect(only(why, 'labels')).toMatchObject({
      label: true,
      says: expect.stringContaining('without the terms of its project'),
    });
  });

  it('bytes of a source are missed, and a project of another hash is not taken for it', async () => {
    await begin();
    const id = await ask(BOOKING);
    const { objects } = only(await asking().why(id), 'dataset');
    await stores.bucket.remove(objects[0]!);
    expect(only(await asking().why(id), 'dataset').gone).toContain(objects[0]);
    const project = (await stores.projects.at('bookings', 1))!;
    await stores.bucket.remove(projectKey('bookings', 1));
    await stores.projects.create({ ...project, hash: 'b'.repeat(64) });
    expect(only(await asking().why(id), 'project').gone).toContain('its hash is another');
  });

  it('an hour of the log is named: where the answer may be, and where labels may be', async () => {
    const nowMs = Date.now();
    await trained('bookings', bookings);
    const about = { model: 'bookings', answeredMs: nowMs - 5 * HOUR_MS, eventMs: nowMs - 5 * HOUR_MS };
    await upload(stores.bucket, nowMs - 5 * HOUR_MS, [answer('r', about)]);
    await upload(stores.bucket, nowMs - 2 * HOUR_MS, [
      label('l', { model: 'bookings', requestId: 'r', knownMs: nowMs - 2 * HOUR_MS }),
    ]);
    await compact();
    const keys: string[] = [];
    for await (const { key } of stores.bucket.list('log/rows/bookings/')) keys.push(key);
    await writeFile(join(BUCKET(), keys[1]!), 'not Parquet');
    expect(only(await asking().why('r'), 'labels')).toMatchObject({
      state: 'pending',
      gone: expect.stringContaining(`${keys[1]} in the bucket is damaged`),
    });
    await writeFile(join(BUCKET(), keys[0]!), 'not Parquet');
    expect((await refused(asking().why('r'))).detail).toContain(
      `1 of them could not be read: ${keys[0]} in the bucket is damaged`,
    );
  });
});

it('of several questions at once each has its answer', async () => {
  await trained('odd', constant(1));
  await serve(stores, 'odd', { champion: 1 });
  serving = await startServing(stores);
  const ids = await Promise.all(Array.from({ length: 6 }, (_, i) => ask({ x: i }, {}, 'odd')));
  const client = asking();
  const asked = await Promise.allSettled([...ids.map((id) => client.why(id)), client.why('nobody')]);
  expect(asked.map((one) => (one.status === 'fulfilled' ? one.value.requestId : 'refused'))).toEqual([
    ...ids,
    'refused',
  ]);
});

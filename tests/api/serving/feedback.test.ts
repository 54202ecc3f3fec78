import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import { problemOnError } from '../../../api/problem.ts';
import { feedbackOpenApi } from '../../../api/serving/feedback-openapi.ts';
import { feedbackRoutes, type FeedbackAnswer, type FeedbackOptions } from '../../../api/serving/feedback.ts';
import { openPredictionLog } from '../../../bucket/index.ts';
import { Label, ModelVersion, Problem, UserError, type NewLogRecord } from '../../../schemas/index.ts';
import { bookings, constant, flowers, temporaryStores, type Made } from './fixture.ts';

const HASH = '0'.repeat(64);
const NOW = Date.parse('2017-03-10T12:00:00Z');

const version = (made: Made, changes: Partial<ModelVersion> = {}): ModelVersion =>
  ModelVersion.parse({
    model: 'bookings',
    n: 3,
    task: made.graph.task,
    run: 'r',
    project: { n: 1, hash: HASH },
    rowsHash: HASH,
    asOf: '2017-01-01T00:00:00.000Z',
    labelsSeenUntil: '2017-01-01T00:00:00.000Z',
    onnx: { sha256: HASH, bytes: 1 },
    algorithm: 'linear',
    entity: 'booking_id',
    inputs: made.graph.inputs,
    usesPredictedAt: false,
    serving: { unitPii: false, entityPii: false, allowEventTime: false },
    classes: made.classes,
    strataEdgesDays: [],
    referenceHistograms: {},
    lossSd: 1,
    warmUpRows: made.warmUpRows,
    primaryMetric: 'logLoss',
    metrics: [],
    cause: { workflowId: 'w', runId: 'r', step: 's' },
    createdAt: '2017-01-01T00:00:00.000Z',
    ...changes,
  });

/** The routes as an app mounts them, and what reached the log. */
function mounted(of: ModelVersion = version(bookings), changes: Partial<FeedbackOptions> = {}) {
  const kept: NewLogRecord[] = [];
  const faults: object[] = [];
  let written = 0;
  const routes = feedbackRoutes({
    log: {
      append: (record) => {
        kept.push(record);
        return 'kept';
      },
      written: async () => void (written = kept.length),
    },
    terms: (model) => (model === of.model ? { version: of } : undefined),
    now: () => NOW,
    ...changes,
  });
  const app = new Hono().route('/', routes);
  app.onError(problemOnError({ error: (fields) => void faults.push(fields) }));
  const send = async (body: unknown, type = 'application/json', model = of.model) => {
    const response = await app.request(`/v1/models/${model}/feedback`, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { 'content-type': type },
    });
    const answer: unknown = await response.json();
    return { status: response.status, headers: response.headers, answer };
  };
  return {
    app,
    faults,
    send,
    /** What was written when it was acknowledged, as a reader takes it. */
    labels: () => kept.slice(0, written).map((record, seq) => Label.parse({ ...record, boot: 'test', seq })),
    kept,
    async ok(body: unknown, type?: string): Promise<FeedbackAnswer> {
      const { status, answer } = await send(body, type);
      expect([status, answer]).toEqual([202, answer]);
      return answer as FeedbackAnswer;
    },
    async refused(body: unknown, type?: string) {
      const { status, answer } = await send(body, type);
      const problem = Problem.parse(answer);
      expect(kept).toEqual([]);
      return { status, problem, issues: problem.issues ?? [], at: (problem.issues ?? []).map(({ at }) => at) };
    },
  };
}

const NDJSON = 'application/x-ndjson';
const lines = (...labels: unknown[]) => labels.map((label) => JSON.stringify(label)).join('\n');

describe('one label', () => {
  it('of a request is kept as it was said, known now, under an id of ours that sorts by time', async () => {
    const feedback = mounted();
    const answer = await feedback.ok({ requestId: 'r-1', row: 2, value: true });
    expect(answer).toMatchObject({ model: 'bookings', labels: 1, corrections: 0, withdrawn: 0 });
    expect(feedback.labels()).toEqual([
      {
        kind: 'label',
        v: 1,
        labelId: answer.labelIds[0],
        model: 'bookings',
        requestId: 'r-1',
        row: 2,
        value: true,
        knownMs: NOW,
        receivedMs: NOW,
        by: 'feedback',
        boot: 'test',
        seq: 0,
      },
    ]);
    expect(answer.labelIds[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });

  it('of an entity goes by the name that the model has for it, or by `entity`; a number is its digits', async () => {
    for (const name of ['booking_id', 'entity']) {
      const feedback = mounted();
      await feedback.ok({ [name]: 4711, happenedAt: '2017-03-01T10:30:00+01:00', value: false, labelId: 'crm-1' });
      expect(feedback.labels()[0]).toMatchObject({
        labelId: 'crm-1',
        entity: '4711',
        happenedMs: Date.parse('2017-03-01T09:30:00Z'),
        happenedResolution: 'instant',
        value: false,
      });
    }
  });

  it('a model whose entity is called like a field of ours has it as `entity` only', async () => {
    const feedback = mounted(version(bookings, { entity: 'value' }));
    await feedback.ok({ entity: 'a', happenedAt: '2017-03-01', value: true });
    expect(feedback.labels()[0]).toMatchObject({ entity: 'a', value: true });
  });

  it('a date happened on that day, and was known when the day was over', async () => {
    const feedback = mounted();
    await feedback.ok({ entity: 'a', happenedAt: '2017-03-01', knownAt: '2017-03-02', value: true });
    await feedback.ok({ requestId: 'today', knownAt: '2017-03-10', value: true });
    expect(feedback.labels()).toMatchObject([
      {
        happenedMs: Date.parse('2017-03-01'),
        happenedResolution: 'day',
        knownMs: Date.parse('2017-03-03'),
      },
      { knownMs: Date.parse('2017-03-11') },
    ]);
  });

  it('may come years late, for a request that nobody knows, twice, and against an earlier one: all are kept', async () => {
    const feedback = mounted();
    await feedback.ok({ requestId: 'never-seen', value: true, labelId: 'a', knownAt: '1999-12-31T23:59:59Z' });
    await feedback.ok({ requestId: 'never-seen', value: true, labelId: 'a', knownAt: '1999-12-31T23:59:59Z' });
    await feedback.ok({ requestId: 'never-seen', value: false, labelId: 'b' });
    expect(feedback.labels().map(({ labelId, value }) => [labelId, value])).toEqual([
      ['a', true],
      ['a', true],
      ['b', false],
    ]);
  });

  it('corrects or withdraws an earlier one by its id', async () => {
    const feedback = mounted();
    expect(await feedback.ok({ requestId: 'r', value: false, supersedes: 'a' })).toMatchObject({ corrections: 1 });
    expect(await feedback.ok({ withdrawn: true, supersedes: 'a' })).toMatchObject({
      labels: 1,
      corrections: 0,
      withdrawn: 1,
    });
    expect(feedback.labels().map(({ value, supersedes }) => [value, supersedes])).toEqual([
      [false, 'a'],
      [null, 'a'],
    ]);
  });

  it('is held against the task: a class, a finite number', async () => {
    const classes = mounted(version(flowers));
    await classes.ok({ requestId: 'r', value: 'setosa' });
    const { issues } = await mounted(version(flowers)).refused({ requestId: 'r', value: 'rose' });
    expect(issues).toEqual([
      { at: 'value', found: '"rose" (a string)', expected: 'one of "setosa", "versicolor", "virginica"' },
    ]);
    const amounts = mounted(version(constant(1)));
    await amounts.ok({ requestId: 'r', value: -12.5 });
    expect((await mounted(version(constant(1))).refused('{"requestId": "r", "value": 1e999}')).issues).toEqual([
      { at: 'value', found: 'Infinity (a number)', expected: 'a number' },
    ]);
  });

  it('times ahead of us are taken where the model takes event times', async () => {
    const serving = { unitPii: false, entityPii: false, allowEventTime: true };
    const feedback = mounted(version(bookings, { serving }));
    await feedback.ok({ entity: 'a', happenedAt: '2019-01-01', knownAt: '2019-01-02', value: true });
    expect(feedback.labels()[0]).toMatchObject({ knownMs: Date.parse('2019-01-03'), receivedMs: NOW });
  });

  it('a personal entity is known by its hash only, and refused where there is no key', async () => {
    const personal = version(bookings, { serving: { unitPii: false, entityPii: true, allowEventTime: false } });
    const label = { booking_id: 'ana@example.org', happenedAt: '2017-03-01', value: true };
    const feedback = mounted(personal, { hash: (value) => `h${value.length}` });
    await feedback.ok(label);
    expect(feedback.labels()[0]!.entity).toBe('h15');
    expect(JSON.stringify(feedback.kept)).not.toContain('ana');
    const both = await mounted(personal, { hash: (value) => value }).refused({ ...label, requestId: 'r' });
    expect([both.at, JSON.stringify(both.problem)]).toEqual([['booking_id'], expect.not.stringContaining('ana')]);
    const without = await mounted(personal).refused(label);
    expect([without.status, without.problem.next]).toEqual([503, expect.stringContaining('GAUNTLET_PII_KEY')]);
  });
});

describe('what does not fit is a 422 that names the field', () => {
  const valid = { requestId: 'r', value: true };
  const about = { booking_id: 'a', happenedAt: '2017-03-01', value: true };
  it.each<[string, unknown, string[]]>([
    ['an unknown field, with the nearest', { ...valid, valeu: true }, ['valeu']],
    ['a prototype key', '{"requestId": "r", "value": true, "__proto__": {"row": 1}}', ['__proto__']],
    ['constructor', { ...valid, constructor: 1 }, ['constructor']],
    ['no value', { requestId: 'r' }, ['value']],
    ['a value of another type', { ...valid, value: 1 }, ['value']],
    ['null', { ...valid, value: null }, ['value']],
    ['nothing that it is about', { value: true }, ['requestId']],
    ['both ways of saying what it is about', { ...about, requestId: 'r' }, ['booking_id']],
    ['both names of the entity', { ...about, entity: 'a' }, ['booking_id']],
    ['an entity at no time', { booking_id: 'a', value: true }, ['happenedAt']],
    ['no entity at all', { ...about, booking_id: '' }, ['booking_id']],
    ['a null entity', { ...about, booking_id: null }, ['booking_id']],
    ['an entity that JSON cannot carry', { ...about, booking_id: 2 ** 53 }, ['booking_id']],
    ['a control character', { ...about, booking_id: 'a\u0000' }, ['booking_id']],
    ['an entity of 201 characters', { ...about, booking_id: 'x'.repeat(201) }, ['booking_id']],
    ['a request id with a space', { ...valid, requestId: 'a b' }, ['requestId']],
    ['a row that is none', { ...valid, row: -1 }, ['row']],
    ['a row without a request', { ...about, row: 0 }, ['row']],
    ['a day that no calendar has', { ...about, happenedAt: '2017-02-30' }, ['happenedAt']],
    ['a time in another form', { ...about, happenedAt: 1488326400 }, ['happenedAt']],
    ['an outcome to come', { ...about, happenedAt: '2017-03-11' }, ['happenedAt']],
    ['known in ten minutes', { ...valid, knownAt: '2017-03-10T12:10:00Z' }, ['knownAt']],
    ['known tomorrow', { ...valid, knownAt: '2017-03-11' }, ['knownAt']],
    ['a label id with a slash', { ...valid, labelId: 'a/b' }, ['labelId']],
    ['one that supersedes itself', { ...valid, labelId: 'a', supersedes: 'a' }, ['supersedes']],
    ['withdrawn, but what?', { requestId: 'r', withdrawn: true }, ['supersedes']],
    ['withdrawn with a value', { ...valid, withdrawn: true, supersedes: 'a' }, ['value']],
    ['not withdrawn', { ...valid, withdrawn: false, supersedes: 'a' }, ['withdrawn']],
    ['a correction of nothing', { value: true, supersedes: 'a' }, ['requestId']],
    ['a list', [valid], ['label']],
    ['several at once', { ...valid, value: 'yes', row: 1.5, labelId: '' }, ['row', 'labelId', 'value']],
  ])('%s', async (_, body, at) => {
    const refused = await mounted().refused(body);
    expect([refused.status, refused.at]).toEqual([422, at]);
    for (const { found, expected } of refused.issues) expect([found, expected]).not.toContain('');
  });

  it('says which field is meant, and what may stand there', async () => {
    const { issues, problem } = await mounted().refused({ ...valid, labelID: 'a' });
    expect(issues[0]).toMatchObject({ at: 'labelID', expected: expect.stringContaining('labelId') as string });
    expect(problem.detail).toContain('so it was not kept');
  });

  it('a field that comes twice is no JSON', async () => {
    const refused = await mounted().refused('{"requestId": "r", "value": true, "value": false}');
    expect([refused.status, refused.issues[0]!.found]).toEqual([400, '"value" again']);
  });

  it('half a character is refused, wherever it stands', async () => {
    for (const [body, type] of [
      [{ ...about, booking_id: 'a\ud800' }],
      [lines(about, { ...about, entity: '\ud800' }), NDJSON],
    ])
      expect([400, 422]).toContain((await mounted().refused(body, type as string | undefined)).status);
  });

  it('another content type, an empty body, bytes that are no text, another method, another model', async () => {
    const feedback = mounted();
    expect((await feedback.refused(valid, 'text/plain')).problem.detail).toContain(NDJSON);
    expect((await feedback.refused('')).status).toBe(400);
    expect((await feedback.refused('\n \n', NDJSON)).status).toBe(400);
    const get = await feedback.app.request('/v1/models/bookings/feedback');
    expect([get.status, get.headers.get('allow')]).toEqual([405, 'POST']);
    const other = await feedback.send(valid, 'application/json', 'flowers');
    expect([other.status, Problem.parse(other.answer).type]).toEqual([404, 'urn:gauntlet:no-such-model']);
  });
});

describe('many labels', () => {
  it('are acknowledged together, in their order, empty lines left out', async () => {
    const feedback = mounted();
    const body = `${JSON.stringify({ requestId: 'a', value: true, labelId: 'l1' })}\r\n\n${lines(
      { requestId: 'a', row: 1, value: false, labelId: 'l2', supersedes: 'l0' },
      { requestId: 'b', withdrawn: true, supersedes: 'l0', labelId: 'l3' },
    )}\n`;
    const answer = await feedback.ok(body, `${NDJSON}; charset=utf-8`);
    expect(answer).toMatchObject({ labels: 3, corrections: 1, withdrawn: 1, labelIds: ['l1', 'l2', 'l3'] });
    expect(feedback.labels().map(({ labelId }) => labelId)).toEqual(['l1', 'l2', 'l3']);
  });

  it('are kept all or not at all; every bad line is named by its number, and that is said', async () => {
    const body = [
      '{"requestId": "a", "value": true}',
      '',
      '{"requestId": "b", "value": "yes"}',
      '{"requestId": "c", "value": true',
      '{"booking_id": 1, "value": true, "row": 0}',
    ].join('\n');
    const { status, at, problem } = await mounted().refused(body, NDJSON);
    expect(status).toBe(400);
    expect(at).toEqual(['line 3: value', 'line 4, column 33', 'line 5: row', 'line 5: happenedAt']);
    expect(problem.detail).toContain('in 3 of 4 lines, so none of them was kept');
  });

  it('an id twice is harmless where the lines are the same, and a mistake where they differ', async () => {
    const same = { requestId: 'a', value: true, labelId: 'l1' };
    const feedback = mounted();
    expect(await feedback.ok(lines(same, same), NDJSON)).toMatchObject({ labels: 2, labelIds: ['l1', 'l1'] });
    const { status, issues } = await mounted().refused(lines(same, { ...same, value: false }), NDJSON);
    expect([status, issues]).toEqual([
      422,
      [
        {
          at: 'line 2: labelId',
          found: 'the labelId of line 1, which says something else',
          expected: expect.stringContaining('supersedes') as string,
        },
      ],
    ]);
  });

  it('up to 10,000; a body above its own limit is a 413, and no more than 100 issues are told', async () => {
    const feedback = mounted();
    const label = (i: number) => ({ requestId: `r-${i}`, value: i % 2 === 0 });
    const most = lines(...Array.from({ length: 10_000 }, (_, i) => label(i)));
    expect((await feedback.ok(most, NDJSON)).labels).toBe(10_000);
    expect(new Set(feedback.labels().map(({ labelId }) => labelId)).size).toBe(10_000);
    expect((await mounted().refused(`${most}\n${lines(label(0))}`, NDJSON)).status).toBe(413);
    expect((await mounted(version(bookings), { maxBulkBytes: 999 }).refused(most, NDJSON)).status).toBe(413);
    expect((await mounted(version(bookings), { maxBodyBytes: 20 }).refused(label(1))).status).toBe(413);
    const bad = await mounted().refused(most.replaceAll('value', 'label'), NDJSON);
    expect(bad.issues).toHaveLength(100);
    expect(bad.problem.detail).toContain('in 10000 of 10000 lines');
  });

  it('others are answered while they are read', async () => {
    const feedback = mounted();
    const most = lines(...Array.from({ length: 10_000 }, (_, i) => ({ requestId: `r-${i}`, value: true })));
    let others = 0;
    const bulk = feedback.ok(most, NDJSON);
    for (let done = false; !done; others++)
      done = await Promise.race([bulk.then(() => true), new Promise<false>((go) => setImmediate(go, false))]);
    expect(others).toBeGreaterThan(20);
  });
});

describe('a log that cannot be written', () => {
  const label = { requestId: 'r', value: true };
  const written = async () => {};
  it.each<[string, FeedbackOptions['log'], RegExp]>([
    [
      'has no room',
      { append: () => 'kept', written: () => Promise.reject(new UserError('DiskFull', 'the disk is full')) },
      /the disk is full/,
    ],
    ['fails', { append: () => 'kept', written: () => Promise.reject(new Error('EIO /secret')) }, /its log failed/],
    ['sheds even labels', { append: () => 'shed', written }, /no room even for labels/],
  ])('%s: 503, nothing is acknowledged, and it is said when to come back', async (_, log, because) => {
    const errors: unknown[] = [];
    const feedback = mounted(version(bookings), { log, onError: (error) => void errors.push(error) });
    for (const [body, type] of [[label], [lines(label, label), NDJSON]] as [unknown, string?][]) {
      const { status, headers, answer } = await feedback.send(body, type);
      const problem = Problem.parse(answer);
      expect([status, headers.get('retry-after')]).toEqual([503, '5']);
      expect(problem.detail).toMatch(because);
      expect(JSON.stringify(problem)).not.toMatch(/labelIds|secret/);
    }
    expect(errors.length > 0).toBe(because.source.includes('failed'));
  });

  it('acknowledges only after it is written', async () => {
    let release = () => {};
    const gate = new Promise<void>((go) => (release = go));
    const feedback = mounted(version(bookings), { log: { append: () => 'kept', written: () => gate } });
    let answered = false;
    const sent = feedback.ok(label).then(() => (answered = true));
    for (let i = 0; i < 20; i++) await new Promise((go) => setImmediate(go));
    expect(answered).toBe(false);
    release();
    await sent;
  });
});

it('over the real log: on disk when it is acknowledged, in the bucket soon after, each label once', async () => {
  const temporary = await temporaryStores();
  const { bucket } = temporary.stores;
  const limits = { segmentMs: 60_000 };
  const log = await openPredictionLog({ bucket, home: join(temporary.folder, 'home'), limits });
  try {
    const feedback = mounted(version(bookings), { log });
    const bulk = Array.from({ length: 3000 }, (_, i) => ({ requestId: `r-${i}`, value: true, labelId: `l-${i}` }));
    await feedback.ok(lines(...bulk), NDJSON);
    const { spoolBytes } = log.lag();
    expect(spoolBytes).toBeGreaterThan(3000 * 100);
    await Promise.all(Array.from({ length: 20 }, (_, i) => feedback.ok({ requestId: `one-${i}`, value: false })));
    await log.flush();
    const found: Label[] = [];
    for await (const { key } of bucket.list('log/raw/'))
      for (const line of gunzipSync((await bucket.read(key))!)
        .toString('utf8')
        .split('\n')
        .filter(Boolean))
        found.push(Label.parse(JSON.parse(line)));
    expect([found.length, new Set(found.map(({ labelId }) => labelId)).size]).toEqual([3020, 3020]);
  } finally {
    await log.close();
    await temporary.remove();
  }
});

describe('fuzz', () => {
  const names = ['requestId', 'row', 'entity', 'booking_id', 'happenedAt', 'value', 'labelId', 'knownAt', 'supersedes'];
  const odd = fc.constantFrom<unknown>(
    null,
    '',
    '2017-03-04',
    '9999-12-31',
    '0001-01-01',
    -1,
    1e308,
    2 ** 53,
    '\u0000',
    '\ud800',
    true,
    [],
    {},
  );
  const field = fc.constantFrom(...names, 'withdrawn', '__proto__', 'constructor', 'toString', '');
  const near = fc.dictionary(field, fc.oneof(odd, fc.jsonValue({ maxDepth: 2 })), { maxKeys: 3 }).map((changes) => {
    const label: Record<string, unknown> = { requestId: 'r', value: true };
    for (const [name, value] of Object.entries(changes))
      Object.defineProperty(label, name, { value, enumerable: true, configurable: true, writable: true });
    return JSON.stringify(label);
  });
  const text = fc.oneof({ weight: 6, arbitrary: near }, fc.json(), fc.string({ unit: 'binary' }));
  const body = fc.oneof(
    fc.tuple(text, fc.constantFrom('application/json', NDJSON, 'application/vnd.x+json', 'text/html')),
    fc.tuple(
      fc.array(text, { maxLength: 6 }).map((all) => all.join('\n')),
      fc.constant(NDJSON),
    ),
  );

  it('is never a 5xx; what is acknowledged is a label of the log, and what is refused leaves nothing', async () => {
    let acknowledged = 0;
    await fc.assert(
      fc.asyncProperty(body, async ([sent, type]) => {
        const feedback = mounted();
        const { status, answer } = await feedback.send(sent, type);
        expect(feedback.faults).toEqual([]);
        const accepted = status === 202;
        if (accepted) acknowledged++;
        expect(accepted || (status >= 400 && status < 500 && /\w/.test(Problem.parse(answer).detail ?? ''))).toBe(true);
        expect(feedback.labels()).toHaveLength(accepted ? (answer as FeedbackAnswer).labels : 0);
        expect(feedback.kept).toHaveLength(feedback.labels().length);
      }),
      { numRuns: 1500 },
    );
    expect(acknowledged).toBeGreaterThan(20);
  });
});

describe('the document', () => {
  it('has a path for the model, whose examples are all accepted', async () => {
    for (const of of [version(bookings), version(flowers), version(constant(1))]) {
      const { paths, components } = feedbackOpenApi(of);
      const post = (paths['/v1/models/bookings/feedback'] as { post: { requestBody: { content: object } } }).post;
      const content = post.requestBody.content as Record<string, { examples: Record<string, { value: unknown }> }>;
      for (const [type, { examples }] of Object.entries(content))
        for (const { value } of Object.values(examples)) await mounted(of).ok(value, type);
      expect(Object.keys(components.schemas!)).toEqual(['bookings.Label', 'FeedbackAnswer']);
    }
  });
});

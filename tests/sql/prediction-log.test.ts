import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../sql/database.ts';
import { compactLog, createLogViews, type LogCounts } from '../../sql/prediction-log.ts';
import type { LogRecord } from '../../schemas/index.ts';
import { temporaryFolder } from './folder.ts';
import { answer, DAY_MS, label, shadow, T0, writeSegment } from './log-records.ts';

const folder = temporaryFolder();
const open: Database[] = [];
afterEach(() => {
  for (const db of open.splice(0)) db.close();
});

let files = 0;
const segment = (...lines: (LogRecord | string)[]): string => writeSegment(folder.file(`${files++}.ndjson.gz`), lines);

async function read(
  raw: string[],
  parquet: string[] = [],
  model = 'churn',
): Promise<{ db: Database; counts: LogCounts }> {
  const db = await openDatabase({ files: [...raw, ...parquet] });
  open.push(db);
  return { db, counts: await createLogViews(db, model, { raw, parquet }) };
}

/** Compacts segments as housekeeping does; `before` are the files of an earlier compaction. */
async function compact(raw: string[], before: Record<string, string> = {}) {
  const to = folder.file(`compacted-${files++}`);
  mkdirSync(to);
  const db = await openDatabase({ files: [...raw, ...Object.values(before)], writable: to });
  try {
    const { models, broken } = await compactLog(db, raw, before, to);
    return { models, broken, paths: Object.fromEntries(models.map(({ model, file }) => [model, file])) };
  } finally {
    db.close();
  }
}

const rows = (db: Database, view: string) => db.rowsOf(`SELECT * FROM ${view} ORDER BY ALL`);

describe('the views of a log', () => {
  it('have typed columns: times in UTC, scores as doubles, predictions as texts, inputs as JSON', async () => {
    const whole = answer('r1', {
      entity: 'e1',
      inputs: { visits: 3, name: 'Zoë "the cat"', gone: null, old: true },
      lookedUp: { orders: { hash: 'b'.repeat(64), ageSeconds: null, values: { n: 1 } } },
      failed: { version: 2, why: 'late', detail: 'after 50 ms' },
      eventMs: T0 + 0.5,
      answeredMs: T0 + 1,
      seq: 9,
    });
    const { db, counts } = await read([segment(whole, shadow('r1'), label('l1', { requestId: 'r1', value: 0.25 }))]);
    expect(counts).toEqual({ answers: 1, shadowScores: 1, labels: 1, duplicates: 0, broken: 0, unknown: 0 });
    expect((await db.rowsOf('SELECT * REPLACE (scores::VARCHAR AS scores) FROM answers'))[0]).toEqual({
      request_id: 'r1',
      row: 0,
      version: 1,
      revision: 1,
      unit: 'r1',
      entity: 'e1',
      event_at: '2026-11-24 09:30:00.0005',
      event_by: 'server',
      event_resolution: 'instant',
      answered_at: '2026-11-24 09:30:00.001',
      matures_at: '2026-12-24 09:30:00',
      project_n: 1,
      project_hash: 'a'.repeat(64),
      inputs: '{"visits":3,"name":"Zoë \\"the cat\\"","gone":null,"old":true}',
      looked_up: JSON.stringify(whole.lookedUp),
      assigned: 'champion',
      assigned_version: 1,
      reason: 'champion',
      propensity: 1,
      scores: '[0.25]',
      prediction: 'false',
      latency_ms: 1.5,
      graph_ms: 0.5,
      cache_hit: false,
      failed_version: 2,
      failed_why: 'late',
      failed_detail: 'after 50 ms',
      boot: 'b1',
      seq: 9,
    });
    const types = Object.fromEntries(
      (await db.describe('SELECT * FROM answers')).map(({ name, type }) => [name, type]),
    );
    expect(types).toMatchObject({ event_at: 'TIMESTAMP', scores: 'DOUBLE[]', inputs: 'VARCHAR', version: 'BIGINT' });
    expect((await rows(db, 'labels'))[0]).toMatchObject({ value: '0.25', value_kind: 'number', row: null });
    expect((await rows(db, 'shadow_scores'))[0]).toMatchObject({ version: 2, prediction: 'true' });
  });

  it('are empty where there is nothing', async () => {
    const { db, counts } = await read([]);
    expect(counts).toEqual({ answers: 0, shadowScores: 0, labels: 0, duplicates: 0, broken: 0, unknown: 0 });
    for (const view of ['answers', 'shadow_scores', 'labels']) expect(await rows(db, view)).toEqual([]);
  });

  it('take every kind of value, and times that are no times as missing', async () => {
    const { db } = await read([
      segment(
        label('a', { value: true }),
        label('b', { value: 'gold' }),
        label('c', { value: null }),
        label('d', { value: -1.5 }),
        label('e', { value: 3 }),
        label('f', { value: 'null' }),
        answer('r', { maturesMs: 1e300 }),
        answer('s', { maturesMs: null, output: undefined }),
      ),
    ]);
    expect((await db.rowsOf('SELECT value, value_kind FROM labels ORDER BY label_id')).map(Object.values)).toEqual([
      ['true', 'boolean'],
      ['gold', 'text'],
      [null, 'withdrawn'],
      ['-1.5', 'number'],
      ['3', 'number'],
      ['null', 'text'],
    ]);
    expect(await db.rowsOf('SELECT DISTINCT matures_at FROM answers')).toEqual([{ matures_at: null }]);
  });

  it('count a record once by its key, the first by time, then by boot and seq', async () => {
    const first = segment(
      answer('r1', { answeredMs: T0 + 2, unit: 'late' }),
      answer('r1', { answeredMs: T0 + 1, boot: 'b2', seq: 1, unit: 'other boot' }),
      answer('r1', { answeredMs: T0 + 1, boot: 'b1', seq: 5, unit: 'second' }),
      answer('r1', { row: 1, unit: 'another row' }),
      shadow('r1', { version: 2 }),
      shadow('r1', { version: 3 }),
      label('l1', { receivedMs: T0 + 5, requestId: 'r1' }),
      label('l1', { receivedMs: T0 + 4, requestId: 'r2' }),
    );
    const again = segment(answer('r1', { answeredMs: T0 + 1, boot: 'b1', seq: 4, unit: 'first' }), shadow('r1'));
    const { db, counts } = await read([first, again]);
    expect(counts).toEqual({ answers: 2, shadowScores: 2, labels: 1, duplicates: 5, broken: 0, unknown: 0 });
    expect(await db.rowsOf('SELECT unit FROM answers ORDER BY row')).toEqual([
      { unit: 'first' },
      { unit: 'another row' },
    ]);
    expect(await db.rowsOf('SELECT request_id FROM labels')).toEqual([{ request_id: 'r2' }]);
  });

  it('pass over and count what they do not know, and what is broken; other models are nobody’s business', async () => {
    const { seq: _, ...noSeq } = answer('r2');
    const { value: __, ...noValue } = label('l1');
    const { db, counts } = await read([
      segment(
        answer('r1'),
        '{"kind":"answer","v":1,',
        '',
        'null',
        '17',
        '"text"',
        '[{}]',
        '{}',
        '{"kind":"answer","v":"one","model":"churn"}',
        `${JSON.stringify(answer('r3'))} and more`,
        JSON.stringify({ ...answer('r4'), model: '../etc' }),
        JSON.stringify(noSeq),
        JSON.stringify(noValue),
        JSON.stringify({ ...label('l2'), value: { a: 1 } }),
        JSON.stringify({ ...answer('r5'), eventMs: 'yesterday' }),
        JSON.stringify({ ...answer('r6'), v: 2, output: 'another shape', row: [] }),
        JSON.stringify({ kind: 'explanation', v: 1, model: 'churn' }),
        JSON.stringify({ kind: 'explanation', v: 1, model: 'fraud' }),
        answer('r7', { model: 'fraud' }),
        JSON.stringify({ ...answer('r8'), colour: 'blue', output: { scores: [1], prediction: 1, why: [] } }),
      ),
    ]);
    expect(counts).toEqual({ answers: 2, shadowScores: 0, labels: 0, duplicates: 0, broken: 13, unknown: 2 });
    expect(await db.rowsOf('SELECT request_id FROM answers ORDER BY 1')).toEqual([
      { request_id: 'r1' },
      { request_id: 'r8' },
    ]);
  });

  it('read nothing but their files', async () => {
    const secret = folder.file('secret.json', '{"a":1}');
    const { db } = await read([segment(answer('r1'))]);
    await expect(db.run(`SELECT * FROM read_json('${secret}')`)).rejects.toThrow(/Permission Error/);
  });
});

describe('compacting', () => {
  const records: LogRecord[] = [
    answer('r3', { eventMs: T0 + 3 }),
    answer('r1', { entity: 'e', eventMs: T0 + 1, failed: { version: 1, why: 'threw', detail: '' } }),
    answer('r1', { entity: 'e', eventMs: T0 + 1, answeredMs: T0 + 5 }),
    answer('x', { model: 'fraud' }),
    shadow('r1', { output: undefined, failed: { version: 2, why: 'died', detail: 'killed' } }),
    label('l1', { requestId: 'r1', value: 'gold', source: 'bookings@1' }),
    label('l2', { entity: 'e', happenedMs: T0 + DAY_MS, happenedResolution: 'day', value: null, supersedes: 'l1' }),
  ];

  it('reads like the raw segments that it was made from', async () => {
    const raw = [segment(...records.slice(0, 4), 'broken'), segment(...records.slice(4))];
    const { models, broken, paths } = await compact(raw);
    expect(models).toMatchObject([
      { model: 'churn', answers: 2, shadowScores: 1, labels: 2 },
      { model: 'fraud', answers: 1, shadowScores: 0, labels: 0 },
    ]);
    expect(broken).toBe(1);
    const [fromRaw, fromParquet] = [await read(raw), await read([], [paths['churn']!])];
    for (const view of ['answers', 'shadow_scores', 'labels']) {
      expect(await rows(fromParquet.db, view)).toEqual(await rows(fromRaw.db, view));
      expect(await fromParquet.db.describe(`SELECT * FROM ${view}`)).toEqual(
        await fromRaw.db.describe(`SELECT * FROM ${view}`),
      );
    }
    expect(fromParquet.counts).toEqual({ ...fromRaw.counts, duplicates: 0, broken: 0 });
  });

  it('orders rows by event, and gives the same bytes whatever order the segments come in', async () => {
    const [a, b] = [segment(...records.slice(0, 4)), segment(...records.slice(4))];
    const hashes = [];
    for (const raw of [
      [a, b],
      [b, a],
    ]) {
      const { paths } = await compact(raw);
      hashes.push(createHash('sha256').update(readFileSync(paths['churn']!)).digest('hex'));
      const { db } = await read([], [paths['churn']!]);
      expect(await db.rowsOf('SELECT request_id FROM answers')).toEqual([{ request_id: 'r1' }, { request_id: 'r3' }]);
    }
    expect(hashes[1]).toBe(hashes[0]);
  });

  it('takes late segments into what was compacted before, for the models that they hold', async () => {
    const first = await compact([segment(...records)]);
    const late = segment(answer('r9'), answer('r1', { answeredMs: T0 - 5, unit: 'earlier' }));
    const second = await compact([late], first.paths);
    expect(second.models.map(({ model, answers }) => [model, answers])).toEqual([['churn', 3]]);
    const { db } = await read([], [second.paths['churn']!]);
    expect(await db.rowsOf(`SELECT unit FROM answers WHERE request_id = 'r1'`)).toEqual([{ unit: 'earlier' }]);
  });

  it('loses nothing that a newer release wrote: it is kept as it came', async () => {
    const newer = { ...answer('r1'), v: 2, output: { quantiles: [0.1, 0.9] } };
    const field = { ...answer('r2'), colour: { name: 'blue' } };
    const first = await compact([segment(JSON.stringify(newer), JSON.stringify(field))]);
    const { paths } = await compact([segment(answer('r3'))], first.paths);
    const { db, counts } = await read([], [paths['churn']!]);
    expect(counts).toMatchObject({ answers: 2, unknown: 1 });
    const kept = await db.rowsOf(`SELECT kind, other FROM read_parquet('${paths['churn']}') WHERE other IS NOT NULL`);
    expect(kept.map(({ kind, other }) => [kind, JSON.parse(other as string)])).toEqual(
      expect.arrayContaining([
        ['other', newer],
        ['answer', { colour: { name: 'blue' } }],
      ]),
    );
  });

  it('reads what an older release kept of a record that this one knows', async () => {
    const kept = JSON.stringify(answer('r1', { unit: 'kept' }));
    const { paths } = await compact([segment(answer('r2'))]);
    const db = await openDatabase({ files: [paths['churn']!], writable: folder.path });
    const older = folder.file('older.parquet');
    await db.run(
      `COPY (SELECT * REPLACE ('other' AS kind, '${kept}' AS other) FROM read_parquet('${paths['churn']}')) TO '${older}' (FORMAT parquet)`,
    );
    db.close();
    const read1 = await read([], [older]);
    expect(read1.counts).toMatchObject({ answers: 1, unknown: 0 });
    expect(await read1.db.rowsOf('SELECT unit FROM answers')).toEqual([{ unit: 'kept' }]);
  });

  it('of any records, split over any segments, compacted in any part, gives the same views', async () => {
    const id = fc.constantFrom('r1', 'r2', 'r3');
    const tick = fc.integer({ min: 0, max: 3 });
    const record = fc
      .record({
        kind: fc.constantFrom('answer', 'shadow', 'label'),
        id,
        tick,
        boot: fc.constantFrom('b1', 'b2'),
        n: tick,
      })
      .map(({ kind, id, tick, boot, n }): LogRecord => {
        if (kind === 'answer') return answer(id, { row: n % 2, answeredMs: T0 + tick, boot });
        if (kind === 'shadow') return shadow(id, { version: 1 + n, scoredMs: T0 + tick, boot });
        return label(id, { receivedMs: T0 + tick, requestId: `r${n}`, boot });
      });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(record, fc.constantFrom('raw', 'first', 'second')), { maxLength: 25 }),
        async (placed) => {
          const of = (place: string) => placed.filter(([, at]) => at === place).map(([one]) => one);
          const first = await compact([segment(...of('first'))]);
          const second = await compact([segment(...of('second'))], first.paths);
          const paths = { ...first.paths, ...second.paths };
          const { db } = await read([segment(...of('raw'))], Object.values(paths));
          const expected = new Map<string, LogRecord>();
          const timeOf = (one: LogRecord) =>
            one.kind === 'answer' ? one.answeredMs : one.kind === 'shadow' ? one.scoredMs : one.receivedMs;
          const keyOf = (one: LogRecord) =>
            one.kind === 'label'
              ? `label ${one.labelId}`
              : `${one.kind} ${one.requestId} ${one.row} ${one.kind === 'shadow' ? one.version : ''}`;
          for (const [one] of placed) {
            const there = expected.get(keyOf(one));
            const order = there && [
              timeOf(one) - timeOf(there),
              one.boot < there.boot ? -1 : one.boot > there.boot ? 1 : 0,
              one.seq - there.seq,
            ];
            if (!order || (order.find((difference) => difference !== 0) ?? 0) < 0) expected.set(keyOf(one), one);
          }
          for (const [kind, view] of [
            ['answer', 'answers'],
            ['shadow', 'shadow_scores'],
            ['label', 'labels'],
          ]) {
            const found = (await db.rowsOf(`SELECT seq FROM ${view}`)).map(({ seq }) => seq as number);
            const wanted = [...expected.values()].filter((one) => one.kind === kind).map(({ seq }) => seq);
            expect(found.sort((a, b) => a - b)).toEqual(wanted.sort((a, b) => a - b));
          }
        },
      ),
      { numRuns: 25 },
    );
  }, 120_000);
});

it('a line of a megabyte is a record too', async () => {
  const long = answer('r1', { inputs: { text: 'x'.repeat(2_000_000) } });
  const path = join(folder.path, 'long.ndjson.gz');
  writeSegment(path, [long, answer('r2')]);
  const { counts } = await read([path]);
  expect(counts).toMatchObject({ answers: 2, broken: 0 });
});

import { mkdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { LogRecord } from '../../schemas/index.ts';
import { openDatabase, type Database } from '../../sql/database.ts';
import { createOutcomes, type LabelTerms } from '../../sql/outcomes.ts';
import { compactLog, createLogViews } from '../../sql/prediction-log.ts';
import { findRequest, readAnswers, readOutcome, readShadowScores } from '../../sql/request-records.ts';
import { temporaryFolder } from './folder.ts';
import { answer, DAY_MS, label, shadow, T0, writeSegment } from './log-records.ts';

const folder = temporaryFolder();
const open: Database[] = [];
afterEach(() => {
  for (const db of open.splice(0)) db.close();
});

const terms: LabelTerms = { task: 'binary', absent: 'missing', window: '30 days' };
const day = (n: number): number => T0 + n * DAY_MS;
const NOW = new Date(day(20));

const full = answer('full', {
  row: 1,
  entity: 'e-1',
  unit: 'u-1',
  eventMs: T0 + 0.25,
  answeredMs: T0 + 5,
  eventBy: 'client',
  eventResolution: 'day',
  maturesMs: null,
  inputs: { visits: 3, email: 'pii:00', paid: null, kept: 'requestId "full"' },
  lookedUp: { orders: { hash: 'b'.repeat(64), ageSeconds: 3.5, values: { n: 2 } } },
  assigned: 'canary',
  assignedVersion: 2,
  version: 1,
  reason: 'canary-failed',
  propensity: 0.05,
  failed: { version: 2, why: 'late', detail: 'after 50 ms' },
});
const records: LogRecord[] = [
  answer('full', { output: { scores: [0.1, 0.7, 0.2], prediction: 'true' } }),
  full,
  answer('full-not', { entity: 'e-9' }),
  answer('other', { model: 'fraud', entity: 'e-1' }),
  answer('failed', { output: undefined, inputs: undefined, failed: { version: 1, why: 'threw', detail: 'oh' } }),
  answer('number', { output: { scores: [-12.5], prediction: -12.5 } }),
  shadow('full', { row: 1, version: 3, maturesMs: null }),
  shadow('full', { row: 1, version: 4, output: undefined, failed: { version: 4, why: 'died', detail: '' } }),
  shadow('full'),
  // By entity, and corrected twice; the last correction names nobody but what it corrects.
  label('l-1', { entity: 'e-1', happenedMs: day(3), knownMs: day(3) }),
  label('l-2', { entity: 'e-1', happenedMs: day(3), knownMs: day(4), value: false, supersedes: 'l-1' }),
  label('l-3', { entity: 'e-1', happenedMs: day(3), knownMs: day(5), value: true, supersedes: 'l-2' }),
  label('too-late', { entity: 'e-1', happenedMs: day(40), knownMs: day(10), value: false }),
  label('of-row-0', { requestId: 'full', knownMs: day(9), value: false }),
  label('taken', { requestId: 'full-not', knownMs: day(1) }),
  label('taking', { knownMs: day(2), value: null, supersedes: 'taken' }),
  // The same id again, later: it does not count, though its target is another answer.
  label('taken', { requestId: 'number', knownMs: day(1), receivedMs: day(3) }),
  label('another', { entity: 'e-2', happenedMs: day(1) }),
];

let files = 0;
const rawOf = (): string => writeSegment(folder.file(`${files++}.ndjson.gz`), records);

/** The whole log of churn, as it was uploaded or as housekeeping keeps it. */
async function filesOf(kind: 'raw' | 'compacted'): Promise<{ raw: string[]; parquet: string[] }> {
  const raw = rawOf();
  if (kind === 'raw') return { raw: [raw], parquet: [] };
  const to = folder.file(`compacted-${files++}`);
  mkdirSync(to);
  const db = await openDatabase({ files: [raw], writable: to });
  try {
    const { models } = await compactLog(db, [raw], {}, to);
    return { raw: [], parquet: models.filter(({ model }) => model === 'churn').map(({ file }) => file) };
  } finally {
    db.close();
  }
}

async function viewsOf(kind: 'raw' | 'compacted', requestId?: string): Promise<Database> {
  const paths = await filesOf(kind);
  const db = await openDatabase({ files: [...paths.raw, ...paths.parquet] });
  open.push(db);
  await createLogViews(db, 'churn', paths, requestId === undefined ? undefined : { requestId });
  return db;
}

describe.each(['raw', 'compacted'] as const)('in a log that is %s', (kind) => {
  it('a request is found in its files, and no other that looks like it', async () => {
    const paths = await filesOf(kind);
    const db = await openDatabase({ files: [...paths.raw, ...paths.parquet] });
    open.push(db);
    const parquet = paths.parquet.map((path) => ({ model: 'churn', path }));
    const found = await findRequest(db, 'full', { raw: paths.raw, parquet });
    const path = [...paths.raw, ...paths.parquet][0]!;
    expect(found).toHaveLength(6);
    expect(found).toEqual(
      expect.arrayContaining([
        { model: 'churn', kind: 'answer', row: 0, path, answeredMs: T0, eventMs: T0 },
        { model: 'churn', kind: 'answer', row: 1, path, answeredMs: T0 + 5, eventMs: T0 + 0.25 },
        expect.objectContaining({ model: 'churn', kind: 'shadow', row: 1, path }),
        { model: 'churn', kind: 'label', row: 0, path },
      ]),
    );
    expect(await findRequest(db, 'fullest', { raw: paths.raw, parquet })).toEqual([]);
  });

  it('its answers and shadow scores are read as they were written', async () => {
    const db = await viewsOf(kind, 'full');
    const answers = await readAnswers(db, 'churn');
    expect(answers).toEqual([
      expect.objectContaining({ row: 0, output: { scores: [0.1, 0.7, 0.2], prediction: 'true' } }),
      full,
    ]);
    expect(await readShadowScores(db, 'churn', 1)).toEqual(
      records.filter((record) => record.kind === 'shadow' && record.row === 1),
    );
  });

  it.each(['failed', 'number'])('%s is read as it was written', async (id) => {
    const [written] = records.filter((record) => record.kind === 'answer' && record.requestId === id);
    expect(await readAnswers(await viewsOf(kind, id), 'churn')).toEqual([JSON.parse(JSON.stringify(written))]);
  });

  it('its labels are all that it had, and the outcome is that of the newest', async () => {
    const { labels, ...outcome } = await readOutcome(await viewsOf(kind, 'full'), 'churn', 1, terms, NOW);
    expect(outcome).toEqual({ state: 'labelled', label: true, labelId: 'l-3', knownMs: day(5) });
    expect(labels).toEqual(records.filter((record) => record.kind === 'label' && record.labelId.startsWith('l-')));
  });

  it('a label that was taken back is there, and what took it back', async () => {
    const { labels, ...outcome } = await readOutcome(await viewsOf(kind, 'full-not'), 'churn', 0, terms, NOW);
    expect(outcome).toEqual({ state: 'pending', label: null });
    expect(labels.map(({ labelId, value }) => [labelId, value])).toEqual([
      ['taken', true],
      ['taking', null],
    ]);
  });

  it.each(['full', 'full-not', 'number', 'failed'])('the outcome of %s alone is that in the whole log', async (id) => {
    const of = async (db: Database) => {
      await createOutcomes(db, terms, NOW);
      return db.rowsOf(`SELECT * FROM outcomes WHERE request_id = '${id}' ORDER BY "row"`);
    };
    const whole = await of(await viewsOf(kind));
    expect(whole.length).toBeGreaterThan(0);
    expect(await of(await viewsOf(kind, id))).toEqual(whole);
  });
});

it('the one label of an id that was given twice is the first, whatever it is a label of', async () => {
  const { labels, state } = await readOutcome(await viewsOf('raw', 'number'), 'churn', 0, terms, NOW);
  expect({ labels, state }).toEqual({ labels: [], state: 'pending' });
});

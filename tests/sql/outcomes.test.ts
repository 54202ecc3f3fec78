import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { Answer, Label, LabelValue, LogRecord } from '../../schemas/index.ts';
import { openDatabase, type Database } from '../../sql/database.ts';
import { countOutcomes, createOutcomes, type LabelTerms, type OutcomeCounts } from '../../sql/outcomes.ts';
import { createLogViews } from '../../sql/prediction-log.ts';
import { temporaryFolder } from './folder.ts';
import { answer, DAY_MS, HOUR_MS, label, shadow, T0, writeSegment } from './log-records.ts';

const folder = temporaryFolder();
const open: Database[] = [];
afterEach(() => {
  for (const db of open.splice(0)) db.close();
});

let files = 0;

/** The join over these records, as of a time in milliseconds. */
async function joined(records: LogRecord[], terms: LabelTerms, asOfMs: number): Promise<Database> {
  const raw = writeSegment(folder.file(`${files++}.ndjson.gz`), records);
  const db = await openDatabase({ files: [raw] });
  open.push(db);
  await createLogViews(db, 'churn', { raw: [raw], parquet: [] });
  await createOutcomes(db, terms, new Date(asOfMs));
  return db;
}

const outcomesOf = async (db: Database) =>
  (
    await db.rowsOf(
      'SELECT request_id, "row", label, label_id, epoch_ms(known_at) AS known, state, matured FROM outcomes ORDER BY 1, 2',
    )
  ).map(({ request_id, row, label, label_id, known, state, matured }) => ({
    id: `${request_id as string}/${row as number}`,
    label,
    by: label_id,
    known,
    state,
    matured,
  }));

const binary: LabelTerms = { task: 'binary', absent: 'missing' };
const day = (n: number) => T0 + n * DAY_MS;

describe('a hotel: bookings are labelled by entity, final two weeks after the arrival', () => {
  const booking = (id: string, arrivesInDays: number) =>
    answer(`r-${id}`, { entity: id, maturesMs: day(arrivesInDays + 14) });
  const outcome = (id: string, happened: number, value: boolean) =>
    label(`l-${id}`, {
      entity: id,
      happenedMs: Math.floor(day(happened) / DAY_MS) * DAY_MS,
      happenedResolution: 'day',
      knownMs: Math.floor(day(happened) / DAY_MS + 1) * DAY_MS,
      value,
    });
  const log = [
    booking('stayed', 10),
    booking('cancelled', 60),
    booking('forgotten', 5),
    booking('open', 90),
    outcome('stayed', 12, false),
    outcome('cancelled', 3, true),
    outcome('nobody', 3, true),
  ];

  it('knows cancellations early, and counts them as unbiased only once they have matured', async () => {
    const db = await joined(log, binary, day(30));
    expect(await outcomesOf(db)).toMatchObject([
      { id: 'r-cancelled/0', label: 1, state: 'labelled', matured: false },
      { id: 'r-forgotten/0', label: null, by: null, known: null, state: 'overdue', matured: true },
      { id: 'r-open/0', label: null, state: 'pending', matured: false },
      { id: 'r-stayed/0', label: 0, by: 'l-stayed', state: 'labelled', matured: true },
    ]);
    expect(await db.rowsOf('SELECT request_id FROM outcomes WHERE matured AND label IS NOT NULL')).toEqual([
      { request_id: 'r-stayed' },
    ]);
    const counts: OutcomeCounts = await countOutcomes(db);
    expect(counts).toEqual({
      answers: 4,
      labelled: 2,
      pending: 1,
      overdue: 1,
      absent: 0,
      matured: 2,
      shadowScores: 0,
      shadowsWithoutAnswer: 0,
      labels: 3,
      notYetKnown: 0,
      unusable: 0,
      superseded: 0,
      withdrawn: 0,
      contradicting: 0,
      unknown: 1,
    });
  });

  it('knows nothing that became known after asOf', async () => {
    const db = await joined(log, binary, day(12));
    expect((await outcomesOf(db)).map(({ id, state }) => [id, state])).toEqual([
      ['r-cancelled/0', 'labelled'],
      ['r-forgotten/0', 'pending'],
      ['r-open/0', 'pending'],
      ['r-stayed/0', 'pending'],
    ]);
    expect(await countOutcomes(db)).toMatchObject({ labels: 2, notYetKnown: 1 });
  });

  it('holds a label that came first as unknown, and matches it when its answer is there', async () => {
    expect(await countOutcomes(await joined([outcome('stayed', 12, false)], binary, day(30)))).toMatchObject({
      answers: 0,
      unknown: 1,
    });
    expect(await countOutcomes(await joined(log, binary, day(30)))).toMatchObject({ unknown: 1, labelled: 2 });
  });
});

describe('churn: only positives arrive', () => {
  const terms: LabelTerms = { task: 'binary', window: '30 days', absent: 'negative' };
  const left = (id: string, happened: number) =>
    label(`l-${id}`, { entity: id, happenedMs: day(happened), knownMs: day(happened) + HOUR_MS, value: true });
  const log = [
    answer('stays', { entity: 'a' }),
    answer('leaves', { entity: 'b' }),
    answer('leaves-later', { entity: 'c' }),
    answer('weekly', { entity: 'b', eventMs: day(7), maturesMs: day(37) }),
    answer('after', { entity: 'b', eventMs: day(21), maturesMs: day(51) }),
    left('b', 20),
    left('c', 31),
  ];

  it('makes silence a negative when the window closes, known at that moment', async () => {
    expect(await outcomesOf(await joined(log, terms, day(30)))).toMatchObject([
      { id: 'after/0', state: 'pending', label: null },
      { id: 'leaves/0', state: 'labelled', label: 1, matured: false },
      { id: 'leaves-later/0', state: 'pending' },
      { id: 'stays/0', state: 'pending', matured: false },
      { id: 'weekly/0', state: 'labelled', label: 1 },
    ]);
    expect(await outcomesOf(await joined(log, terms, day(30) + 1))).toMatchObject([
      { id: 'after/0', state: 'pending' },
      { id: 'leaves/0', state: 'labelled', label: 1, by: 'l-b', known: day(20) + HOUR_MS, matured: true },
      { id: 'leaves-later/0', state: 'absent', label: 0, by: null, known: day(30), matured: true },
      { id: 'stays/0', state: 'absent', label: 0, known: day(30), matured: true },
      { id: 'weekly/0', state: 'labelled', matured: false },
    ]);
    expect(await countOutcomes(await joined(log, terms, day(60)))).toMatchObject({
      absent: 3,
      labelled: 2,
      unknown: 1,
    });
  });

  it('makes it a positive where only negatives arrive', async () => {
    const db = await joined([answer('r')], { ...terms, absent: 'positive' }, day(31));
    expect(await outcomesOf(db)).toMatchObject([{ label: 1, state: 'absent', known: day(30) }]);
  });

  it('corrects itself when a positive is reported late', async () => {
    const late = [answer('r'), label('l', { requestId: 'r', knownMs: day(40), value: true })];
    expect(await outcomesOf(await joined(late, terms, day(35)))).toMatchObject([{ label: 0, state: 'absent' }]);
    expect(await outcomesOf(await joined(late, terms, day(40)))).toMatchObject([{ label: 1, state: 'labelled' }]);
  });

  it('closes its window at both ends, to the millisecond, and by days where a stamp is only a day', async () => {
    const at = async (happenedMs: number, o: Partial<Label> = {}, event: Partial<Answer> = {}) => {
      const records = [answer('r', { entity: 'e', ...event }), label('l', { entity: 'e', happenedMs, ...o })];
      return (await outcomesOf(await joined(records, terms, day(29))))[0]!.state === 'labelled';
    };
    const midnight = Math.floor(T0 / DAY_MS) * DAY_MS;
    const asDay = { happenedResolution: 'day' } as const;
    expect(await at(T0)).toBe(true);
    expect(await at(T0 - 1)).toBe(false);
    expect(await at(day(30))).toBe(true);
    expect(await at(day(30) + 1)).toBe(false);
    expect(await at(midnight, asDay)).toBe(true);
    expect(await at(midnight - DAY_MS, asDay)).toBe(false);
    expect(await at(midnight + 30 * DAY_MS, asDay)).toBe(true);
    expect(await at(midnight + 31 * DAY_MS, asDay)).toBe(false);
    expect(await at(midnight + 31 * DAY_MS - 1, {}, { eventMs: midnight, eventResolution: 'day' })).toBe(true);
    expect(await at(midnight - 1, {}, { eventMs: midnight, eventResolution: 'day' })).toBe(false);
  });
});

describe('labels that meet', () => {
  const r = { requestId: 'r' };
  const told = async (labels: Label[], asOf = day(9), terms = binary) => {
    const db = await joined([answer('r'), answer('r', { row: 1 }), ...labels], terms, asOf);
    const [first] = await outcomesOf(db);
    return { label: first!.label, by: first!.by, counts: await countOutcomes(db) };
  };

  it('by request belong to its first row, or to the row they name', async () => {
    const db = await joined(
      [answer('r'), answer('r', { row: 1 }), label('a', r), label('b', { ...r, row: 1, value: false })],
      binary,
      day(9),
    );
    expect(await outcomesOf(db)).toMatchObject([
      { id: 'r/0', label: 1, by: 'a' },
      { id: 'r/1', label: 0, by: 'b' },
    ]);
  });

  it('supersede: the newest of a chain counts, whatever order it came in', async () => {
    const chain = [
      label('c', { ...r, value: false, supersedes: 'b', knownMs: day(3) }),
      label('a', { ...r, value: true, knownMs: day(1) }),
      label('b', { ...r, value: true, supersedes: 'a', knownMs: day(5) }),
    ];
    expect(await told(chain)).toMatchObject({ label: 0, by: 'c', counts: { superseded: 2, contradicting: 0 } });
    expect(await told(chain, day(4))).toMatchObject({ label: 0, by: 'c', counts: { superseded: 0, contradicting: 1 } });
    expect(await told(chain, day(2))).toMatchObject({ label: 1, by: 'a', counts: { labels: 1, notYetKnown: 2 } });
  });

  it('are withdrawn, and come back with a new label', async () => {
    const gone = [label('a', r), label('b', { value: null, supersedes: 'a', knownMs: day(2) })];
    expect(await told(gone)).toMatchObject({
      label: null,
      counts: { withdrawn: 1, superseded: 1, overdue: 0, pending: 2 },
    });
    expect(await told([...gone, label('c', { ...r, value: false, knownMs: day(1) })])).toMatchObject({
      label: 0,
      by: 'c',
    });
  });

  it('are taken back by a withdrawal of their target that names none, if it is known last', async () => {
    const a = label('a', { ...r, knownMs: day(1) });
    expect(await told([a, label('b', { ...r, value: null, knownMs: day(2) })])).toMatchObject({
      label: null,
      counts: { contradicting: 0, withdrawn: 1 },
    });
    expect(await told([a, label('b', { ...r, value: null, knownMs: day(0) })])).toMatchObject({ label: 1, by: 'a' });
  });

  it('contradict: the one known last counts, then the one received last, then the larger id', async () => {
    const said = (id: string, known: number, received: number, value: boolean) =>
      label(id, { ...r, knownMs: day(known), receivedMs: day(received), value });
    expect(await told([said('a', 2, 2, true), said('b', 1, 3, false)])).toMatchObject({
      label: 1,
      by: 'a',
      counts: { contradicting: 1 },
    });
    expect(await told([said('a', 2, 2, true), said('b', 2, 3, false)])).toMatchObject({ label: 0, by: 'b' });
    expect(await told([said('a', 2, 2, true), said('b', 2, 2, false)])).toMatchObject({ label: 0, by: 'b' });
    expect(await told([said('a', 2, 2, true), said('b', 3, 2, true)])).toMatchObject({ counts: { contradicting: 0 } });
  });

  it('that supersede themselves count, and those that supersede each other do not', async () => {
    expect(await told([label('a', { ...r, supersedes: 'a' })])).toMatchObject({ label: 1, counts: { superseded: 0 } });
    expect(await told([label('a', { ...r, supersedes: 'b' }), label('b', { ...r, supersedes: 'a' })])).toMatchObject({
      label: null,
      counts: { superseded: 2 },
    });
  });

  it('have the type of the task: truth is 1 or 0, classes are texts; what is none of these is counted', async () => {
    const value = async (given: LabelValue, task: LabelTerms['task']) => {
      const { label: read, counts } = await told([label('a', { ...r, value: given })], day(9), {
        task,
        absent: 'missing',
      });
      return counts.unusable === 1 ? 'unusable' : read;
    };
    expect(await value(true, 'binary')).toBe(1);
    expect(await value('False', 'binary')).toBe(0);
    expect(await value(1, 'binary')).toBe(1);
    expect(await value('yes', 'binary')).toBe('unusable');
    expect(await value(0.5, 'binary')).toBe('unusable');
    expect(await value(-2.5, 'regression')).toBe(-2.5);
    expect(await value('12', 'regression')).toBe(12);
    expect(await value(true, 'regression')).toBe('unusable');
    expect(await value('NaN', 'regression')).toBe('unusable');
    expect(await value('gold', 'multiclass')).toBe('gold');
    expect(await value(3, 'multiclass')).toBe('3');
  });
});

it('shadow_outcomes has each shadow score of an answer that is there, beside what the answer said and what came true', async () => {
  const log = [
    answer('r', { output: { scores: [0.2], prediction: false } }),
    shadow('r', { version: 2, output: { scores: [0.7], prediction: true } }),
    shadow('r', { version: 3, output: undefined, failed: { version: 3, why: 'threw', detail: 'x' } }),
    shadow('r', { row: 1 }),
    label('l', { requestId: 'r' }),
  ];
  const db = await joined(log, binary, day(9));
  expect(
    await db.rowsOf(
      'SELECT shadow_version, shadow_scores[1] AS theirs, shadow_failed_why AS why, scores[1] AS ours, label, state FROM shadow_outcomes ORDER BY 1',
    ),
  ).toEqual([
    { shadow_version: 2, theirs: 0.7, why: null, ours: 0.2, label: 1, state: 'labelled' },
    { shadow_version: 3, theirs: null, why: 'threw', ours: 0.2, label: 1, state: 'labelled' },
  ]);
  expect(await countOutcomes(db)).toMatchObject({ shadowScores: 3, shadowsWithoutAnswer: 1 });
});

describe('the rules in plain TypeScript', () => {
  const halfDays = fc.integer({ min: -1, max: 7 }).map((n) => Math.floor(T0 / DAY_MS) * DAY_MS + n * 12 * HOUR_MS);
  const resolution = fc.constantFrom('instant' as const, 'day' as const);
  const entity = fc.option(fc.constantFrom('e1', 'e2'), { nil: undefined });
  const someAnswer = fc
    .record({
      id: fc.constantFrom('r1', 'r2', 'r3'),
      row: fc.integer({ min: 0, max: 1 }),
      entity,
      eventMs: halfDays,
      eventResolution: resolution,
      maturesMs: fc.option(halfDays),
    })
    .map(({ id, ...o }) => answer(id, o));
  const someLabel = fc
    .record({
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      about: fc.oneof(
        fc.record({
          requestId: fc.constantFrom('r1', 'r2', 'r3', 'r9'),
          row: fc.option(fc.integer({ min: 0, max: 1 }), { nil: undefined }),
        }),
        fc.record({
          entity,
          happenedMs: fc.option(halfDays, { nil: undefined }),
          happenedResolution: fc.option(resolution, { nil: undefined }),
        }),
      ),
      value: fc.constantFrom<LabelValue | null>(true, false, null, 'none of the task'),
      knownMs: halfDays,
      receivedMs: halfDays,
      supersedes: fc.option(fc.constantFrom('a', 'b', 'c', 'd', 'x'), { nil: undefined }),
    })
    .map(({ id, about, ...o }) => label(id, { ...about, ...o }));
  const unique = <T>(things: T[], keyOf: (one: T) => string): T[] => [
    ...new Map(things.map((one) => [keyOf(one), one])).values(),
  ];

  function reference(answers: Answer[], labels: Label[], terms: LabelTerms, asOf: number) {
    const usable = labels.filter(({ knownMs, value }) => knownMs <= asOf && value !== 'none of the task');
    const superseded = usable.filter((one) => usable.some((by) => by !== one && by.supersedes === one.labelId));
    const heads = usable.filter((one) => !superseded.includes(one) && !(one.value === null && one.supersedes));
    const windowMs = terms.window === undefined ? undefined : Number.parseFloat(terms.window) * DAY_MS;
    const belongs = (one: Label, to: Answer): boolean => {
      if (one.requestId !== undefined) return one.requestId === to.requestId && (one.row ?? 0) === to.row;
      if (one.entity === undefined || one.entity !== to.entity || one.happenedMs === undefined) return false;
      const until = windowMs === undefined ? to.maturesMs : to.eventMs + windowMs;
      if (until === null) return false;
      const inDays = to.eventResolution === 'day' || one.happenedResolution === 'day';
      const at = (ms: number) => (inDays ? Math.floor(ms / DAY_MS) : ms);
      return at(to.eventMs) <= at(one.happenedMs) && at(one.happenedMs) <= at(until);
    };
    const matched = new Set<Label>();
    let contradicting = 0;
    const outcomes = answers.map((to) => {
      const mine = heads.filter((one) => belongs(one, to));
      mine.forEach((one) => matched.add(one));
      if (new Set(mine.filter(({ value }) => value !== null).map(({ value }) => value)).size > 1) contradicting++;
      const [last] = mine.sort(
        (a, b) => b.knownMs - a.knownMs || b.receivedMs - a.receivedMs || (a.labelId < b.labelId ? 1 : -1),
      );
      const matured = to.maturesMs !== null && to.maturesMs < asOf;
      const row = { id: `${to.requestId}/${to.row}`, matured };
      if (last && last.value !== null)
        return { ...row, label: Number(last.value), by: last.labelId, known: last.knownMs, state: 'labelled' };
      const silent = { ...row, label: null, by: null, known: null };
      if (!matured) return { ...silent, state: 'pending' };
      if (terms.absent === 'missing') return { ...silent, state: 'overdue' };
      return { ...silent, label: terms.absent === 'positive' ? 1 : 0, known: to.maturesMs, state: 'absent' };
    });
    const counts = {
      labels: usable.length,
      superseded: superseded.length,
      withdrawn: usable.filter(({ value }) => value === null).length,
      contradicting,
      unknown: heads.filter((one) => one.value !== null && !matched.has(one)).length,
      notYetKnown: labels.filter(({ knownMs }) => knownMs > asOf).length,
    };
    return { outcomes: outcomes.sort((a, b) => (a.id < b.id ? -1 : 1)), counts };
  }

  it('and the join say the same of any log', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(someAnswer, { maxLength: 6 }),
        fc.array(someLabel, { maxLength: 5 }),
        fc.constantFrom<LabelTerms['absent']>('missing', 'negative', 'positive'),
        fc.constantFrom(undefined, '1 days', '1.5 days'),
        halfDays,
        async (answers, labels, absent, window, asOf) => {
          const terms = { task: 'binary' as const, absent, ...(window && { window }) };
          // Each key once: which of several counts is the views' affair.
          const those = unique(answers, ({ requestId, row }) => `${requestId}/${row}`);
          const known = unique(labels, ({ labelId }) => labelId);
          const db = await joined([...those, ...known], terms, asOf);
          const expected = reference(those, known, terms, asOf);
          expect(await outcomesOf(db)).toEqual(expected.outcomes);
          expect(await countOutcomes(db)).toMatchObject(expected.counts);
          open.splice(0).forEach((one) => one.close());
        },
      ),
      { numRuns: 80 },
    );
  }, 180_000);
});

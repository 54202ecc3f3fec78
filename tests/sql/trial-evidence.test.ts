import { afterEach, describe, expect, it } from 'vitest';
import { Random } from '../../numerics/random.ts';
import type { Answer, EvidenceCell, Label, LogRecord, MaturityCell } from '../../schemas/index.ts';
import { openDatabase, type Database } from '../../sql/database.ts';
import { createOutcomes, type LabelTerms } from '../../sql/outcomes.ts';
import { createLogViews } from '../../sql/prediction-log.ts';
import { beginOf, blockOf, measureTrial, type TrialSums, type TrialTerms } from '../../sql/trial-evidence.ts';
import { temporaryFolder } from './folder.ts';
import { answer, DAY_MS, HOUR_MS, label, writeSegment } from './log-records.ts';

const folder = temporaryFolder();
const open: Database[] = [];
afterEach(() => {
  for (const db of open.splice(0)) db.close();
});

/** A Monday: week 2907 begins. */
const MONDAY = Date.UTC(2025, 8, 22);
const WEEK = blockOf(MONDAY, 'week');

interface Scored {
  record: Answer;
  champion: number[] | null;
  challenger: number[] | null;
}

let files = 0;

async function measured(
  rows: readonly Scored[],
  labels: readonly Label[],
  outcome: LabelTerms,
  terms: Omit<TrialTerms, 'task'>,
): Promise<TrialSums> {
  const records: LogRecord[] = [...rows.map(({ record }) => record), ...labels];
  const raw = writeSegment(folder.file(`${files++}.ndjson.gz`), records);
  const db = await openDatabase({ files: [raw] });
  open.push(db);
  await createLogViews(db, 'churn', { raw: [raw], parquet: [] });
  await createOutcomes(db, outcome, terms.asOf);
  const list = (scores: number[] | null) =>
    scores === null ? 'NULL' : `[${scores.map((x) => `'${x}'::DOUBLE`).join(', ')}]`;
  await db.run('CREATE TABLE s (request_id VARCHAR, "row" BIGINT, champion DOUBLE[], challenger DOUBLE[])');
  const values = rows.map(
    ({ record, champion, challenger }) =>
      `('${record.requestId}', ${record.row}, ${list(champion)}, ${list(challenger)})`,
  );
  if (values.length > 0) await db.run(`INSERT INTO s VALUES ${values.join(', ')}`);
  return measureTrial(db, { ...terms, task: outcome.task }, 's');
}

const scored = (
  id: string,
  eventMs: number,
  maturesMs: number | null,
  champion: number[] | null,
  challenger: number[] | null,
  inputs: Answer['inputs'] = { visits: 3 },
): Scored => ({ record: answer(id, { eventMs, maturesMs, inputs }), champion, challenger });

const terms = (o: Partial<TrialTerms> = {}): Omit<TrialTerms, 'task'> => ({
  loss: 'logLoss',
  guardrails: [],
  slices: [],
  block: 'week',
  strataEdgesDays: [7],
  from: new Date(MONDAY),
  asOf: new Date(MONDAY + 60 * DAY_MS),
  ...o,
});

const cellOf = (sums: TrialSums, measure: string, block: number, stratum: number) =>
  sums.cells.find((cell) => cell.measure === measure && cell.block === block && cell.stratum === stratum);
const maturityOf = (sums: TrialSums, block: number, stratum: number) =>
  sums.maturity.find((cell) => cell.block === block && cell.stratum === stratum);

it('weeks begin on Mondays and days at midnight, UTC, before 1970 too', () => {
  expect([blockOf(Date.UTC(1970, 0, 5), 'week'), blockOf(Date.UTC(1970, 0, 5) - 1, 'week')]).toEqual([0, -1]);
  expect([blockOf(0, 'day'), blockOf(-1, 'day')]).toEqual([0, -1]);
  expect(beginOf(WEEK, 'week')).toBe(MONDAY);
  expect(beginOf(blockOf(MONDAY + 5, 'day'), 'day')).toBe(MONDAY);
});

describe('by hand', () => {
  const binary: LabelTerms = { task: 'binary', absent: 'missing' };

  it('two losses, their squares, and what the calibration of the challenger is', async () => {
    const sums = await measured(
      [
        scored('a', MONDAY, MONDAY + DAY_MS, [0.5], [0.25]),
        scored('b', MONDAY + HOUR_MS, MONDAY + 2 * DAY_MS, [0.5], [0.75]),
      ],
      [
        label('la', { requestId: 'a', value: true, knownMs: MONDAY }),
        label('lb', { requestId: 'b', value: true, knownMs: MONDAY }),
      ],
      binary,
      terms({
        guardrails: [
          { on: 'brier', margin: 0 },
          { on: 'calibration', margin: 1 },
          { on: 'calibrationSlope', margin: 1 },
        ],
      }),
    );
    const [a, b] = [Math.log(0.25) - Math.log(0.5), Math.log(0.75) - Math.log(0.5)];
    const cell = cellOf(sums, 'loss', WEEK, 0)!;
    expect(cell.rows).toBe(2);
    expect(cell.sum).toBeCloseTo(a + b, 14);
    expect(cell.sumOfSquares).toBeCloseTo(a * a + b * b, 14);
    expect(cellOf(sums, 'guardrail.brier', WEEK, 0)!.sum).toBeCloseTo(0.25 - 0.5625 + (0.25 - 0.0625), 14);
    expect(cellOf(sums, 'calibration', WEEK, 0)).toMatchObject({ sum: 0.75 + 0.25, sumOfSquares: 0.625 });
    expect(cellOf(sums, 'calibrationSlope', WEEK, 0)!.sum).toBeCloseTo(0.75 * Math.log(1 / 3) + 0.25 * Math.log(3), 14);
  });

  it('a certain mistake costs what a probability of one in a million costs, and no more', async () => {
    const sums = await measured(
      [scored('a', MONDAY, MONDAY + DAY_MS, [0], [0.5])],
      [label('la', { requestId: 'a', value: true, knownMs: MONDAY })],
      binary,
      terms(),
    );
    expect(cellOf(sums, 'loss', WEEK, 0)!.sum).toBeCloseTo(Math.log(1e6) - Math.log(2), 12);
  });

  it('multiclass: squares over all classes; a class that a version does not know has no probability', async () => {
    const rows = [
      scored('a', MONDAY, MONDAY + DAY_MS, [0.2, 0.8], [0.5, 0.3, 0.2]),
      scored('b', MONDAY, MONDAY + DAY_MS, [0.2, 0.8], [0.5, 0.3, 0.2]),
    ];
    const labels = [
      label('la', { requestId: 'a', value: 'x', knownMs: MONDAY }),
      label('lb', { requestId: 'b', value: 'z', knownMs: MONDAY }),
    ];
    const classes = { champion: ['x', 'y'], challenger: ['x', 'y', 'z'] };
    const multiclass: LabelTerms = { task: 'multiclass', absent: 'missing' };
    const brier = await measured(rows, labels, multiclass, terms({ loss: 'brier', classes }));
    const [champion, challenger] = [0.64 + 0.64 + (0.04 + 0.64 + 1), 0.25 + 0.09 + 0.04 + (0.25 + 0.09 + 0.64)];
    expect(cellOf(brier, 'loss', WEEK, 0)!.sum).toBeCloseTo(champion - challenger, 12);
    const logLoss = await measured(rows, labels, multiclass, terms({ classes }));
    expect(cellOf(logLoss, 'loss', WEEK, 0)!.sum).toBeCloseTo(
      -Math.log(0.2) - Math.log(1e-6) + Math.log(0.5) + Math.log(0.2),
      12,
    );
  });

  it('the clock: due, known early, overdue, twice overdue, without a score; the window is open at its end', async () => {
    const asOf = MONDAY + 10 * DAY_MS;
    const sums = await measured(
      [
        scored('before', MONDAY - 1, MONDAY, [0.5], [0.5]),
        scored('labelled', MONDAY, MONDAY + DAY_MS, [0.5], [0.25]),
        scored('at the edge', MONDAY, MONDAY + 7 * DAY_MS, [0.5], [0.5]),
        scored('above the edge', MONDAY, MONDAY + 7 * DAY_MS + 1, [0.5], [0.5]),
        scored('early', MONDAY, MONDAY + 30 * DAY_MS, [0.5], [0.5]),
        scored('overdue', MONDAY, MONDAY + 6 * DAY_MS, [0.5], [0.5]),
        scored('twice overdue', MONDAY, MONDAY + 5 * DAY_MS, [0.5], [0.5]),
        scored('unscored', MONDAY, MONDAY + DAY_MS, [0.5], null),
        scored('not finite', MONDAY, MONDAY + DAY_MS, [NaN], [0.5]),
        scored('undated', MONDAY, null, [0.5], [0.5]),
        scored('just matures', MONDAY, asOf, [0.5], [0.5]),
        scored('too late', asOf, asOf + DAY_MS, [0.5], [0.5]),
      ],
      ['labelled', 'early', 'unscored', 'not finite', 'undated', 'before'].map((id) =>
        label(`l-${id}`, { requestId: id, value: false, knownMs: MONDAY }),
      ),
      binary,
      terms({ asOf: new Date(asOf), settledBy: new Date(MONDAY + 6 * DAY_MS) }),
    );
    expect(maturityOf(sums, WEEK, 0)).toEqual({
      block: WEEK,
      stratum: 0,
      requests: 6,
      matured: 6,
      labelled: 3,
      early: 0,
      overdue: 3,
      twiceOverdue: 1,
      unscored: 2,
      settled: 4,
    } satisfies MaturityCell);
    expect(maturityOf(sums, WEEK, 1)).toMatchObject({ requests: 3, matured: 1, early: 1, overdue: 1, twiceOverdue: 0 });
    expect(sums.undated).toEqual([{ block: WEEK, rows: 1 }]);
    expect(sums.lastRequestAt).toBe(new Date(MONDAY).toISOString());
    expect(sums.cells).toMatchObject([{ measure: 'loss', stratum: 0, rows: 1 }]);
  });

  it('due is what matured a grace ago: what is a little late is neither overdue nor evidence, nor is what was in time', async () => {
    const [asOf, graceMs] = [MONDAY + 10 * DAY_MS, DAY_MS];
    const rows = (
      [
        ['within', asOf - DAY_MS],
        ['without', asOf - DAY_MS - 1],
      ] as const
    ).flatMap(([when, maturesMs]) => [
      scored(`${when}, labelled`, MONDAY, maturesMs, [0.5], [0.25]),
      scored(`${when}, late`, MONDAY, maturesMs, [0.5], [0.25]),
    ]);
    const labels = ['within', 'without'].map((when) =>
      label(`l-${when}`, { requestId: `${when}, labelled`, value: false, knownMs: MONDAY }),
    );
    const of = terms({ asOf: new Date(asOf), strataEdgesDays: [] });
    expect(maturityOf(await measured(rows, labels, { ...binary, graceMs }, of), WEEK, 0)).toMatchObject({
      requests: 4,
      matured: 2,
      labelled: 1,
      early: 1,
      overdue: 1,
    });
    // Nor does silence say anything yet.
    const silent = await measured(rows, labels, { task: 'binary', absent: 'positive', graceMs }, of);
    expect(maturityOf(silent, WEEK, 0)).toMatchObject({ matured: 2, labelled: 2, overdue: 0 });
    expect(cellOf(silent, 'loss', WEEK, 0)).toMatchObject({ rows: 2 });
  });

  it('slices are of values as JSON has them; rows that were due by then are summed once more', async () => {
    const rows = [
      scored('a', MONDAY, MONDAY + DAY_MS, [0.5], [0.25], { hotel: 'City', vip: true, n: 1 }),
      scored('b', MONDAY, MONDAY + 2 * DAY_MS, [0.5], [0.25], { hotel: 'Resort', vip: 'true', n: '1' }),
      scored('c', MONDAY, MONDAY + 3 * DAY_MS, [0.5], [0.25], {}),
    ];
    const sums = await measured(
      rows,
      rows.map(({ record: { requestId } }) => label(`l-${requestId}`, { requestId, value: false, knownMs: MONDAY })),
      binary,
      terms({
        slices: [
          { column: 'hotel', is: 'City', margin: 0 },
          { column: 'vip', is: true, margin: 0 },
          { column: 'n', is: 1, margin: 0 },
          { column: 'hotel', is: 'Nowhere', margin: 0 },
        ],
        dueBy: new Date(MONDAY + 2 * DAY_MS + 1),
      }),
    );
    expect(sums.cells.map(({ measure, rows: n }) => [measure, n])).toEqual([
      ['loss', 3],
      ['slice.0', 1],
      ['slice.1', 1],
      ['slice.2', 1],
    ]);
    expect(sums.due).toEqual([{ block: WEEK, stratum: 0, rows: 2, sum: 2 * (Math.log(0.75) - Math.log(0.5)) }]);
  });

  it('a loss that is too large to be summed is no score, and an empty log is empty', async () => {
    const sums = await measured(
      [scored('a', MONDAY, MONDAY + DAY_MS, [1e200], [0]), scored('b', MONDAY, MONDAY + DAY_MS, [2], [0])],
      ['a', 'b'].map((id) => label(`l-${id}`, { requestId: id, value: 1, knownMs: MONDAY })),
      { task: 'regression', absent: 'missing' },
      terms({ loss: 'squaredError' }),
    );
    expect(maturityOf(sums, WEEK, 0)).toMatchObject({ matured: 2, labelled: 2, unscored: 1 });
    expect(sums.cells).toMatchObject([{ rows: 1, sum: 0 }]);
    expect(await measured([], [], binary, terms())).toEqual({ maturity: [], cells: [], due: [], undated: [] });
  });
});

describe.each([
  ['binary', 'missing', 'logLoss', ['brier', 'calibration', 'calibrationSlope']],
  ['binary', 'negative', 'brier', ['logLoss']],
  ['multiclass', 'missing', 'logLoss', ['brier']],
  ['regression', 'missing', 'squaredError', ['absoluteError']],
] as const)('in plain JavaScript: %s, silence is %s, %s', (task, absent, loss, guarded) => {
  it.each(['week', 'day'] as const)('the same sums by %s', async (block) => {
    const random = new Random(12);
    const classes = ['x', 'y', 'z'];
    const asOf = MONDAY + 40 * DAY_MS;
    const edges = [3, 10, 20];
    const probabilities = () => {
      const raw = classes.map(() => 0.01 + random.float());
      const sum = raw.reduce((a, b) => a + b);
      return raw.map((x) => x / sum);
    };
    const scores = () =>
      random.float() < 0.02
        ? null
        : task === 'multiclass'
          ? probabilities()
          : [task === 'binary' ? random.float() : 10 * random.float() - 5];
    const valueOf = () =>
      task === 'multiclass'
        ? classes[Math.floor(random.float() * 3)]!
        : task === 'binary'
          ? random.float() < 0.4
          : 10 * random.float() - 5;
    const labels: Label[] = [];
    const rows = Array.from({ length: 600 }, (_, i) => {
      const eventMs = MONDAY - 5 * DAY_MS + Math.floor(random.float() * 50 * DAY_MS);
      const maturesMs = random.float() < 0.03 ? null : eventMs + Math.floor(random.float() * 30 * DAY_MS);
      const value = random.float() < 0.7 ? valueOf() : undefined;
      const knownMs = eventMs + Math.floor(random.float() * 20 * DAY_MS);
      if (value !== undefined) labels.push(label(`l${i}`, { requestId: `r${i}`, value, knownMs }));
      const one = scored(`r${i}`, eventMs, maturesMs, scores(), scores(), { hotel: i % 3 === 0 ? 'City' : 'Resort' });
      return { ...one, value: value !== undefined && knownMs <= asOf ? value : undefined };
    });
    const sums = await measured(
      rows,
      labels,
      { task, absent },
      terms({
        loss,
        guardrails: guarded.map((on) => ({ on, margin: 0.1 })),
        slices: [{ column: 'hotel', is: 'City', margin: 0 }],
        strataEdgesDays: edges,
        block,
        asOf: new Date(asOf),
        ...(task === 'multiclass' && { classes: { champion: classes, challenger: classes } }),
      }),
    );

    const clip = (p: number) => Math.min(1 - 1e-6, Math.max(1e-6, p));
    const lossOf = (on: string, value: unknown, s: readonly number[]): number => {
      const y = Number(value);
      if (on === 'squaredError') return (y - s[0]!) ** 2;
      if (on === 'absoluteError') return Math.abs(y - s[0]!);
      if (task === 'multiclass')
        return on === 'logLoss'
          ? -Math.log(clip(s[classes.indexOf(value as string)]!))
          : s.reduce((sum, p, k) => sum + (Number(classes[k] === value) - p) ** 2, 0);
      return on === 'logLoss' ? -Math.log(clip(y === 1 ? s[0]! : 1 - s[0]!)) : (y - s[0]!) ** 2;
    };
    const cells = new Map<string, EvidenceCell>();
    const requests = new Map<string, { requests: number; matured: number; unscored: number; labelled: number }>();
    let undated = 0;
    for (const { record, champion, challenger, value } of rows) {
      const { eventMs, maturesMs, inputs } = record;
      if (eventMs < MONDAY || eventMs >= asOf) continue;
      if (maturesMs === null) {
        undated++;
        continue;
      }
      const blockN = blockOf(eventMs, block);
      const stratum = edges.filter((edge) => (maturesMs - eventMs) / DAY_MS > edge).length;
      const key = `${blockN} ${stratum}`;
      const clock = requests.get(key) ?? { requests: 0, matured: 0, unscored: 0, labelled: 0 };
      requests.set(key, clock);
      clock.requests++;
      if (maturesMs >= asOf) continue;
      clock.matured++;
      const truth = value ?? (absent === 'negative' ? false : undefined);
      if (truth !== undefined) clock.labelled++;
      if (!champion || !challenger) {
        clock.unscored++;
        continue;
      }
      if (truth === undefined) continue;
      const add = (measure: string, x: number) => {
        const name = `${measure} ${key}`;
        const cell = cells.get(name) ?? { measure, block: blockN, stratum, rows: 0, sum: 0, sumOfSquares: 0 };
        cells.set(name, cell);
        cell.rows++;
        cell.sum += x;
        cell.sumOfSquares += x * x;
      };
      const d = (on: string) => lossOf(on, truth, champion) - lossOf(on, truth, challenger);
      add('loss', d(loss));
      for (const on of guarded) {
        const p = challenger[0]!;
        if (on === 'calibration') add(on, Number(truth) - p);
        else if (on === 'calibrationSlope') add(on, (Number(truth) - p) * Math.log(clip(p) / (1 - clip(p))));
        else add(`guardrail.${on}`, d(on));
      }
      if (inputs!['hotel'] === 'City') add('slice.0', d(loss));
    }
    expect(cells.size).toBeGreaterThan(block === 'week' ? 40 : 200);
    expect(sums.cells.length).toBe(cells.size);
    for (const cell of sums.cells) {
      const expected = cells.get(`${cell.measure} ${cell.block} ${cell.stratum}`)!;
      expect(cell.rows).toBe(expected.rows);
      expect(cell.sum).toBeCloseTo(expected.sum, 9);
      expect(cell.sumOfSquares).toBeCloseTo(expected.sumOfSquares, 8);
    }
    expect(sums.maturity.length).toBe(requests.size);
    for (const cell of sums.maturity) expect(cell).toMatchObject(requests.get(`${cell.block} ${cell.stratum}`)!);
    expect(sums.undated.reduce((sum, { rows: n }) => sum + n, 0)).toBe(undated);
  });
});

import { CancelledFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { holdServing } from '../../../activities/rollout/hold.ts';
import type { MaturityCell, ShadowStage } from '../../../schemas/index.ts';
import { answer, label, shadow } from '../../sql/log-records.ts';
import { flowers, register, serve } from '../../api/serving/fixture.ts';
import * as examples from '../../bucket/examples.ts';
import { keepHouse } from '../housekeeping/log-bucket.ts';
import {
  answerOf,
  askedOn,
  at,
  DAY_MS,
  evidenceOf,
  FROM,
  FROM_MS,
  HOUR_MS,
  labelOf,
  lookAt,
  MODEL,
  openTrial,
  planOf,
  says,
  SLOPES,
  upload,
  uploadDay,
  weekOf,
  type Asked,
  type Trial,
} from './trial-fixture.ts';

const PER_DAY = 12;
let trial: Trial;
afterEach(() => trial?.remove());

const logLoss = (y: boolean, p: number) => -Math.log(y ? p : 1 - p);
const gain = ({ visits, churned }: Asked) =>
  logLoss(churned, says(SLOPES.champion, visits)) - logLoss(churned, says(SLOPES.challenger, visits));

describe('a look', () => {
  it('holds both versions’ losses against each other on what is due and labelled, by week and horizon', async () => {
    trial = await openTrial();
    for (let day = 0; day < 21; day++) await uploadDay(trial, day, PER_DAY);
    const now = FROM_MS + 21 * DAY_MS;
    const look = await lookAt(trial, planOf(trial), now);
    expect(look.scored).toBe(21 * PER_DAY);
    expect(look.line).toMatch(/undecided/);
    expect(look.over).toBeUndefined();
    const evidence = await evidenceOf(trial, look);

    const asked = Array.from({ length: 21 }, (_, day) => askedOn(day, PER_DAY)).flat();
    for (const cell of evidence.maturity) {
      const own = asked.filter(
        ({ eventMs, maturesMs }) =>
          weekOf(eventMs) === cell.block && Number(maturesMs - eventMs >= 7 * DAY_MS) === cell.stratum,
      );
      // Due is what matured a day ago.
      const due = own.filter(({ maturesMs }) => maturesMs < now - DAY_MS);
      expect(cell).toMatchObject({ requests: own.length, matured: due.length, labelled: due.length, overdue: 0 });
      const loss = evidence.cells.find(({ block, stratum }) => block === cell.block && stratum === cell.stratum);
      expect(loss?.rows ?? 0).toBe(due.length);
      // Graphs score in float32.
      expect(loss?.sum ?? 0).toBeCloseTo(
        due.reduce((sum, one) => sum + gain(one), 0),
        5,
      );
    }
    expect(evidence.maturity.reduce((sum, { requests }) => sum + requests, 0)).toBe(asked.length);
    expect(evidence).toMatchObject({
      asOf: at(now),
      undated: 0,
      restated: [],
      lastRequestAt: at(asked.at(-1)!.eventMs),
      scores: [{ rows: asked.length }],
    });
    const { edges, counts } = evidence.histogram!;
    expect(look.histogram).toEqual(evidence.histogram);
    expect(edges.length).toBe(9);
    expect(counts.reduce((a, b) => a + b)).toBe(asked.length);
    for (const n of counts) expect(Math.abs(n - asked.length / 10)).toBeLessThan(6);
  });

  it('of the same time is the same look, whatever the log says by then', async () => {
    trial = await openTrial();
    await uploadDay(trial, 0, PER_DAY);
    const now = FROM_MS + 10 * DAY_MS;
    const first = await lookAt(trial, planOf(trial), now);
    const bytes = await trial.context.stores.bucket.read(first.ref!.key);
    await uploadDay(trial, 1, PER_DAY);
    const again = await lookAt(trial, planOf(trial), now);
    expect(again).toEqual({ ...first, scored: 0 });
    expect(await trial.context.stores.bucket.read(first.ref!.key)).toEqual(bytes);
  });

  it('of an empty log is no data, and so is one without a request for maxWait', async () => {
    trial = await openTrial({ maxWait: '3 days' });
    const empty = await lookAt(trial, planOf(trial), FROM_MS + HOUR_MS);
    expect(empty).toMatchObject({ ref: { verdict: { says: 'no-data' } }, scored: 0 });
    expect(empty.over).toBeUndefined();
    await uploadDay(trial, 0, PER_DAY);
    expect((await lookAt(trial, planOf(trial), FROM_MS + 3 * DAY_MS)).over).toBeUndefined();
    const late = await lookAt(trial, planOf(trial), FROM_MS + 5 * DAY_MS);
    expect(late).toMatchObject({ over: 'no data', line: expect.stringContaining('no request for') as string });
  });

  it('is of nothing once the model has moved on', async () => {
    trial = await openTrial();
    const { context, rollout } = trial;
    await holdServing(
      context,
      rollout,
      ({ holder: _holder, ...serving }) => serving,
      { by: 'bo', because: 'stopped' },
      { workflowId: rollout.workflowId, runId: rollout.runId, step: 's' },
    );
    const look = await lookAt(trial, planOf(trial), FROM_MS + DAY_MS);
    expect(look).toMatchObject({ over: 'overtaken', line: expect.stringContaining('bo') as string });
    expect(look.ref).toBeUndefined();
    expect(await context.stores.looks.list(MODEL)).toEqual([]);
  });
});

describe('half a year', () => {
  /** Every request of 26 weeks, all due and labelled. */
  async function halfAYear(): Promise<Asked[]> {
    trial = await openTrial();
    const asked = Array.from({ length: 26 * 7 }, (_, day) => askedOn(day, PER_DAY)).flat();
    await upload(trial, [...asked.map(answerOf), ...asked.map((one) => labelOf(one))], FROM_MS + 200 * DAY_MS);
    return asked;
  }
  const now = FROM_MS + 201 * DAY_MS;

  it('of a challenger that is better, worse, or the same as the champion', async () => {
    const asked = await halfAYear();
    const better = await lookAt(trial, planOf(trial), now);
    expect(better.ref!.verdict).toMatchObject({
      says: 'pass',
      because: expect.stringMatching(/effect: better/) as string,
    });
    expect(better.over).toBeUndefined();
    const { figures } = (await trial.context.stores.looks.read(better.ref!.key))!;
    const mean = asked.reduce((sum, one) => sum + gain(one) / asked.length, 0);
    expect(figures.find(({ name }) => name === 'loss')!.value).toBeCloseTo(mean, 5);
    expect(figures.find(({ name }) => name === 'loss')).toMatchObject({ blocks: 26, rows: asked.length, coverage: 1 });

    const worse = await lookAt(trial, planOf(trial, { champion: 2, challenger: 1 }), now + 1, {
      previous: better.ref!.key,
    });
    expect(worse.scored).toBe(asked.length);
    expect(worse.ref!.verdict).toMatchObject({
      says: 'fail',
      because: expect.stringMatching(/effect: worse/) as string,
    });
    const same = await lookAt(trial, planOf(trial, { challenger: 1 }), now + 2);
    expect(same).toMatchObject({ ref: { verdict: { says: 'undecided' } }, over: 'no data' });
    expect(same.ref!.verdict.because).toMatch(/no difference/);
  });
});

describe('classes', () => {
  it('of several kinds, by each version’s own probabilities', async () => {
    trial = await openTrial();
    const { stores } = trial.context;
    const spec = { ...examples.spec, name: 'flowers', task: 'multiclass' as const };
    const { hash, n } = await stores.projects.create({
      ...examples.project(examples.sha('4')),
      model: 'flowers',
      spec,
    });
    await register(stores, 'flowers', flowers, { labelsSeenUntil: FROM });
    // The same, but that it knows one class less.
    const two = { kind: 'linear' as const, task: 'multiclass' as const, outputs: 2 };
    await register(stores, 'flowers', {
      ...flowers,
      model: { ...two, intercepts: [1, 0], coefficients: [-1, 0] },
      classes: ['setosa', 'versicolor'],
    });
    const { workflowId, runId } = trial.rollout;
    await serve(stores, 'flowers', { champion: 2, holder: `${workflowId}/${runId}` });
    const rollout = { ...trial.rollout, model: 'flowers', project: { n, hash } };
    const rows = [
      { id: 'a', petal: 2, value: 'virginica' },
      { id: 'b', petal: 0, value: 'setosa' },
    ];
    const of = { model: 'flowers', eventMs: FROM_MS, maturesMs: FROM_MS + DAY_MS };
    await upload(
      trial,
      rows.flatMap(({ id, petal, value }) => [
        answer(id, { ...of, inputs: { petal } }),
        label(`l-${id}`, { model: 'flowers', requestId: id, value, knownMs: FROM_MS }),
      ]),
      FROM_MS + HOUR_MS,
    );
    const stage: ShadowStage = { ...planOf(trial).stage, guardrails: [{ on: 'brier', margin: 0.1 }] };
    const plan = planOf(trial, { champion: 2, challenger: 1, stage });
    const look = await lookAt({ ...trial, rollout }, plan, FROM_MS + 3 * DAY_MS);
    const { cells } = await evidenceOf(trial, look);
    const softmax = (...z: number[]) => z.map((x) => Math.exp(x) / z.reduce((sum, y) => sum + Math.exp(y), 0));
    const sums = { loss: 0, 'guardrail.brier': 0 };
    for (const { petal, value } of rows) {
      const truth = ['setosa', 'versicolor', 'virginica'].indexOf(value);
      const [before, now] = [softmax(1 - petal, 0), softmax(1 - petal, 0, petal - 1)];
      sums.loss += -Math.log(before[truth] ?? 1e-6) + Math.log(now[truth]!);
      const brier = (p: number[]) => [0, 1, 2].reduce((sum, k) => sum + (Number(k === truth) - (p[k] ?? 0)) ** 2, 0);
      sums['guardrail.brier'] += brier(before) - brier(now);
    }
    expect(cells).toMatchObject(
      Object.entries(sums).map(([measure, sum]) => ({ measure, rows: 2, sum: expect.closeTo(sum, 5) as number })),
    );
  });
});

describe('rows that cannot be scored', () => {
  it('are counted as such, one by one, and never an error', async () => {
    trial = await openTrial();
    const matures = { eventMs: FROM_MS, maturesMs: FROM_MS + DAY_MS, model: MODEL };
    const rows = {
      good: { visits: 1, plan: 'pro' },
      missing: { visits: null },
      'out of range': { visits: 1, plan: 'gold' },
      'of another type': { visits: 'many' },
    };
    await upload(
      trial,
      [
        ...Object.entries(rows).map(([id, inputs]) => answer(id.replaceAll(' ', '-'), { ...matures, inputs })),
        answer('shed', { ...matures, inputs: undefined }),
        ...['good', 'missing', 'out-of-range', 'of-another-type', 'shed'].map((requestId) =>
          label(`l-${requestId}`, { model: MODEL, requestId, knownMs: FROM_MS }),
        ),
      ],
      FROM_MS + HOUR_MS,
    );
    const look = await lookAt(trial, planOf(trial), FROM_MS + 3 * DAY_MS);
    const { maturity, cells, scores } = await evidenceOf(trial, look);
    expect(maturity).toMatchObject([{ requests: 5, matured: 5, labelled: 5, unscored: 3 }]);
    expect(cells).toMatchObject([{ measure: 'loss', rows: 2 }]);
    expect(scores).toMatchObject([{ rows: 5 }]);
  });
});

describe('rows that were lost', () => {
  it('because the process that scores was ended are left out, and the next look scores them', async () => {
    trial = await openTrial();
    for (let day = 0; day < 5; day++) await uploadDay(trial, day, PER_DAY);
    const now = FROM_MS + 5 * DAY_MS;
    const poor = { ...trial, context: { ...trial.context, challengerMb: 1 } };
    const first = await lookAt(poor, planOf(trial), now);
    const { maturity, scores, cells } = await evidenceOf(trial, first);
    expect({ scores, cells, says: first.ref!.verdict.says }).toEqual({ scores: [], cells: [], says: 'no-data' });
    expect(maturity.every(({ matured, unscored }) => matured === unscored)).toBe(true);

    const second = await lookAt(trial, planOf(trial), now + 1, { previous: first.ref!.key });
    expect(second.scored).toBe(5 * PER_DAY);
    const evidence = await evidenceOf(trial, second);
    expect(evidence.scores).toMatchObject([{ rows: 5 * PER_DAY }]);
    expect(evidence.maturity.every(({ unscored }) => unscored === 0)).toBe(true);
    expect(evidence.cells.length).toBeGreaterThan(0);
  });
});

describe('a look that is cancelled', () => {
  it('ends, and writes nothing', async () => {
    trial = await openTrial();
    await uploadDay(trial, 0, PER_DAY);
    const env = new MockActivityEnvironment();
    env.on('heartbeat', () => env.cancel());
    await expect(lookAt(trial, planOf(trial), FROM_MS + DAY_MS, {}, env)).rejects.toThrow(CancelledFailure);
    expect(await trial.context.stores.looks.list(MODEL)).toEqual([]);
  });
});

describe('day after day', () => {
  it('only what is new is scored, final weeks are kept, and the sums are those of one look at everything', async () => {
    trial = await openTrial();
    const plan = planOf(trial);
    let previous: string | undefined;
    const scored: number[] = [];
    const parts: number[] = [];
    for (let day = 0; day < 60; day++) {
      await uploadDay(trial, day, PER_DAY);
      const now = FROM_MS + (day + 1) * DAY_MS;
      if (day === 39) await keepHouse(trial.context, at(now));
      const look = await lookAt(trial, plan, now, previous === undefined ? {} : { previous });
      previous = look.ref!.key;
      scored.push(look.scored);
      parts.push((await evidenceOf(trial, look)).scores.length);
    }
    expect(new Set(scored)).toEqual(new Set([PER_DAY]));
    expect(Math.max(...parts)).toBe(16);
    const last = await evidenceOf(trial, { ref: { key: previous! } } as never);
    // Requests of a week are all due three weeks after its begin, and 28 days later it is final.
    expect(last.finalBefore - weekOf(FROM_MS)).toBe(2);
    expect(last.scores.reduce((sum, { rows }) => sum + rows, 0)).toBe(60 * PER_DAY);
    expect(last.restated).toEqual([]);

    const whole = await lookAt(trial, plan, FROM_MS + 60 * DAY_MS + 1);
    expect(whole.scored).toBe(60 * PER_DAY);
    const { maturity, cells, undated } = await evidenceOf(trial, whole);
    expect(last).toMatchObject({ maturity, cells, undated });
    const look = (await trial.context.stores.looks.read(previous!))!;
    expect(look.previous).toMatch(/^looks\/churn\//);
    expect(look.verdict.says).toBe('undecided');
  }, 300_000);

  it('a label that is put right corrects its week, and the look says so', async () => {
    trial = await openTrial({}, { absent: 'missing' });
    for (let day = 0; day < 10; day++) await uploadDay(trial, day, PER_DAY);
    const first = await lookAt(trial, planOf(trial), FROM_MS + 10 * DAY_MS);
    const wrong = askedOn(1, PER_DAY)[0]!;
    await upload(
      trial,
      [
        labelOf(wrong, {
          labelId: 'correction',
          supersedes: `l-${wrong.id}`,
          value: !wrong.churned,
          knownMs: FROM_MS + 10 * DAY_MS,
        }),
      ],
      FROM_MS + 10 * DAY_MS,
    );
    await uploadDay(trial, 10, PER_DAY);
    const second = await lookAt(trial, planOf(trial), FROM_MS + 11 * DAY_MS, { previous: first.ref!.key });
    const [restated, ...others] = (await evidenceOf(trial, second)).restated;
    expect(others).toEqual([]);
    expect(restated).toMatchObject({ block: weekOf(FROM_MS), rows: 0 });
    expect(restated!.sum).toBeCloseTo(gain({ ...wrong, churned: !wrong.churned }) - gain(wrong), 5);
    // Withdrawn, it is no row any more.
    await upload(
      trial,
      [label('gone', { model: MODEL, supersedes: 'correction', value: null, knownMs: FROM_MS + 11 * DAY_MS })],
      FROM_MS + 11 * DAY_MS,
    );
    const third = await lookAt(trial, planOf(trial), FROM_MS + 12 * DAY_MS, { previous: second.ref!.key });
    const evidence = await evidenceOf(trial, third);
    expect(evidence.restated).toMatchObject([{ rows: -1 }]);
    expect(evidence.maturity.find(({ overdue }) => overdue > 0)).toMatchObject({ overdue: 1, twiceOverdue: 1 });
  });

  it('a plan that was changed counts everything again, on the scores that there are', async () => {
    trial = await openTrial();
    for (let day = 0; day < 5; day++) await uploadDay(trial, day, PER_DAY);
    const first = await lookAt(trial, planOf(trial), FROM_MS + 5 * DAY_MS);
    const stage: ShadowStage = { ...planOf(trial).stage, guardrails: [{ on: 'brier', margin: 0.1 }], block: 'day' };
    const second = await lookAt(trial, planOf(trial, { stage }), FROM_MS + 5 * DAY_MS + 1, {
      previous: first.ref!.key,
    });
    expect(second.scored).toBe(0);
    const evidence = await evidenceOf(trial, second);
    expect(new Set(evidence.cells.map(({ measure }) => measure))).toEqual(new Set(['loss', 'guardrail.brier']));
    expect(evidence).toMatchObject({ restated: [], scores: (await evidenceOf(trial, first)).scores });
  });
});

describe('labels of a nightly import', () => {
  it('that looks come before are in time: no look says that they are missing', async () => {
    trial = await openTrial({}, { absent: 'missing' });
    const plan = planOf(trial, { strataEdgesDays: [] });
    // What matures on a day is imported in the night after, at two; it is looked at half past midnight.
    const asked = Array.from({ length: 28 }, (_, day) => askedOn(day, PER_DAY)).flat();
    const nightOf = (ms: number): number => Math.floor(ms / DAY_MS + 1) * DAY_MS + 2 * HOUR_MS;
    await upload(
      trial,
      [
        ...asked.map(answerOf),
        // Half of them were known at once.
        ...asked.map((one, i) => labelOf(one, { knownMs: i % 4 < 2 ? one.eventMs : nightOf(one.maturesMs) })),
      ],
      FROM_MS + 28 * DAY_MS,
    );
    let previous: string | undefined;
    for (let day = 5; day < 28; day += 2) {
      const now = FROM_MS + day * DAY_MS + HOUR_MS / 2;
      const look = await lookAt(trial, plan, now, previous === undefined ? {} : { previous });
      previous = look.ref!.key;
      const { rules } = (await trial.context.stores.looks.read(previous))!;
      expect(rules.find(({ rule }) => rule === 'labels')).toMatchObject({
        says: 'pass',
        because: expect.stringContaining('(100 %)') as string,
      });
      const { cells } = await evidenceOf(trial, look);
      const due = asked.filter(({ maturesMs }) => maturesMs < now - DAY_MS);
      expect(cells.reduce((sum, { rows }) => sum + rows, 0)).toBe(due.length);
    }
  }, 120_000);
});

describe('requests that mature years ahead, or never', () => {
  it('do not keep weeks open for ever: what is final is not read again, and they stay requests that are not due', async () => {
    trial = await openTrial({ maxWait: '52 weeks' });
    const plan = planOf(trial);
    // One in a week; in one week two of 200, of which one will never come.
    const ahead = (days: number) => ({ maturesMs: FROM_MS + days * DAY_MS, visits: 1, churned: true });
    const far: Asked[] = [
      { id: 'typed', eventMs: FROM_MS + HOUR_MS, ...ahead(0), maturesMs: Date.UTC(9999, 11, 31) },
      { id: 'far-1', eventMs: FROM_MS + 8 * DAY_MS, ...ahead(1_000) },
      { id: 'far-2', eventMs: FROM_MS + 8 * DAY_MS, ...ahead(1_000) },
      { id: 'far-3', eventMs: FROM_MS + 15 * DAY_MS, ...ahead(1_000) },
      { id: 'far-4', eventMs: FROM_MS + 15 * DAY_MS, ...ahead(1_000) },
    ];
    const asked = [...Array.from({ length: 21 }, (_, day) => askedOn(day, day < 14 ? 30 : PER_DAY)).flat(), ...far];
    await upload(trial, [...asked.map(answerOf), ...asked.map((one) => labelOf(one))], FROM_MS + 90 * DAY_MS);
    let look = await lookAt(trial, plan, FROM_MS + 91 * DAY_MS);
    for (let i = 1; i < 3; i++)
      look = await lookAt(trial, plan, FROM_MS + (91 + i) * DAY_MS, { previous: look.ref!.key });
    const { finalBefore, maturity, cells } = await evidenceOf(trial, look);
    // Of 210 requests two are 1 %, of 84 they are more.
    expect(finalBefore).toBe(weekOf(FROM_MS) + 2);
    const total = (of: (cell: MaturityCell) => number) => maturity.reduce((sum, cell) => sum + of(cell), 0);
    expect([total(({ requests }) => requests), total(({ matured }) => matured)]).toEqual([
      asked.length,
      asked.length - far.length,
    ]);
    const whole = await evidenceOf(trial, await lookAt(trial, plan, FROM_MS + 93 * DAY_MS + 1));
    expect({ cells, maturity }).toEqual({ cells: whole.cells, maturity: whole.maturity });
  });
});

describe('by log time', () => {
  it('evidence time is the newest in the log, whatever the clock says, and all of the log is read', async () => {
    trial = await openTrial();
    const plan = planOf(trial, { logTime: true });
    // All of it was uploaded months after it is said to have happened.
    const uploadedMs = FROM_MS + 300 * DAY_MS;
    const asked = askedOn(0, PER_DAY);
    await upload(trial, asked.map(answerOf), uploadedMs);
    const startedAt = at(uploadedMs);
    const first = await lookAt(trial, plan, uploadedMs + HOUR_MS, { startedAt });
    const evidence = await evidenceOf(trial, first);
    expect(evidence).toMatchObject({ asOf: at(asked.at(-1)!.eventMs + 1), cells: [] });
    expect(evidence.maturity.reduce((sum, { requests }) => sum + requests, 0)).toBe(PER_DAY);
    expect(first.over).toBeUndefined();
    const known = asked.filter(({ maturesMs, eventMs }) => maturesMs - eventMs < 7 * DAY_MS);
    await upload(
      trial,
      known.map((one) => labelOf(one, { knownMs: one.maturesMs + DAY_MS })),
      uploadedMs + 2 * HOUR_MS,
    );
    const second = await lookAt(trial, plan, uploadedMs + 3 * HOUR_MS, { startedAt, previous: first.ref!.key });
    const later = await evidenceOf(trial, second);
    expect(later.asOf).toBe(at(known.at(-1)!.maturesMs + DAY_MS + 1));
    expect(later.cells).toMatchObject([{ measure: 'loss', rows: known.length }]);
  });
});

describe('beside live traffic', () => {
  const live = { atLeast: '1 day', minRequests: 1, maxErrorRate: 0.05, maxSlowRate: 0.05, minScored: 0.9 };

  it('counts what was due, scored, failed, slow and apart, and puts off the end of the shadow', async () => {
    trial = await openTrial({ live: { ...live, sloMs: 100 } });
    const { stores } = trial.context;
    const before = (await stores.serving.current(MODEL))!;
    const revision = before.n;
    const asked = askedOn(0, 100);
    const scoreOf = ({ id, visits, eventMs }: Asked, o: Parameters<typeof shadow>[1] = {}) =>
      shadow(id, {
        model: MODEL,
        revision,
        eventMs,
        scoredMs: eventMs + 5,
        output: { scores: [Math.fround(says(SLOPES.challenger, visits))], prediction: visits > 0 },
        ...o,
      });
    const failed = { output: undefined, failed: { version: 2, why: 'threw', detail: 'x' } } as const;
    await upload(
      trial,
      [
        ...asked.map((one) => ({ ...answerOf(one), revision })),
        // Before it was a shadow; and another version's score.
        answerOf({ ...asked[0]!, id: 'earlier' }),
        { ...scoreOf(asked[0]!), version: 3 },
        ...asked.slice(0, 90).map((one, i) => {
          if (i < 2) return scoreOf(one, failed);
          if (i < 5) return scoreOf(one, { graphMs: 150 });
          return i < 6 ? scoreOf(one, { output: { scores: [0.123], prediction: true } }) : scoreOf(one);
        }),
      ],
      FROM_MS + DAY_MS,
    );
    const now = FROM_MS + DAY_MS + HOUR_MS / 2;
    const look = await lookAt(trial, planOf(trial), now);
    const { live: found } = await evidenceOf(trial, look);
    // The newest answer may be under way.
    expect(found).toMatchObject({
      since: before.committedAt,
      until: at(now),
      due: 99,
      scored: 90,
      failed: 2,
      slow: 3,
      compared: 88,
      apart: 1,
    });
    const mean = (rows: Asked[]) => rows.reduce((sum, { visits }) => sum + says(0.5, visits) / rows.length, 0);
    expect(Math.sign(found!.droppedShift!)).toBe(Math.sign(mean(asked.slice(90, 99)) - mean(asked.slice(0, 90))));
    const after = (await stores.serving.current(MODEL))!;
    expect(after.n).toBe(before.n);
  });

  it('the end of the shadow is put off by looks that go on, once each', async () => {
    trial = await openTrial({ live, maxWait: '30 days' });
    const { stores } = trial.context;
    await uploadDay(trial, 0, PER_DAY);
    const plan = planOf(trial, { minimumEffect: 5 });
    const now = FROM_MS + 2 * DAY_MS;
    const look = await lookAt(trial, plan, now);
    const head = (await stores.serving.current(MODEL))!;
    expect(head.serving.shadows).toEqual([{ version: 2, until: at(now + 3 * DAY_MS) }]);
    expect(head).toMatchObject({ look: look.ref!.key, serving: { champion: 1, holder: 'rollout-churn/run-1' } });
    await lookAt(trial, plan, now);
    expect((await stores.serving.current(MODEL))!.n).toBe(head.n);
  });
});

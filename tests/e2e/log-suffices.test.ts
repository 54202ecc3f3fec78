/**
 * The prediction log carries what trials, canaries, drift, `why` and erasure need: here each is computed from a log that the
 * serving API alone has written, read back by what reads logs, and held against what the asker knows by itself.
 */
import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Context } from '../../activities/context.ts';
import { openPredictionLog, type PredictionLog } from '../../bucket/index.ts';
import {
  CanaryEValue,
  mixtureParameter,
  psiOfNumbers,
  sampleRatioLogOdds,
  stratifiedBand,
  type Cell,
} from '../../numerics/index.ts';
import { decodeRows, openModel } from '../../onnx/index.ts';
import type { RawRow } from '../../schemas/index.ts';
import { createLogViews, createOutcomes, openDatabase, type Database, type LogCounts } from '../../sql/index.ts';
import { keepHouse, keysOf } from '../activities/housekeeping/log-bucket.ts';
import { post, serve, startServing, temporaryStores, until } from '../api/serving/fixture.ts';
import { bandOf, logEOf, placeOf, psiOf, sampleRatioOf } from './log-suffices/by-hand.ts';
import { erase, findRecordsOf } from './log-suffices/erase.ts';
import {
  AS_OF_MS,
  at,
  bodyOf,
  bookings,
  canaryFails,
  challengerSays,
  championFails,
  championSays,
  ERASED,
  labelsOf,
  LOYAL,
  PII,
  prepare,
  runOf,
  visits,
  type Asked,
} from './log-suffices/traffic.ts';

const HOUR_MS = 3_600_000;
const LATER = '2100-01-01T00:00:00.000Z';
const SALT = 'a salt';
const WEIGHTS = [0.1, 0.3];
/** Weeks until this one are asked in the first hour, under a revision without a shadow until that one. */
const [SECOND_HOUR, SHADOW_FROM] = [11, 2];

const weeks = bookings();
const asked = weeks.flat();
const keyOf = (requestId: string, row: number) => `${requestId} ${row}`;
const byKey = new Map(asked.map((one) => [keyOf(one.requestId, one.row), one]));
const forgotten = asked.filter(({ body }) => body.booking_id === ERASED);

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let context: Context;
let serving: Awaited<ReturnType<typeof startServing>>;
const revisions = { plain: 0, shadow: 0, stages: [] as number[] };
/** The wall clock of the server: an hour of November, in which the twenty weeks are asked. */
let clockMs = Date.parse('2026-11-24T09:01:00Z');
let shadowScores = 0;

beforeAll(async () => {
  temporary = await temporaryStores();
  const { stores, folder } = temporary;
  const home = join(folder, 'home');
  await mkdir(home, { recursive: true });
  context = { stores, home, pii: PII, build: { commit: 'unknown', dirty: false, node: 'v20', packages: {} } };
  await prepare(stores);
  revisions.plain = await serve(stores, 'bookings', { champion: 1 });
  await serve(stores, 'odd', { champion: 1 });
  const now = () => clockMs++;
  const predictionLog = counting(await openPredictionLog({ bucket: stores.bucket, home, now }));
  serving = await startServing(stores, { now, pii: PII, predictionLog });

  await askWeeks(0, SHADOW_FROM);
  revisions.shadow = await serve(stores, 'bookings', { champion: 1, shadows: [{ version: 2, until: LATER }] });
  await follows(revisions.shadow);
  await askWeeks(SHADOW_FROM, SECOND_HOUR);
  await visit(0);
  await label(weeks.slice(0, SECOND_HOUR).flat());
  await say({ labelId: 'wrong', requestId: forgotten[0]!.requestId, value: true, knownAt: at(forgotten[0]!.eventMs) });
  await until(() => shadowScores === dueIn(SECOND_HOUR), 60_000);
  await serving.predictionLog.flush();

  // The first hour is compacted; the second is left as it was uploaded.
  clockMs = Date.parse('2026-11-24T12:01:00Z');
  await keepHouse(context, at(clockMs));

  await askWeeks(SECOND_HOUR, weeks.length);
  await visit(1);
  await label(weeks.slice(SECOND_HOUR).flat());
  await label(weeks[3]!, { again: true });
  await correctAndWithdraw();
  await until(() => shadowScores === dueIn(weeks.length), 60_000);
  await serving.predictionLog.flush();
}, 180_000);

afterAll(async () => {
  await serving?.stop();
  await temporary?.remove();
});

describe('from the log alone', () => {
  let log: OpenLog;
  beforeAll(async () => {
    log = await openLog('bookings');
    await createOutcomes(log.db, { task: 'binary', absent: 'negative' }, new Date(AS_OF_MS));
  });
  afterAll(() => log.close());

  it('both halves are read: Parquet of a closed hour, and raw segments of an open one', async () => {
    expect(log.files).toMatchObject({
      parquet: [expect.any(String)],
      raw: expect.arrayContaining([expect.any(String)]),
    });
    expect(log.counts).toMatchObject({
      answers: asked.length,
      shadowScores: dueIn(weeks.length),
      broken: 0,
      unknown: 0,
    });
    const closed = await context.stores.logHours.look('2026-11-24T09:00:00.000Z');
    expect(closed).toMatchObject({ raw: [], manifests: [1] });
    // The labels of a week were sent twice.
    expect(log.counts.duplicates).toBe(labelsOf(weeks[3]!).length);
  });

  it('a band over weeks and horizons, both versions scored on inputs as they were logged', async () => {
    const rows = await log.db.columns(`
      SELECT request_id || ' ' || "row" AS key, epoch(event_at) AS predicted_at, inputs, matured, label,
        floor(epoch(event_at) / 604800) AS week,
        (epoch(matures_at) - epoch(event_at)) / 86400 AS horizon
      FROM outcomes WHERE event_at < make_timestamp(${AS_OF_MS}::BIGINT * 1000) ORDER BY request_id, "row"`);
    const [edges] = await log.db.rowsOf(`
      SELECT quantile_cont(epoch(matures_at) - epoch(event_at), 0.25) / 86400 AS q1,
        quantile_cont(epoch(matures_at) - epoch(event_at), 0.5) / 86400 AS q2,
        quantile_cont(epoch(matures_at) - epoch(event_at), 0.75) / 86400 AS q3
      FROM outcomes WHERE event_at < make_timestamp(${AS_OF_MS}::BIGINT * 1000)`);
    const column = (name: string) => rows.columns[name] as Float64Array;
    const scores = await Promise.all(
      [1, 2].map((version) => rescored(version, rows.columns['inputs'] as string[], column('predicted_at'))),
    );
    const cells = new Map<string, Cell>();
    const shares = [0, 0, 0, 0];
    for (let i = 0; i < rows.rows; i++) {
      const stratum = Object.values(edges!).filter((edge) => column('horizon')[i]! > (edge as number)).length;
      shares[stratum]!++;
      if (column('matured')[i] !== 1 || Number.isNaN(column('label')[i])) continue;
      const d = logLoss(column('label')[i]!, scores[0]![i]!) - logLoss(column('label')[i]!, scores[1]![i]!);
      const block = column('week')[i]!;
      const cell = cells.get(`${stratum} ${block}`) ?? { stratum, block, rows: 0, sum: 0, sumOfSquares: 0 };
      cells.set(`${stratum} ${block}`, cell);
      cell.rows++;
      cell.sum += d;
      cell.sumOfSquares += d * d;
    }
    const options = { alpha: 0.05, r: mixtureParameter(18, 0.05) };
    const band = stratifiedBand([...cells.values()], shares, { ...options, sides: 2 })!;

    // By hand, from what the asker knows.
    const before = asked.filter(({ eventMs }) => eventMs < AS_OF_MS);
    const horizons = before.map(({ eventMs, maturesMs }) => (maturesMs - eventMs) / 86_400_000).sort((a, b) => a - b);
    const quartiles = [0.25, 0.5, 0.75].map((q) => {
      const place = q * (horizons.length - 1);
      const low = horizons[Math.floor(place)]!;
      return low + (place % 1) * (horizons[Math.ceil(place)]! - low);
    });
    const stratumOf = ({ eventMs, maturesMs }: Asked) =>
      quartiles.filter((edge) => (maturesMs - eventMs) / 86_400_000 > edge).length;
    const ripe = before
      .filter(({ maturesMs }) => maturesMs < AS_OF_MS)
      .map((one) => ({
        stratum: stratumOf(one),
        week: one.week,
        d: logLoss(labelAtLast(one), championSays(one)) - logLoss(labelAtLast(one), challengerSays(one)),
      }));
    const expectedShares = [0, 1, 2, 3].map((h) => before.filter((one) => stratumOf(one) === h).length);
    const { seen, ...expected } = bandOf(ripe, expectedShares, options);

    expect(shares).toEqual(expectedShares);
    expect([...cells.values()].reduce((sum, cell) => sum + cell.rows, 0)).toBe(ripe.length);
    // Rows that ripen late are a quarter of all, and have not been seen.
    expect(seen).toEqual([0, 1, 2]);
    expect(band.unseenShare).toBeCloseTo(expectedShares[3]! / before.length, 12);
    expect(band.designEffect).toBeGreaterThan(0);
    // Graphs score in float32.
    for (const [name, value] of Object.entries(expected))
      expect(band[name as keyof typeof expected]).toBeCloseTo(value, 5);
    // What a plain mean over rows that are ripe, or over labels that are known, would say is something else.
    expect(Math.abs(ripe.reduce((sum, { d }) => sum + d / ripe.length, 0) - band.mean)).toBeGreaterThan(0.001);
  });

  it('each shadow score that was due is there, and equals the score of the batch within 1e-6', async () => {
    const rows = await log.db.columns(`
      SELECT request_id || ' ' || "row" AS key, epoch(event_at) AS predicted_at, inputs, shadow_scores[1] AS live
      FROM shadow_outcomes WHERE shadow_version = 2 AND shadow_failed_why IS NULL ORDER BY 1`);
    const batch = await rescored(2, rows.columns['inputs'] as string[], rows.columns['predicted_at'] as Float64Array);
    const live = rows.columns['live'] as Float64Array;
    for (let i = 0; i < rows.rows; i++) expect(Math.abs(live[i]! - batch[i]!)).toBeLessThanOrEqual(1e-6);
    (rows.columns['key'] as string[]).forEach((key, i) =>
      expect(live[i]).toBeCloseTo(challengerSays(byKey.get(key)!), 6),
    );
    // Due by the revision that an answer names: so what was dropped can be counted.
    const due = await log.db.rowsOf('SELECT DISTINCT revision FROM answers ORDER BY 1');
    const [counted] = await log.db.rowsOf(`
      SELECT count(*) AS due, count(s.request_id) AS scored FROM answers AS a
      LEFT JOIN shadow_scores AS s ON s.request_id = a.request_id AND s."row" = a."row" AND s.version = 2
      WHERE a.revision IN (${await revisionsWithShadow(due.map(({ revision }) => revision as number))})`);
    expect(counted).toEqual({ due: dueIn(weeks.length), scored: dueIn(weeks.length) });
  });

  it('PSI of an input and of the scores between two windows', async () => {
    const windowOf = async (from: number, to: number) => {
      const rows = await log.db.columns(`
        SELECT (inputs ->> 'lead_time')::DOUBLE AS lead_time, scores[1] AS score FROM answers
        WHERE floor(epoch(event_at) / 604800) - floor(${weeks[0]![0]!.eventMs / 1000} / 604800) BETWEEN ${from} AND ${to - 1}`);
      return { lead: rows.columns['lead_time'] as Float64Array, score: rows.columns['score'] as Float64Array };
    };
    const [early, late] = [await windowOf(0, 8), await windowOf(12, 20)];
    const [wereEarly, wereLate] = [weeks.slice(0, 8).flat(), weeks.slice(12, 20).flat()];

    const leads = [...wereEarly, ...wereLate].map(({ body }) => body.lead_time);
    const bins = Math.ceil(Math.log2(leads.length) + 1);
    const low = Math.min(...leads);
    const width = (Math.max(...leads) - low) / bins;
    const byLead = Array.from({ length: bins }, () => [0, 0] as [number, number]);
    const byScore = new Map<number, [number, number]>();
    for (const [side, rows] of [wereEarly, wereLate].entries())
      for (const one of rows) {
        byLead[Math.min(bins - 1, Math.floor((one.body.lead_time - low) / width))]![side]!++;
        const score = championSays(one);
        byScore.set(score, byScore.get(score) ?? [0, 0]);
        byScore.get(score)![side]!++;
      }
    const lead = psiOfNumbers(early.lead, late.lead);
    expect(lead.psi).toBeCloseTo(psiOf(byLead), 9);
    expect(lead.excess).toBeCloseTo(lead.psi - (lead.bins - 1) * (1 / wereEarly.length + 1 / wereLate.length), 12);
    expect(lead.excess).toBeGreaterThan(0.1);
    const score = psiOfNumbers(early.score, late.score);
    expect(score.bins).toBe(3);
    expect(score.psi).toBeCloseTo(psiOf([...byScore.values()]), 9);
    expect(score.excess).toBeGreaterThan(0.1);
  });

  it('why: from an answer to its revision, version, run and project, and to the same answer again', async () => {
    const { stores } = context;
    const one = weeks[SECOND_HOUR]!.find(({ body, row }) => row > 0 && body.guest === LOYAL)!;
    const [answer] = await log.db.rowsOf(
      `SELECT *, epoch_ms(event_at) AS event_ms FROM answers WHERE request_id = '${one.requestId}' AND "row" = ${one.row}`,
    );
    expect(answer).toMatchObject({
      entity: PII.hash(one.body.booking_id),
      event_ms: one.eventMs,
      event_by: 'client',
      reason: 'champion',
      assigned: 'champion',
      propensity: 1,
      cache_hit: false,
    });
    const revision = (await stores.serving.at(answer!['revision'] as number))!;
    expect(revision).toMatchObject({
      n: revisions.shadow,
      model: 'bookings',
      serving: { champion: 1, shadows: [{ version: 2 }] },
      because: 'a test says so',
    });
    const version = (await stores.versions.read('bookings', answer!['version'] as number))!;
    expect(version.n).toBe(1);
    const run = (await stores.runs.read('bookings', version.run))!;
    expect(run).toMatchObject({ id: runOf('bookings', 1), version: 1 });
    const project = (await stores.projects.at('bookings', answer!['project_n'] as number))!;
    expect([project.hash, run.project, version.project]).toEqual([
      answer!['project_hash'],
      { n: project.n, hash: project.hash },
      { n: project.n, hash: project.hash },
    ]);
    const [again] = await rescored(1, [answer!['inputs'] as string], Float64Array.of(one.eventMs / 1000));
    expect(again).toBe(Number(String(answer!['scores']).slice(1, -1)));
    expect(again).toBeCloseTo(championSays(one), 6);
    expect(JSON.parse(answer!['inputs'] as string)).toEqual({
      lead_time: one.body.lead_time,
      hotel: one.body.hotel,
      guest: PII.hash(LOYAL),
      arrival_date: one.body.arrival_date,
    });
  });
});

it.each([0, 1])('from the log alone, a canary: its e-value and sample ratio by unit (stage %i)', async (stage) => {
  const log = await openLog('odd');
  try {
    const units = (await log.db.rowsOf(`
      SELECT unit, assigned, propensity, revision, assigned_version,
        CASE assigned WHEN 'canary' THEN reason = 'canary-failed' ELSE failed_version = assigned_version END AS failed,
        reason
      FROM answers WHERE assigned <> 'forced' AND revision = ${revisions.stages[stage]}
      QUALIFY row_number() OVER (PARTITION BY unit ORDER BY answered_at, boot, seq) = 1
      ORDER BY answered_at, boot, seq`)) as {
      unit: string;
      assigned: string;
      propensity: number;
      failed: boolean | null;
    }[];
    const test = new CanaryEValue();
    let champion = { units: 0, failures: 0 };
    for (const { assigned, failed } of units) {
      if (assigned === 'champion') {
        champion = { units: champion.units + 1, failures: champion.failures + Number(failed ?? false) };
        continue;
      }
      test.add({
        championUnits: champion.units,
        championFailures: champion.failures,
        canaryUnits: 1,
        canaryFailures: Number(failed),
      });
      champion = { units: 0, failures: 0 };
    }
    const canaries = units.filter(({ assigned }) => assigned === 'canary');
    const weight = canaries[0]!.propensity;
    const logOdds = sampleRatioLogOdds([1 - weight, weight], [units.length - canaries.length, canaries.length]);

    // By hand: who came, in which order, and what must have become of each.
    const first = new Map<string, number>();
    for (const { user, x } of visits(stage)) if (!first.has(user)) first.set(user, x);
    const expected = [...first].map(([user, x]) => {
      const isCanary = placeOf(SALT, user) < WEIGHTS[stage]!;
      return { user, isCanary, failed: isCanary ? canaryFails(x) : championFails(x) };
    });
    expect(units.map(({ unit }) => unit)).toEqual(expected.map(({ user }) => user));
    expect(weight).toBe(WEIGHTS[stage]);
    expect(test.total.canaryFailures).toBe(expected.filter(({ isCanary, failed }) => isCanary && failed).length);
    expect(test.total.canaryFailures).toBeGreaterThan(0);
    expect(test.logE).toBeCloseTo(logEOf(expected), 9);
    expect(logOdds).toBeCloseTo(sampleRatioOf(expected, WEIGHTS[stage]!), 7);
    expect(logOdds).toBeLessThan(Math.log(1_000));
    // One in five against one in fifty.
    expect(test.logE).toBeGreaterThan(Math.log(20));
  } finally {
    log.close();
  }
});

it('from the log alone, an entity is erased: none of its records is found after it, and everybody else has all of theirs', async () => {
  const entity = PII.hash(ERASED);
  const before = await dump('bookings');
  const isGone = (line: string) =>
    forgotten.some(({ requestId }) => line.includes(`"${requestId}"`)) ||
    /"(wrong|withdrawal|of-the-entity|found-out)"/.test(line);
  const others = {
    answers: before.answers.filter((line) => !isGone(line)),
    shadows: before.shadows.filter((line) => !isGone(line)),
    labels: before.labels.filter((line) => !isGone(line)),
  };
  const odd = await dump('odd');
  expect(before.answers.length - others.answers.length).toBe(4);
  const hasShadow = forgotten.filter(({ week }) => week >= SHADOW_FROM).length;

  clockMs = Date.parse('2026-11-24T15:00:00Z');
  const found = await erase(context, 'bookings', entity, at(clockMs));
  expect(found).toEqual({ answers: 4, shadowScores: hasShadow, labels: 4, hours: 2 });

  expect(await dump('bookings')).toEqual(others);
  expect(await dump('odd')).toEqual(odd);
  const log = await openLog('bookings');
  try {
    expect(log.files.raw).toEqual([]);
    expect(await findRecordsOf(log.db, entity)).toEqual({ answers: 0, shadowScores: 0, labels: 0 });
  } finally {
    log.close();
  }
  // What was replaced is gone, not hidden.
  const files = await keysOf(context.stores.bucket);
  expect(files.filter((key) => !key.startsWith('log/hours/'))).toEqual([
    'log/rows/bookings/2026-11-24/09/0002.parquet',
    expect.stringMatching(/^log\/rows\/bookings\/2026-11-24\/12\/0002.parquet$/) as string,
    'log/rows/odd/2026-11-24/09/0001.parquet',
    'log/rows/odd/2026-11-24/12/0001.parquet',
  ]);
  const newest = await context.stores.logHours.newest(await context.stores.logHours.look('2026-11-24T09:00:00.000Z'));
  expect(newest).toMatchObject({ k: 2, because: 'erasure' });
  // And later hours go on as before.
  clockMs = Date.parse('2026-11-24T16:00:00Z');
  await ask(weeks[0]!.slice(0, 1).map((one) => ({ ...one, requestId: 'after' })));
  await serving.predictionLog.flush();
  expect((await dump('bookings')).answers.length).toBe(others.answers.length + 1);
});

/** The log, and how many shadow scores went into it. */
function counting(log: PredictionLog): PredictionLog {
  return {
    boot: log.boot,
    append: (record) => log.append(record),
    appendAnswer: (own, alike) => log.appendAnswer(own, alike),
    appendShadowScore(own, alike) {
      shadowScores++;
      return log.appendShadowScore(own, alike);
    },
    written: () => log.written(),
    flush: () => log.flush(),
    lag: () => log.lag(),
    close: () => log.close(),
  };
}

/** Shadow scores that are due once these weeks were asked. */
const dueIn = (until: number): number => weeks.slice(SHADOW_FROM, until).flat().length;

async function follows(revision: number): Promise<void> {
  await until(() => serving.status().revision! >= revision);
  await until(() => serving.status().challengers.every(({ loaded }) => loaded), 60_000);
}

async function askWeeks(from: number, to: number): Promise<void> {
  for (const week of weeks.slice(from, to)) {
    for (const id of new Set(week.map(({ requestId }) => requestId)))
      await ask(week.filter(({ requestId }) => requestId === id));
  }
}

/** Asks one request, whose answers must be the champion's. */
async function ask(rows: readonly Asked[]): Promise<void> {
  const { requestId, eventMs } = rows[0]!;
  const response = await post(serving.app, '/v1/models/bookings/predict', bodyOf(rows), {
    'x-request-id': requestId,
    'x-gauntlet-event-time': at(eventMs),
  });
  expect(response.status).toBe(200);
  const body = (await response.json()) as { predictions?: { probability: number }[]; probability?: number };
  (body.predictions ?? [body as { probability: number }]).forEach(({ probability }, i) => {
    expect(probability).toBeCloseTo(championSays(rows[i]!), 6);
  });
}

/** One canary stage, under a revision of its own; and a request that asks for a version by name, which counts for nothing. */
async function visit(stage: number): Promise<void> {
  const canary = { version: 2, weight: WEIGHTS[stage]!, salt: SALT, until: LATER };
  revisions.stages[stage] = await serve(context.stores, 'odd', { champion: 1, canary });
  await follows(revisions.stages[stage]);
  const force = { 'x-gauntlet-force-version': '2' };
  expect((await post(serving.app, '/v1/models/odd/predict', { user: 'somebody', x: 5 }, force)).status).toBe(500);
  for (const { user, x } of visits(stage)) {
    const response = await post(serving.app, '/v1/models/odd/predict', { user, x });
    // A canary that fails is answered for by the champion.
    expect([x, response.status]).toEqual([x, championFails(x) ? 500 : 200]);
  }
}

async function label(rows: readonly Asked[], o: { again?: true } = {}): Promise<void> {
  const lines = labelsOf(rows);
  expect(lines.length).toBeGreaterThan(10);
  await feedback(lines.map((line) => JSON.stringify(line)).join('\n'), 'application/x-ndjson');
  if (o.again) clockMs += 1_000;
}

const say = (body: Record<string, unknown>) => feedback(JSON.stringify(body), 'application/json');

async function feedback(body: string, type: string): Promise<void> {
  const response = await post(serving.app, '/v1/models/bookings/feedback', body, { 'content-type': type });
  expect([response.status, await response.text()]).toEqual([202, expect.any(String)]);
}

/** The booking that is to be forgotten has every kind of label: of a request, withdrawn, of the entity, correcting. */
async function correctAndWithdraw(): Promise<void> {
  const [first, second, , last] = forgotten as [Asked, Asked, Asked, Asked];
  await say({ labelId: 'withdrawal', supersedes: 'wrong', withdrawn: true, knownAt: at(first.eventMs + 1_000) });
  await say({ labelId: 'found-out', requestId: second.requestId, value: true, knownAt: at(second.eventMs + HOUR_MS) });
  await say({
    labelId: 'of-the-entity',
    booking_id: ERASED,
    happenedAt: at(last.eventMs + HOUR_MS),
    value: true,
    knownAt: at(last.eventMs + HOUR_MS),
  });
}

/** What is known of a row at the last look: the forgotten booking's first label was withdrawn, its second is true. */
function labelAtLast(one: Asked): number {
  if (one.body.booking_id !== ERASED) return Number(one.cancelled);
  return Number(one.requestId !== forgotten[0]!.requestId && one.requestId !== forgotten[2]!.requestId);
}

/** Log-loss with probabilities clipped at 1e-6. */
function logLoss(label: number, probability: number): number {
  const p = Math.min(Math.max(probability, 1e-6), 1 - 1e-6);
  return -Math.log(label === 1 ? p : 1 - p);
}

/** What a version of bookings says of inputs as they were logged: personal ones are hashes, and some may not be its own. */
async function rescored(version: number, inputs: readonly string[], predictedAt: Float64Array): Promise<number[]> {
  const { stores } = context;
  const record = (await stores.versions.read('bookings', version))!;
  const rows = inputs.map((text) => JSON.parse(text) as RawRow);
  const extra = Object.keys(rows[0]!);
  const decoded = decodeRows(record.inputs, rows, { extra, personal: 'hashed' });
  if (!decoded.ok) throw new Error(JSON.stringify(decoded.issues[0]));
  const model = await openModel({
    bytes: await stores.objects.read(record.onnx.sha256),
    sha256: record.onnx.sha256,
    inputs: record.inputs,
  });
  try {
    const outputs = await model.predict(decoded.columns, predictedAt);
    return outputs.map((output) => ('scores' in output ? output.scores[0]! : NaN));
  } finally {
    await model.close();
  }
}

async function revisionsWithShadow(numbers: readonly number[]): Promise<string> {
  const read = await Promise.all(numbers.map((n) => context.stores.serving.at(n)));
  return read.flatMap((one) => (one!.serving.shadows.some(({ version }) => version === 2) ? one!.n : [])).join(', ');
}

interface OpenLog {
  db: Database;
  files: { raw: string[]; parquet: string[] };
  counts: LogCounts;
  close(): void;
}

/** The log of a model as every later reader will open it. */
async function openLog(model: string): Promise<OpenLog> {
  const scratch = await mkdtemp(join(context.home, 'reader-'));
  const { broken, ...files } = await context.stores.logHours.files(model, {}, scratch);
  expect(broken).toBe(0);
  const db = await openDatabase({ files: [...files.raw, ...files.parquet], threads: 2 });
  const counts = await createLogViews(db, model, files);
  return { db, files, counts, close: () => db.close() };
}

/** Every record of a model, whole, in order. */
async function dump(model: string): Promise<Record<'answers' | 'shadows' | 'labels', string[]>> {
  const log = await openLog(model);
  const all = async (view: string, order: string) =>
    (await log.db.rowsOf(`SELECT * FROM ${view} ORDER BY ${order}`)).map((row) => JSON.stringify(row));
  try {
    return {
      answers: await all('answers', 'request_id, "row"'),
      shadows: await all('shadow_scores', 'request_id, "row", version'),
      labels: await all('labels', 'label_id'),
    };
  } finally {
    log.close();
  }
}

/**
 * Twenty weeks of bookings and two stages of a canary, asked over HTTP, and all that the asker knows by itself: what it
 * asked, what came true, and how both models work, in plain arithmetic.
 */
import type { Stores } from '../../../bucket/index.ts';
import { Random } from '../../../numerics/random.ts';
import { piiHasher } from '../../../onnx/index.ts';
import { GraphSpec, type RawRow, type ServingTerms } from '../../../schemas/index.ts';
import { registerOdd, sometimesNaN } from '../../api/serving/challenger/odd-graphs.ts';
import { register, type Made } from '../../api/serving/fixture.ts';
import * as examples from '../../bucket/examples.ts';

export const PII = piiHasher('a secret that only this test has')!;
export const DAY_MS = 86_400_000;
/** A Thursday: weeks are counted from 1970. */
export const FROM_MS = Date.parse('2026-01-08T00:00:00Z');
export const WEEKS = 20;
/** After 18 weeks: what is late is not ripe then, and two weeks have not been asked yet. */
export const AS_OF_MS = FROM_MS + 18 * 7 * DAY_MS;

/** One row that was asked, and what came of it. */
export interface Asked {
  requestId: string;
  row: number;
  week: number;
  eventMs: number;
  maturesMs: number;
  body: { booking_id: string; lead_time: number; hotel?: string; guest: string; arrival_date: string };
  cancelled: boolean;
}

export const LOYAL = 'loyal@guests.example';
export const ERASED = 'booking-to-forget';

const inputs = {
  lead_time: { type: 'integer', min: 0, max: 800 },
  hotel: { type: 'string', values: ['City Hotel', 'Resort Hotel'] },
  guest: { type: 'string', pii: true },
  arrival_date: { type: 'date' },
} as const;
const graphOf = (from: Record<string, unknown>) =>
  GraphSpec.parse({ task: 'binary', inputs: from, derived: {}, maturesAt: 'arrival_date + 14 days' });

/** Trees over the lead time and the hotel. */
const champion: Made = {
  graph: graphOf(inputs),
  preprocessing: {
    features: [
      { kind: 'number', name: 'lead_time', fill: 60 },
      {
        kind: 'category',
        name: 'hotel',
        vocabulary: ['City Hotel', 'Resort Hotel'],
        fill: 'City Hotel',
        encoding: 'ordinal',
      },
    ],
  },
  model: {
    kind: 'treeEnsemble',
    task: 'binary',
    outputs: 1,
    baseMargins: [-0.5],
    trees: [
      {
        feature: [0, -1, 1, -1, -1],
        threshold: [100.5, 0, 0.5, 0, 0],
        left: [1, -1, 3, -1, -1],
        right: [2, -1, 4, -1, -1],
        missingLeft: [1, 1, 1, 1, 1],
        value: [0, -1.5, 0, 2.5, 0.25],
      },
    ],
  },
  warmUpRows: [
    { lead_time: 120, hotel: 'City Hotel', guest: PII.hash('somebody'), arrival_date: '2026-03-04' },
    { lead_time: 3, hotel: 'Resort Hotel', guest: PII.hash(LOYAL), arrival_date: '2026-03-04' },
  ],
};

/** Linear, of a guest that it knows by hash only; it does not take the hotel. */
const { hotel: _hotel, ...fewer } = inputs;
const challenger: Made = {
  graph: graphOf(fewer),
  preprocessing: {
    features: [
      { kind: 'number', name: 'lead_time', fill: 60 },
      { kind: 'category', name: 'guest', vocabulary: [PII.hash(LOYAL)], fill: null, encoding: 'oneHot' },
    ],
  },
  model: { kind: 'linear', task: 'binary', outputs: 1, intercepts: [-2.25], coefficients: [0.015625, -1.5] },
  warmUpRows: champion.warmUpRows.map(({ hotel: _hotel, ...row }) => row),
};

const sigmoid = (margin: number): number => 1 / (1 + Math.exp(-margin));

/** What the two must say, in plain arithmetic. */
export const championSays = ({ body }: Asked): number =>
  sigmoid(-0.5 + (body.lead_time < 100.5 ? -1.5 : body.hotel === 'City Hotel' ? 2.5 : 0.25));
export const challengerSays = ({ body }: Asked): number =>
  sigmoid(-2.25 + 0.015625 * body.lead_time - (body.guest === LOYAL ? 1.5 : 0));

/** The x of these requests is what decides: whole numbers, of which the canary fails on every 5th, the champion on every 50th. */
export const canaryFails = (x: number): boolean => x % 5 === 0;
export const championFails = (x: number): boolean => x % 50 === 0;

/** Both models with two versions each, and the projects and runs that they come from. */
export async function prepare(stores: Stores): Promise<void> {
  const terms: ServingTerms = {
    unitPii: false,
    entityPii: true,
    piiKey: PII.fingerprint,
    allowEventTime: true,
    deadlineMs: 30_000,
  };
  for (const [n, made] of [champion, challenger].entries())
    await register(stores, 'bookings', made, { serving: terms, ...(await origin(stores, 'bookings', n + 1)) });
  const split = { ...terms, unit: 'user', entityPii: false };
  for (const [n, share] of [1 / 50, 1 / 5].entries())
    await registerOdd(stores, 'odd', sometimesNaN(share), { serving: split, ...(await origin(stores, 'odd', n + 1)) });
}

export const runOf = (model: string, version: number): string => `20260107T0${version}0000-${model}`;

async function origin(stores: Stores, model: string, n: number) {
  const { hash } = await stores.projects.create({ ...examples.project(examples.sha(String(n))), model });
  const project = { n, hash };
  const { id: run } = await stores.runs.create({ ...examples.run(runOf(model, n), model), project, version: n });
  return { project, run };
}

/** All bookings, week by week; every request has one row or nine. */
export function bookings(): Asked[][] {
  const random = new Random(20);
  const weeks: Asked[][] = [];
  let requests = 0;
  for (let week = 0; week < WEEKS; week++) {
    const asked: Asked[] = [];
    const ask = (rows: number, day: number, entity?: string) => {
      const requestId = `b-${++requests}`;
      const eventMs = FROM_MS + (7 * week + day) * DAY_MS + 9 * 3_600_000;
      for (let row = 0; row < rows; row++) {
        // From week 12 on, people book earlier.
        const lead_time = Math.floor(random.float() ** 1.5 * 250) + (week >= 12 ? 60 : 0);
        const horizonDays = entity === undefined ? 1 + Math.floor(random.float() * 70) : 20;
        const arrivesMs = FROM_MS + (7 * week + day + horizonDays) * DAY_MS;
        const asked_: Asked = {
          requestId,
          row,
          week,
          eventMs,
          maturesMs: arrivesMs + 14 * DAY_MS,
          body: {
            booking_id: entity ?? `booking-${requestId}-${row}`,
            lead_time,
            hotel: random.float() < 0.6 ? 'City Hotel' : 'Resort Hotel',
            guest: random.float() < 0.3 ? LOYAL : `guest-${requestId}-${row}@guests.example`,
            arrival_date: new Date(arrivesMs).toISOString().slice(0, 10),
          },
          cancelled: false,
        };
        const margin = Math.log(challengerSays(asked_) / (1 - challengerSays(asked_)));
        asked_.cancelled = random.float() < sigmoid(0.8 * margin + 0.5 * (week % 3) - 0.4);
        asked.push(asked_);
      }
    };
    for (let day = 0; day < 6; day++) ask(day % 2 === 0 ? 9 : 1, day);
    if ([1, 5, 12, 17].includes(week)) ask(1, 6, ERASED);
    weeks.push(asked);
  }
  return weeks;
}

/** Requests of one canary stage, in order: most users come more than once. */
export function visits(stage: number): { user: string; x: number }[] {
  const random = new Random(30 + stage);
  return Array.from({ length: 500 }, (_, i) => ({
    user: `u${Math.floor(random.float() * 300)}`,
    x: 1_000 * stage + i + 1,
  }));
}

/** A request's body: one row, or a list. */
export const bodyOf = (rows: readonly Asked[]): RawRow | { rows: RawRow[] } =>
  rows.length === 1 ? rows[0]!.body : { rows: rows.map(({ body }) => body) };

/**
 * The labels of these rows as people send them: of every second cancellation by the booking, of the others by the
 * request; nothing of most that were kept, for silence says so. Known well before the row matures.
 */
export function labelsOf(rows: readonly Asked[]): Record<string, unknown>[] {
  return rows.flatMap(({ requestId, row, eventMs, maturesMs, cancelled, body }, i) => {
    if (body.booking_id === ERASED) return [];
    const happenedMs = eventMs + 0.4 * (maturesMs - eventMs);
    const said = { labelId: `l-${requestId}-${row}`, knownAt: at(happenedMs + 3_600_000), value: cancelled };
    if (!cancelled) return i % 7 === 0 ? [{ ...said, requestId, row }] : [];
    return [
      i % 2 === 0 ? { ...said, booking_id: body.booking_id, happenedAt: at(happenedMs) } : { ...said, requestId, row },
    ];
  });
}

export const at = (ms: number): string => new Date(ms).toISOString();

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detailOf, LogRecord, type Answer, type Label, type ShadowScore } from '../../schemas/index.ts';

const HASH = 'a'.repeat(64);
const answer: Answer = {
  kind: 'answer',
  v: 1,
  requestId: 'r-1',
  row: 0,
  model: 'bookings',
  project: { n: 1, hash: HASH },
  revision: 3,
  unit: 'r-1',
  entity: 'e-1',
  eventMs: 1,
  eventBy: 'server',
  eventResolution: 'instant',
  answeredMs: 2,
  maturesMs: null,
  inputs: { lead_time: 3, hotel: 'City Hotel', adr: null, is_repeated_guest: false },
  lookedUp: { guests: { hash: HASH, ageSeconds: 4, values: { stays: 2 } } },
  assigned: 'canary',
  assignedVersion: 2,
  version: 1,
  reason: 'canary-failed',
  propensity: 0.05,
  output: { scores: [0.25], prediction: false },
  latencyMs: 1.5,
  graphMs: 0.5,
  cacheHit: false,
  failed: { version: 2, why: 'late', detail: 'no answer within 50 ms' },
  boot: '1-2',
  seq: 7,
};
const shadow: ShadowScore = {
  kind: 'shadow',
  v: 1,
  requestId: 'r-1',
  row: 0,
  model: 'bookings',
  version: 2,
  revision: 3,
  unit: 'r-1',
  eventMs: 1,
  scoredMs: 3,
  maturesMs: 9,
  output: { scores: [0.5], prediction: true },
  graphMs: 0.5,
  latencyMs: 2,
  boot: '1-2',
  seq: 8,
};
const label: Label = {
  kind: 'label',
  v: 1,
  labelId: 'l-1',
  model: 'bookings',
  entity: 'e-1',
  happenedMs: 4,
  happenedResolution: 'day',
  value: null,
  knownMs: 5,
  receivedMs: 6,
  supersedes: 'l-0',
  by: 'feedback',
  boot: '1-2',
  seq: 9,
};

describe('records of the prediction log', () => {
  it.each([answer, shadow, label])('a $kind comes back from its line as it was', (record) => {
    expect(LogRecord.parse(JSON.parse(JSON.stringify(record)))).toEqual(record);
  });

  it.each([answer, shadow, label])('a $kind of a newer release is read for what is known of it', (record) => {
    expect(LogRecord.parse({ ...record, addedLater: 1 })).toEqual(record);
  });

  it.each([
    ['another v', { ...answer, v: 2 }],
    ['no propensity', { ...answer, propensity: undefined }],
    ['a propensity above 1', { ...answer, propensity: 1.5 }],
    ['an id that is none', { ...answer, requestId: 'a b' }],
    ['another kind', { ...label, kind: 'guess' }],
  ])('with %s is none', (_, record) => {
    expect(LogRecord.safeParse(record).success).toBe(false);
  });

  it("a failure's detail is whole characters, wherever it is cut", () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), fc.nat(3), (text, shift) => {
        const detail = detailOf('x'.repeat(shift) + text + '🏨'.repeat(200));
        expect(detail.isWellFormed()).toBe(true);
        expect(detail.length).toBeLessThanOrEqual(300);
      }),
    );
  });
});

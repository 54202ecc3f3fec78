import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CanaryTally, type SeenAnswer } from '../../../activities/rollout/canary-tally.ts';
import { CanaryEValue } from '../../../numerics/index.ts';
import type { BakeEvidence, BakePlan, CanaryEvidence, CanaryPlan } from '../../../schemas/index.ts';
import { BakeStage, CanaryStage } from '../../../schemas/index.ts';

const REVISION = 7;
const SINCE = '2026-11-24T09:30:00.000Z';
const T0 = Date.parse(SINCE);
/** Of the watch. */
const NOW = T0 + 600_000;

const planOf = (o: Partial<CanaryStage> = {}, more: Partial<CanaryPlan> = {}): CanaryPlan => ({
  kind: 'canary',
  stage: CanaryStage.parse({ kind: 'canary', weight: 0.05, ...o }),
  champion: 1,
  challenger: 2,
  alpha: 0.05,
  ...more,
});
const bakePlan: BakePlan = {
  kind: 'bake',
  stage: BakeStage.parse({ kind: 'bake', sloMs: 10 }),
  champion: 2,
  previous: 1,
};

let made = 0;
const seen = (o: Partial<SeenAnswer>): SeenAnswer => {
  const n = made++;
  return {
    requestId: `r${n}`,
    row: 0,
    revision: REVISION,
    unit: `u${n}`,
    answeredMs: T0 + n,
    assigned: 'champion',
    assignedVersion: 1,
    reason: 'champion',
    propensity: 0.95,
    graphMs: 1,
    cacheHit: false,
    score: 0.5,
    boot: 'b1',
    seq: n,
    ...o,
  };
};
const champion = (o: Partial<SeenAnswer> = {}) => seen(o);
const canary = (o: Partial<SeenAnswer> = {}) =>
  seen({ assigned: 'canary', assignedVersion: 2, reason: 'canary', propensity: 0.05, ...o });
const failing = (o: Partial<SeenAnswer> = {}) =>
  canary({ reason: 'canary-failed', failed: { version: 2, why: 'threw', detail: 'x' }, ...o });

const o = { asOf: '2026-11-24T09:40:00.000Z', watchedMs: 600_000 };
function tallied(batches: SeenAnswer[][], plan: CanaryPlan | BakePlan = planOf()): CanaryEvidence {
  const tally = new CanaryTally({ plan, revision: REVISION, since: SINCE });
  for (const batch of batches) tally.add(batch, NOW);
  return tally.evidence(o) as CanaryEvidence;
}

describe('what belongs to a stage', () => {
  it('is answered under its revision or a later one, at its own weight, by its own versions, and not forced', () => {
    const { canary: version, champion: beside } = tallied([
      [
        canary(),
        champion(),
        canary({ revision: REVISION + 3 }),
        canary({ revision: REVISION - 1 }),
        canary({ propensity: 0.25 }),
        champion({ propensity: 1 }),
        champion({ propensity: 0.75 }),
        canary({ assignedVersion: 3 }),
        champion({ assignedVersion: 3 }),
        seen({ assigned: 'forced', assignedVersion: 2, reason: 'forced', propensity: 0 }),
      ],
    ]);
    expect(version).toMatchObject({ units: 2, attempts: 2 });
    expect(beside.units).toBe(1);
  });

  it('in a bake is whatever the new champion answered', () => {
    const answered = (more: Partial<SeenAnswer> = {}) => champion({ assignedVersion: 2, propensity: 1, ...more });
    const tally = new CanaryTally({ plan: bakePlan, revision: REVISION, since: SINCE });
    const notFinite = { version: 2, why: 'not-finite' as const, detail: 'x' };
    tally.add(
      [answered(), answered({ graphMs: 11 }), answered({ failed: notFinite }), champion({ propensity: 1 })],
      NOW,
    );
    const evidence = tally.evidence(o) as BakeEvidence;
    expect(evidence.champion).toMatchObject({ units: 3, failures: 1, slow: 1, attempts: 3, failedAttempts: 1 });
    expect(evidence.champion.byWhy).toEqual({ 'not-finite': 1 });
    expect(tally.logE).toBe(0);
  });

  it('leaves out a row with a number that no model computes with, where the answer was not finite', () => {
    const notFinite = { version: 2, why: 'not-finite' as const, detail: 'x' };
    const { canary: version, champion: beside } = tallied([
      [
        failing({ failed: notFinite, beyond: true }),
        failing({ failed: notFinite }),
        failing({ beyond: true }),
        champion({ failed: { ...notFinite, version: 1 }, beyond: true }),
      ],
    ]);
    expect(version.byWhy).toEqual({ 'not-finite': 1, threw: 1 });
    expect(beside).toEqual({ units: 0, failures: 0, slow: 0 });
  });
});

describe('counts', () => {
  it('a row that is logged twice counts once; rows of one request each', () => {
    const once = failing({ requestId: 'r' });
    const other = failing({ requestId: 'r', row: 1, unit: once.unit });
    const { canary: version } = tallied([[once, other, { ...once, boot: 'b2', seq: 4 }], [once]]);
    expect(version).toMatchObject({ attempts: 2, failedAttempts: 2, units: 1, failures: 1 });
  });

  it('a unit counts by its first request in the order of answers, though a later one fails', () => {
    const later = failing({ unit: 'u', answeredMs: T0 + 2 });
    const first = canary({ unit: 'u', answeredMs: T0 + 1 });
    expect(tallied([[later, first]]).canary).toMatchObject({ units: 1, failures: 0, attempts: 2, failedAttempts: 1 });
  });

  it('what the canary was not asked for is no attempt; the unit counts once it is asked', () => {
    const notLoaded = { reason: 'canary-not-loaded' as const };
    const { canary: version } = tallied([
      [canary({ unit: 'a', ...notLoaded }), canary({ unit: 'b', reason: 'breaker-open' }), failing({ unit: 'a' })],
    ]);
    expect(version).toMatchObject({
      units: 1,
      failures: 1,
      attempts: 1,
      notAsked: 2,
      breakerOpen: 1,
      unitsNotAsked: 1,
    });
  });

  it('is slow whose graph took longer than sloMs, of runs of its own', () => {
    const slowest = { graphMs: 21 };
    const { canary: version, champion: beside } = tallied(
      [
        [
          canary(slowest),
          canary({ graphMs: 20 }),
          canary({ ...slowest, cacheHit: true }),
          failing(slowest),
          champion(slowest),
        ],
      ],
      planOf({ sloMs: 20 }),
    );
    expect([version.slow, version.units, beside.slow]).toEqual([1, 4, 1]);
  });

  it('scores fall into the bins of the plan, once a unit; an edge begins the upper bin', () => {
    const scores = { edges: [0.25, 0.5], counts: [1, 1, 1] };
    const { scores: bins } = tallied(
      [[0.1, 0.25, 0.3, 0.5, 0.9].map((score) => canary({ score })), [failing(), canary({ score: undefined })]],
      planOf({}, { scores }),
    );
    expect(bins).toEqual([1, 2, 2]);
  });

  it('failures in a row are of different units, in the order of answers, of all replicas', () => {
    const at = (ms: number, more: Partial<SeenAnswer> = {}) => failing({ answeredMs: T0 + ms, ...more });
    const five = [1, 2, 3, 4, 5].map((ms) => at(ms));
    expect(tallied([five]).canary.inARow).toBe(5);
    expect(tallied([[...five, canary({ answeredMs: T0 + 2.5, boot: 'b2' })]]).canary.inARow).toBe(3);
    // It comes later, for its replica uploads later.
    expect(tallied([five, [canary({ answeredMs: T0 + 2.5, boot: 'b2' })]]).canary.inARow).toBe(3);
    expect(tallied([[1, 2, 3, 4, 5].map((ms) => at(ms, { unit: 'u' }))]).canary.inARow).toBe(1);
    expect(tallied([[at(1), at(2), champion({ answeredMs: T0 + 2.5 }), at(3)]]).canary.inARow).toBe(3);
  });

  it('a run that is older than any upload is settled', () => {
    const at = (ms: number) => failing({ answeredMs: T0 + ms });
    const tally = new CanaryTally({ plan: planOf(), revision: REVISION, since: SINCE });
    tally.add([1, 2, 3].map(at), NOW);
    tally.add([at(600_000)], NOW);
    expect(tally.counts.inARow).toBe(4);
    tally.add([canary({ answeredMs: T0 + 4 })], NOW);
    expect(tally.counts).toMatchObject({ inARow: 4, attempts: 5 });
  });

  it('a replica whose clock is ahead settles nobody’s attempts', () => {
    const tally = new CanaryTally({ plan: planOf(), revision: REVISION, since: SINCE });
    const at = (ms: number, more: Partial<SeenAnswer> = {}) => ({ answeredMs: T0 + ms, ...more });
    tally.add([canary(at(300_000 + 30_000, { boot: 'b2' }))], T0 + 30_000);
    tally.add(
      [1, 2, 3, 4, 5].map((i) => failing(at(10_000 + i))),
      T0 + 11_000,
    );
    expect(tally.counts.inARow).toBe(5);
  });

  it('the newest answer is of the stage, and not later than now', () => {
    const tally = new CanaryTally({ plan: planOf(), revision: REVISION, since: SINCE });
    const last = () => (tally.evidence(o) as CanaryEvidence).lastAnswerAt;
    tally.add([champion({ answeredMs: T0 + 5000 }), champion({ answeredMs: T0 + 6000, propensity: 1 })], NOW);
    expect(last()).toBe(new Date(T0 + 5000).toISOString());
    tally.add([canary({ answeredMs: NOW + 300_000 })], NOW);
    expect(last()).toBe(new Date(NOW).toISOString());
  });

  it('what it was not asked for is settled from 30 seconds after the begin on', () => {
    const notLoaded = { reason: 'canary-not-loaded' as const };
    const late = { answeredMs: T0 + 30_000 };
    const { canary: version } = tallied([
      [
        canary({ ...notLoaded, answeredMs: T0 + 29_999 }),
        canary({ ...notLoaded, ...late }),
        canary(late),
        failing(late),
      ],
    ]);
    expect(version.settled).toEqual({ asked: 2, notAsked: 1 });
    expect(version.notAsked).toBe(2);
  });

  it('in a bake what replicas answer by another version from 30 seconds on is what it was not asked for', () => {
    const late = { answeredMs: T0 + 30_000, propensity: 1 };
    const stale = { ...late, revision: REVISION - 1 };
    const same = champion(stale);
    const { champion: version } = tallied(
      [
        [
          champion({ ...late, assignedVersion: 2 }),
          champion({ ...late, answeredMs: T0, assignedVersion: 2 }),
          same,
          { ...same },
          champion({ ...stale, answeredMs: T0 + 29_999 }),
          canary({ ...stale, propensity: 0.5 }),
          champion({ ...late, assignedVersion: 3 }),
          seen({ ...late, assigned: 'forced', assignedVersion: 1, reason: 'forced', propensity: 0 }),
        ],
      ],
      bakePlan,
    ) as unknown as BakeEvidence;
    expect(version.settled).toEqual({ asked: 1, notAsked: 3 });
    expect(version).toMatchObject({ units: 2, attempts: 2, notAsked: 0 });
  });

  it('is kept back what breakers of a replica keep from it for over 30 seconds, until it answers there', () => {
    const open = (ms: number, boot = 'b1') => canary({ reason: 'breaker-open', answeredMs: T0 + ms, boot });
    const kept = (...answers: SeenAnswer[]) => tallied([answers]).canary.keptBack;
    expect(kept(open(0), open(30_000))).toBe(0);
    expect(kept(open(0), failing({ answeredMs: T0 + 10_000 }), open(30_001), open(40_000))).toBe(2);
    expect(kept(open(0), canary({ answeredMs: T0 + 10_000 }), open(30_001))).toBe(0);
    expect(kept(open(0), canary({ answeredMs: T0 + 10_000, boot: 'b2' }), open(30_001))).toBe(1);
    expect(kept(open(0), open(30_001, 'b2'))).toBe(0);
  });

  it('nothing yet is zero of everything, and no time of an answer', () => {
    const evidence = tallied([[]], planOf({ sloMs: 5 }));
    expect(evidence).toMatchObject({ errorsLogE: 0, slowLogE: 0, canary: { units: 0, inARow: 0, unitsNotAsked: 0 } });
    expect(evidence).not.toHaveProperty('lastAnswerAt');
    expect(CanaryEvidenceIn(evidence)).toEqual(evidence);
  });
});

/** As it comes back from a record. */
const CanaryEvidenceIn = (evidence: CanaryEvidence): unknown => JSON.parse(JSON.stringify(evidence));

describe('the e-value', () => {
  it('is that of blocks which end as soon as both sides have a unit', () => {
    const units = [champion(), champion(), canary(), failing(), failing(), champion(), champion(), failing()];
    const e = new CanaryEValue();
    e.add({ championUnits: 2, championFailures: 0, canaryUnits: 1, canaryFailures: 0 });
    e.add({ championUnits: 1, championFailures: 0, canaryUnits: 2, canaryFailures: 2 });
    e.add({ championUnits: 1, championFailures: 0, canaryUnits: 1, canaryFailures: 1 });
    expect(tallied([units]).errorsLogE).toBe(e.logE);
    expect(e.logE).toBeGreaterThan(0);
  });

  it('of speed counts failures and cached answers on neither side', () => {
    const slowest = { graphMs: 50 };
    const rest = [failing(), champion({ cacheHit: true })];
    const of = (batch: SeenAnswer[]) => tallied([batch], planOf({ sloMs: 20 })).slowLogE;
    const speeds = [champion(), canary(slowest), champion(), canary(slowest)];
    expect(of([...speeds.slice(0, 2), ...rest, ...speeds.slice(2)])).toBe(of(speeds));
    expect(of(speeds)).toBeGreaterThan(0);
  });
});

describe('whatever comes in whatever order', () => {
  const answers = fc
    .array(
      fc.record({
        unit: fc.integer({ min: 0, max: 30 }).map(String),
        ms: fc.integer({ min: 0, max: 60_000 }),
        failed: fc.boolean(),
        boot: fc.constantFrom('b1', 'b2'),
      }),
      { maxLength: 60 },
    )
    .map((all) =>
      all.map(({ unit, ms, failed, boot }) => {
        const more = { unit: `u${unit}`, answeredMs: T0 + ms, boot };
        // A unit is always assigned alike.
        if (Number(unit) % 3 > 0)
          return champion(failed ? { ...more, failed: { version: 1, why: 'threw', detail: '' } } : more);
        return failed ? failing(more) : canary(more);
      }),
    );
  const distinct = (all: SeenAnswer[], assigned: string) =>
    new Set(all.filter((one) => one.assigned === assigned).map(({ unit }) => unit)).size;

  it('units are counted once, however the answers are cut into polls', () => {
    fc.assert(
      fc.property(answers, fc.integer({ min: 1, max: 10 }), fc.boolean(), (all, size, backwards) => {
        const order = backwards ? [...all].reverse() : all;
        const polls: SeenAnswer[][] = [];
        for (let i = 0; i < order.length; i += size) polls.push(order.slice(i, i + size));
        const inPolls = tallied([...polls, ...polls]);
        const atOnce = tallied([all]);
        for (const evidence of [inPolls, atOnce]) {
          expect(evidence.canary.units).toBe(distinct(all, 'canary'));
          expect(evidence.champion.units).toBe(distinct(all, 'champion'));
        }
        const { attempts, failedAttempts, byWhy, inARow } = inPolls.canary;
        expect(atOnce.canary).toMatchObject({ attempts, failedAttempts, byWhy, inARow });
      }),
    );
  });

  it('the same answers in one go are the same evidence', () => {
    fc.assert(
      fc.property(answers, (all) => {
        expect(tallied([[...all].reverse()])).toEqual(tallied([all]));
      }),
    );
  });
});

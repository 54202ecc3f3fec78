import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge, judgeBake, watchOver } from '../../policies/index.ts';
import type { BakeEvidence, BakePlan, Verdict, WatchedVersion } from '../../schemas/index.ts';
import { anyInstant, anyNumber, holds, stage, told } from './support.ts';

const plan = (over: object = {}): BakePlan => ({
  kind: 'bake',
  stage: stage('bake', { sloMs: 20, ...over }),
  champion: 2,
  previous: 1,
});

const evidence = (champion: Partial<WatchedVersion> = {}, over: Partial<BakeEvidence> = {}): BakeEvidence => ({
  kind: 'bake',
  since: '2026-03-01T12:00:00.000Z',
  asOf: '2026-03-01T12:15:00.000Z',
  watchedMs: 15 * 60_000,
  champion: {
    units: 1000,
    failures: 5,
    slow: 10,
    attempts: 1000,
    failedAttempts: 5,
    byWhy: {},
    inARow: 1,
    notAsked: 0,
    breakerOpen: 0,
    settled: { asked: 950, notAsked: 0 },
    ...champion,
  },
  lastAnswerAt: '2026-03-01T12:14:58.000Z',
  ...over,
});

interface Case {
  name: string;
  plan?: BakePlan;
  evidence: BakeEvidence;
  says: Verdict['says'];
  by?: string;
}

const cases: Case[] = [
  { name: 'passes when it was watched for long enough, by enough units', evidence: evidence(), says: 'pass' },
  {
    name: 'fails above the hard limit',
    evidence: evidence({ failedAttempts: 100 }),
    says: 'fail',
    by: 'errors.hardLimit',
  },
  { name: 'fails at five failures in a row', evidence: evidence({ inARow: 7 }), says: 'fail', by: 'errors.inARow' },
  {
    name: 'fails when too many units are proved to be slow',
    evidence: evidence({ slow: 100 }),
    says: 'fail',
    by: 'slow.rate',
  },
  {
    name: 'does not look at slowness without a limit',
    plan: plan({ sloMs: undefined }),
    evidence: evidence({ slow: 900 }),
    says: 'pass',
  },
  {
    name: 'is blind where slow units were not counted',
    evidence: evidence({ slow: NaN }),
    says: 'no-data',
    by: 'slow.rate',
  },
  {
    name: 'is blind when over a fifth of the rows are answered by another version, for it cannot be loaded there',
    evidence: evidence({ settled: { asked: 950, notAsked: 238 } }),
    says: 'no-data',
    by: 'asked',
  },
  {
    name: 'bears a fifth of them',
    evidence: evidence({ settled: { asked: 952, notAsked: 238 } }),
    says: 'pass',
  },
  {
    name: 'says nothing of other versions where their answers were not counted',
    evidence: evidence({ settled: undefined }),
    says: 'pass',
  },
  {
    name: 'is blind when it would pass on what was seen long ago',
    evidence: evidence({}, { lastAnswerAt: '2026-03-01T12:01:00.000Z' }),
    says: 'no-data',
    by: 'fresh',
  },
  {
    name: 'waits for the least duration',
    evidence: evidence({}, { watchedMs: 3_000 }),
    says: 'undecided',
    by: 'duration',
  },
  {
    name: 'waits for the least requests',
    evidence: evidence({ units: 1, slow: 0 }),
    says: 'undecided',
    by: 'requests',
  },
  {
    name: 'has no data before the first unit',
    evidence: evidence({ units: 0, failures: 0, slow: 0, attempts: 0, failedAttempts: 0, inARow: 0 }),
    says: 'no-data',
    by: 'requests',
  },
];

describe('a bake', () => {
  it.each(cases)('$name', ({ plan: asked = plan(), evidence: seen, says, by }) => {
    const judgement = judgeBake(asked, seen);
    expect({ says: judgement.verdict.says, by: judgement.verdict.limitedBy }).toEqual({ says, by });
    expect(told(judgement)).toMatchSnapshot();
  });

  it('is over when the requests did not come by maxDuration', () => {
    const seen = evidence({ units: 3 }, { watchedMs: 2 * 3_600_000 });
    expect(watchOver(plan({ onNoData: 'hold' }), seen, seen.asOf)).toMatchObject({ does: 'hold', over: 'no data' });
    expect(watchOver(plan(), evidence({ units: 3 }), seen.asOf)).toBeUndefined();
  });

  it('never throws, and never passes on what is not a number', () => {
    const anyVersion = fc.record({
      units: anyNumber,
      failures: anyNumber,
      slow: anyNumber,
      attempts: anyNumber,
      failedAttempts: anyNumber,
      byWhy: fc.constant({}),
      inARow: anyNumber,
      notAsked: anyNumber,
      breakerOpen: anyNumber,
    });
    fc.assert(
      fc.property(anyVersion, anyNumber, anyInstant, (champion, watchedMs, asOf) => {
        const seen = evidence(champion, { watchedMs, asOf });
        const judgement = judge(plan({ minRequests: 1 }), seen);
        holds(judgement);
        const needed = [champion.units, champion.slow, champion.attempts, champion.failedAttempts, watchedMs];
        expect(needed.every(Number.isFinite) || judgement.verdict.says !== 'pass').toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

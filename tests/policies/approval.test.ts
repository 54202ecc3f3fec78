import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge, judgeApproval, mayVote } from '../../policies/index.ts';
import type { ApprovalEvidence, ApprovalPlan, RecordedVote, Verdict } from '../../schemas/index.ts';
import { holds, stage, told } from './support.ts';

const LOOK = 'looks/hotel-cancellations/2016-10-20T00:00:00.000Z-shadow.json';
const SHA = 'ab12cd34'.repeat(8);
const plan = (over: Partial<ApprovalPlan> = {}): ApprovalPlan => ({
  kind: 'approval',
  stage: stage('approval'),
  allowUnverified: false,
  look: LOOK,
  sha256: SHA,
  ...over,
});
const vote = (says: 'approve' | 'reject', over: Partial<RecordedVote> = {}): RecordedVote => ({
  says,
  by: 'ana',
  reason: 'slices look right',
  at: '2016-10-21T09:00:00.000Z',
  channel: 'api',
  verified: true,
  counts: true,
  ...over,
});
const evidence = (votes: RecordedVote[], over: Partial<ApprovalEvidence> = {}): ApprovalEvidence => ({
  kind: 'approval',
  askedAt: '2016-10-20T00:00:00.000Z',
  asOf: '2016-10-22T00:00:00.000Z',
  votes,
  expired: false,
  ...over,
});
const SIGNAL = { channel: 'signal', verified: false } as const;

interface Case {
  name: string;
  plan?: ApprovalPlan;
  evidence: ApprovalEvidence;
  says: Verdict['says'];
  by?: string;
}

const cases: Case[] = [
  { name: 'is approved by one vote', evidence: evidence([vote('approve')]), says: 'pass' },
  { name: 'is rejected by one vote', evidence: evidence([vote('reject')]), says: 'fail', by: 'votes' },
  {
    name: 'is rejected where the reject came first',
    evidence: evidence([vote('reject'), vote('approve', { by: 'ben' })]),
    says: 'fail',
    by: 'votes',
  },
  {
    name: 'is approved where the approval came first',
    evidence: evidence([vote('approve'), vote('reject', { by: 'ben' })]),
    says: 'pass',
  },
  { name: 'waits for a vote', evidence: evidence([]), says: 'undecided', by: 'votes' },
  {
    name: 'waits for a vote on a version that no look gave a verdict on',
    plan: plan({ look: undefined, sha256: undefined }),
    evidence: evidence([]),
    says: 'undecided',
    by: 'votes',
  },
  {
    name: 'waits where votes do not count, and says why the last does not',
    evidence: evidence([
      vote('approve', { counts: false, why: 'it is on look x' }),
      vote('approve', { by: 'ben', counts: false, why: 'it is on look y' }),
    ]),
    says: 'undecided',
    by: 'votes',
  },
  {
    name: 'waits where nobody checked who voted',
    evidence: evidence([vote('approve', SIGNAL)]),
    says: 'undecided',
    by: 'votes',
  },
  {
    name: 'waits where a vote was recorded as not counting without a reason',
    evidence: evidence([vote('approve', { counts: false })]),
    says: 'undecided',
    by: 'votes',
  },
  {
    name: 'is approved by an unverified vote where the plan allows it',
    plan: plan({ allowUnverified: true }),
    evidence: evidence([vote('approve', SIGNAL)]),
    says: 'pass',
  },
  {
    name: 'waits again when votes became void',
    evidence: evidence([vote('approve', { counts: false, why: 'void' })], { voided: 'the verdict changed to worse' }),
    says: 'undecided',
    by: 'votes',
  },
  {
    name: 'is rejected at the deadline',
    evidence: evidence([], { expired: true }),
    says: 'fail',
    by: 'deadline',
  },
  {
    name: 'stays approved though the deadline passed since',
    evidence: evidence([vote('approve')], { expired: true }),
    says: 'pass',
  },
];

describe('an approval', () => {
  it.each(cases)('$name', ({ plan: asked = plan(), evidence: seen, says, by }) => {
    const judgement = judgeApproval(asked, seen);
    expect({ says: judgement.verdict.says, by: judgement.verdict.limitedBy }).toEqual({ says, by });
    expect(told(judgement)).toMatchSnapshot();
  });

  it('never throws, and passes only where a person who counts has approved', () => {
    const anyVote = fc.record({
      says: fc.constantFrom('approve' as const, 'reject' as const),
      by: fc.constantFrom('ana', 'ben'),
      reason: fc.string(),
      at: fc.constant('2016-10-21T09:00:00.000Z'),
      channel: fc.constantFrom('api' as const, 'update' as const, 'signal' as const),
      verified: fc.constantFrom(true, false, undefined as unknown as boolean),
      counts: fc.constantFrom(true, false, undefined as unknown as boolean),
      why: fc.constantFrom('so', undefined),
    });
    fc.assert(
      fc.property(
        fc.array(anyVote, { maxLength: 6 }),
        fc.boolean(),
        fc.boolean(),
        (votes, expired, allowUnverified) => {
          const judgement = judge(plan({ allowUnverified }), evidence(votes, { expired }));
          const { says } = judgement.verdict;
          expect(says === 'pass').toBe(
            votes.find((one) => one.counts && (one.verified || allowUnverified))?.says === 'approve',
          );
          holds({ ...judgement, rules: judgement.rules.filter(({ rule }) => rule !== 'deadline' || says !== 'pass') });
        },
      ),
    );
  });
});

describe('a vote', () => {
  const ask = (over: Partial<Parameters<typeof mayVote>[0]> & { on?: string; verified?: boolean } = {}) => {
    const { on, verified = true, ...question } = over;
    const vote = { by: 'ana', verified, ...(on !== undefined && { look: on }) };
    return mayVote({ plan: plan(), votes: [], vote, ...question });
  };

  it('counts for the look that is to be approved: by its key, its hash, or 8 digits of that, or unnamed', () => {
    for (const on of [undefined, LOOK, SHA, SHA.slice(0, 8), 'AB12CD34']) expect(ask({ on })).toBeUndefined();
    expect(ask({ plan: plan({ look: undefined, sha256: undefined }) })).toBeUndefined();
  });

  it('counts again for somebody whose first vote did not', () => {
    expect(ask({ votes: [vote('approve', { counts: false })] })).toBeUndefined();
    expect(ask({ votes: [vote('approve', { by: 'ben' })] })).toBeUndefined();
    expect(ask({ plan: plan({ allowUnverified: true }), verified: false })).toBeUndefined();
  });

  it('is told why it does not count', () => {
    expect([
      ask({ plan: undefined }),
      ask({ plan: undefined, at: 'stage 1, canary' }),
      ask({ on: SHA.slice(0, 7) }),
      ask({ on: 'looks/other.json', plan: plan({ sha256: undefined }) }),
      ask({ on: LOOK, plan: plan({ look: undefined, sha256: undefined }) }),
      ask({ votes: [vote('approve')] }),
      ask({ verified: false }),
    ]).toMatchInlineSnapshot(`
      [
        "no word is asked for now",
        "no word is asked for now: the rollout is at stage 1, canary",
        "it is on look ab12cd3, and looks/hotel-cancellations/2016-10-20T00:00:00.000Z-shadow.json (ab12cd34) is to be approved",
        "it is on look looks/other.json, and looks/hotel-cancellations/2016-10-20T00:00:00.000Z-shadow.json is to be approved",
        "it is on look looks/hotel-cancellations/2016-10-20T00:00:00.000Z-shadow.json, and no look is to be approved here: leave look out",
        "ana has voted already (approve)",
        "nobody checked who it is from, and this approval counts only votes over the API with a key of scope approve",
      ]
    `);
  });
});

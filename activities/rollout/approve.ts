import { isDeepStrictEqual } from 'node:util';
import { refOf } from '../../bucket/index.ts';
import { judge, mayVote } from '../../policies/index.ts';
import {
  UserError,
  type ApprovalEvidence,
  type ApprovalPlan,
  type LookRef,
  type OpenRollout,
  type RecordedVote,
  type Vote,
  type VoteRecord,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';

export interface GivenVote extends Vote {
  says: 'approve' | 'reject';
  /** When and how it reached the rollout. */
  at: string;
  channel: 'update' | 'signal';
}

/**
 * Who a vote is from, and whether it counts. `by` is verified where the vote names the record that the API wrote of it,
 * and the record is of this very vote: of this run, this person, word and reason, and the look that is to be approved.
 * Safe to repeat: it only reads.
 *
 * @param plan   absent: no approval is asked for now
 * @param votes  those before
 */
export const createCheckVote = ({ stores }: Context) => ({
  async checkVote(
    rollout: OpenRollout,
    vote: GivenVote,
    plan: ApprovalPlan | undefined,
    votes: RecordedVote[],
  ): Promise<RecordedVote> {
    const { says, by, reason, at, look } = vote;
    const record = vote.record === undefined ? undefined : await stores.votes.read(vote.record);
    const isIts = isOf(record, rollout, { says, by, reason });
    const verified = isIts && (plan?.sha256 === undefined || record!.look === plan.sha256);
    const unlike =
      vote.record === undefined || verified
        ? undefined
        : isIts
          ? 'what was asked about has changed since the vote was written down: read the new look, and vote again'
          : `${vote.record} is no record of this vote`;
    const asked = { by, verified, ...(look !== undefined && { look }) };
    const why = unlike ?? mayVote({ plan, votes, vote: asked });
    return {
      says,
      by,
      reason,
      at,
      channel: verified ? 'api' : vote.channel,
      verified,
      ...(look !== undefined && { look }),
      counts: why === undefined,
      ...(why !== undefined && { why }),
    };
  },
});

/** Whether the API wrote it down, of somebody whose key it had checked. Safe to repeat: it only reads. */
export const createCheckWord = ({ stores }: Context) => ({
  checkWord: async (rollout: OpenRollout, word: GivenWord): Promise<boolean> =>
    isOf(await stores.votes.read(word.record), rollout, word),
});

/** What is no vote: pause, advance, ... */
export interface GivenWord extends Omit<Word, 'says'> {
  says: Exclude<Word['says'], 'approve' | 'reject'>;
  record: string;
}

type Word = Pick<VoteRecord, 'says' | 'by' | 'reason' | 'stage'>;

/** A record is of one word to one run, and all that it says. */
const isOf = (record: VoteRecord | undefined, rollout: OpenRollout, { says, by, reason, stage }: Word): boolean =>
  record !== undefined &&
  record.model === rollout.model &&
  record.workflowId === rollout.workflowId &&
  record.runId === rollout.runId &&
  record.says === says &&
  record.by === by &&
  record.reason === reason &&
  isDeepStrictEqual(record.stage, stage);

/** Writes what people said of a rollout, and what follows, as a look. Safe to repeat: the same `now` is the same look. */
export const createRecordApproval = ({ stores, build }: Context) => ({
  async recordApproval(
    rollout: OpenRollout,
    stage: number,
    plan: ApprovalPlan,
    evidence: ApprovalEvidence,
    now: string,
  ): Promise<{ ref: LookRef; line: string }> {
    const { model, version, champion, workflowId, runId } = rollout;
    const written = await stores.looks.create({
      model,
      versions: [...(champion === undefined ? [] : [champion]), version],
      kind: 'approval',
      at: now,
      rollout: { workflowId, runId, stage },
      window: { from: evidence.askedAt, to: evidence.asOf },
      plan,
      revision: (await stores.serving.current(model))?.n ?? 0,
      evidence,
      ...judge(plan, evidence),
      build: build.commit,
    });
    const { rollout: of, evidence: there } = written.look;
    if (of?.workflowId !== workflowId || of.runId !== runId || !isDeepStrictEqual(there, evidence))
      throw new UserError(
        'LookTaken',
        `${written.key} is another record, of the very same millisecond. Start this rollout again.`,
      );
    const ref = refOf(written);
    return { ref, line: ref.verdict.because };
  },
});

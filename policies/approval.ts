/**
 * Has a person said yes?
 *
 * - The first vote that counts decides: approve passes, reject fails.
 * - A vote whose `by` nobody checked counts only where the plan allows it.
 * - A vote counts for the look that is to be approved and for no other, and once for each person.
 * - Nobody by the deadline: rejected.
 * - Until then: undecided, in words that say what is missing. Votes that became void count no more.
 */
import type { ApprovalEvidence, ApprovalPlan, RecordedVote, RuleResult, Verdict } from '../schemas/index.ts';
import type { Judgement } from './judgement.ts';
import { count } from './words.ts';

export function judgeApproval(plan: ApprovalPlan, evidence: ApprovalEvidence): Judgement {
  const { votes, expired, voided } = evidence;
  const counting = votes.filter((vote) => counts(plan, vote));
  const rules: RuleResult[] = [votesRule(plan, counting, votes, voided), deadlineRule(plan, evidence)];
  const [voting, deadline] = rules as [RuleResult, RuleResult];
  const limiting = voting.says === 'undecided' && expired ? deadline : voting;
  const verdict: Verdict = {
    says: limiting.says as Verdict['says'],
    because:
      limiting === deadline
        ? `${deadline.rule}: ${deadline.because}; ${voting.because}`
        : `${voting.rule}: ${voting.because}`,
    ...(limiting.says !== 'pass' && { limitedBy: limiting.rule }),
  };
  return { rules, figures: [], verdict };
}

const counts = (plan: ApprovalPlan, vote: RecordedVote): boolean =>
  vote.counts === true && (vote.verified === true || plan.allowUnverified === true);

function votesRule(
  plan: ApprovalPlan,
  counting: readonly RecordedVote[],
  votes: readonly RecordedVote[],
  voided: string | undefined,
): RuleResult {
  const rule = 'votes';
  const [first] = counting;
  if (first) {
    const how = first.verified ? '' : ' (unverified)';
    const said = first.says === 'approve' ? 'approved' : 'rejected';
    return {
      rule,
      says: first.says === 'approve' ? 'pass' : 'fail',
      because: `${said} by ${first.by}${how} over ${first.channel} on ${first.at}: ${first.reason}`,
    };
  }
  const last = votes.at(-1);
  const why = last && (last.why ?? (last.verified ? 'it was recorded as not counting' : UNVERIFIED));
  return {
    rule,
    says: 'undecided',
    because: [
      'nobody has approved or rejected it yet, and one vote is asked',
      ...(last
        ? [
            `${count(votes.length, 'vote')} that ${votes.length === 1 ? 'does' : 'do'} not count, the last by ${last.by}: ${why}`,
          ]
        : []),
      ...(voided === undefined ? [] : [`votes became void: ${voided}`]),
      ...(plan.look === undefined ? ['no look gave a verdict before, so the word is on the version itself'] : []),
    ].join('; '),
  };
}

const UNVERIFIED =
  'nobody checked who it is from, and this approval counts only votes over the API with a key of scope approve';

function deadlineRule(plan: ApprovalPlan, { askedAt, expired }: ApprovalEvidence): RuleResult {
  const rule = 'deadline';
  const long = `${plan.stage.deadline} after ${askedAt}`;
  return expired
    ? { rule, says: 'fail', because: `nobody approved by the deadline, ${long}` }
    : { rule, says: 'pass', because: `the deadline is ${long}` };
}

/** Digits of a look's hash that are enough to name it. */
const LEAST_DIGITS = 8;

/**
 * Why a vote does not count; undefined where it does.
 *
 * @param plan  absent: the rollout is not in an approval stage
 * @param at    of the stage that it is in, for words
 */
export function mayVote(question: {
  plan: ApprovalPlan | undefined;
  at?: string;
  votes: readonly Pick<RecordedVote, 'by' | 'counts' | 'says'>[];
  vote: { by: string; look?: string; verified: boolean };
}): string | undefined {
  const { plan, at, votes, vote } = question;
  if (!plan) return `no word is asked for now${at === undefined ? '' : `: the rollout is at ${at}`}`;
  if (vote.look !== undefined && !isOn(plan, vote.look))
    return plan.look === undefined
      ? `it is on look ${vote.look}, and no look is to be approved here: leave look out`
      : `it is on look ${vote.look}, and ${plan.look}${plan.sha256 === undefined ? '' : ` (${plan.sha256.slice(0, LEAST_DIGITS)})`} is to be approved`;
  const before = votes.find((other) => other.counts && other.by === vote.by);
  if (before) return `${vote.by} has voted already (${before.says})`;
  if (!vote.verified && !plan.allowUnverified) return UNVERIFIED;
  return undefined;
}

const isOn = ({ look, sha256 }: ApprovalPlan, named: string): boolean =>
  named === look || (sha256 !== undefined && named.length >= LEAST_DIGITS && sha256.startsWith(named.toLowerCase()));

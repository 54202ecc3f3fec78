/**
 * What people may say to a rollout, each as a signal (from Temporal's own tools) and as an update (which answers).
 *
 *   approve, reject                    a vote on the look that is asked about
 *   pause, resume, advance, rollback   while it runs
 *   changePlan                         the plan of an open shadow stage, as an explicit act
 *
 * A message that comes twice, too early or too late is refused in words, and changes nothing: an update is answered so, and
 * a signal is kept in the status, the details and, where it is a vote, in the record of the approval.
 */
import {
  ApplicationFailure,
  defineQuery,
  defineSignal,
  defineUpdate,
  isCancellation,
  proxyActivities,
  setHandler,
} from '@temporalio/workflow';
import { rootCause } from '@temporalio/common';
import * as z from 'zod';
import type { GivenWord, PipelineActivities } from '../activities/index.ts';
import { ChangePlan, Steer, Vote, type RecordedVote, type RolloutStatus, type ShadowPlan } from '../schemas/index.ts';
import { now, OUR_MISTAKES } from './manners.ts';
import { nameOf, type RolloutState, type Trial } from './rollout-state.ts';

const asking = {
  startToCloseTimeout: '30 seconds', // a few objects read
  scheduleToCloseTimeout: '10 minutes', // then the person is told, and says it again
  heartbeatTimeout: '15 seconds', // a dead worker's step goes to another within seconds
  retry: { nonRetryableErrorTypes: OUR_MISTAKES },
} as const;
const { checkVote, checkChange } = proxyActivities<PipelineActivities>(asking);
const { checkWord } = proxyActivities<PipelineActivities>({
  ...asking,
  scheduleToCloseTimeout: '20 seconds', // whoever holds a version up, or takes it back, is not kept waiting by a bucket
});

const MOST_VOTES = 100;

type Says = 'approve' | 'reject';
type Steering = 'pause' | 'resume' | 'advance' | 'rollback';

const STEERINGS: Record<Steering, string> = {
  pause: 'Nothing moves forward until it is resumed; looks go on, and harm is still undone. {"by", "reason"}',
  resume: 'Goes on after a pause, or after no data. {"by", "reason"}',
  advance: 'Goes to the next stage without waiting for this one. {"by", "reason"}',
  rollback: 'Ends it, and puts back what served before. {"by", "reason"}',
};

export const status = defineQuery<RolloutStatus>('status');

/** Registers every handler. Call it before the first await: a message may be there already. */
export function hear(state: RolloutState): void {
  setHandler(status, () => state.status(), { description: 'Stage, looks, votes, and what it waits for' });
  for (const says of ['approve', 'reject'] as const) {
    const description = `A vote on the look that is asked about. {"by", "reason", "look"?}`;
    setHandler(defineUpdate<RecordedVote, [Vote]>(says), (given) => vote(state, says, read(Vote, given), 'update'), {
      description,
      validator: (given) => stop(whyNoVote(state, says, read(Vote, given))),
    });
    setHandler(
      defineSignal<[unknown]>(says),
      (given) =>
        bySignal(state, says, given, async () => {
          const parsed = read(Vote, given);
          if (!state.asked || isLate(state) || state.votes.length >= MOST_VOTES) stop(whyNoVote(state, says, parsed));
          await vote(state, says, parsed, 'signal');
        }),
      { description },
    );
  }
  for (const [name, description] of Object.entries(STEERINGS) as [Steering, string][]) {
    setHandler(
      defineUpdate<RolloutStatus, [Steer]>(name),
      (given) => {
        const parsed = read(Steer, given);
        const { at } = state;
        const act = (said: Steer) => {
          // It may have moved on while the word was checked: whoever sends it on means the stage that it was in.
          stop(whyNotSteer(state, name));
          if (name === 'advance' && state.at !== at) stop(`it has gone on to ${nameOf(state.stage!)} meanwhile`);
          steer(state, name, said);
          return state.status();
        };
        return parsed.record === undefined
          ? act(unverified(parsed))
          : signed(state, { ...parsed, says: name, record: parsed.record }).then((by) => act({ ...parsed, by }));
      },
      {
        description,
        // Not asked again where a history is replayed, in which it may have been taken.
        validator: (given) => {
          const { record } = read(Steer, given);
          stop(whyNotSteer(state, name) ?? (record === undefined ? whyNotNobodys(state, name) : undefined));
        },
      },
    );
    setHandler(
      defineSignal<[unknown]>(name),
      (given) =>
        bySignal(state, name, given, () => {
          const parsed = read(Steer, given);
          stop(whyNotSteer(state, name));
          stop(whyNotNobodys(state, name));
          steer(state, name, unverified(parsed));
        }),
      { description },
    );
  }
  const description = 'Changes the plan of the shadow stage from the next look on. {"by", "reason", "stage": {...}}';
  setHandler(
    defineUpdate<RolloutStatus, [ChangePlan]>('changePlan'),
    async (given) => {
      const { by, reason, record } = read(ChangePlan, given);
      const { stage } = given; // a schema's defaults are no wish of the person
      const who =
        record === undefined
          ? unverified({ by }).by
          : await signed(state, { says: 'changePlan', by, reason, stage, record });
      await changePlan(state, given, who);
      return state.status();
    },
    {
      description,
      validator: (given) => {
        const { record } = read(ChangePlan, given);
        stop(whyNoChange(state, given) ?? (record === undefined ? whyNotNobodys(state, 'changePlan') : undefined));
      },
    },
  );
  setHandler(
    defineSignal<[ChangePlan]>('changePlan'),
    (given) =>
      bySignal(state, 'changePlan', given, async () => {
        stop(whyNoChange(state, given));
        stop(whyNotNobodys(state, 'changePlan'));
        await changePlan(state, given, unverified(read(ChangePlan, given)).by);
      }),
    { description },
  );
}

/**
 * Whose word it is: of somebody whose key the API had checked, where it wrote down this very word, which is said once; else
 * nobody's.
 */
async function signed(state: RolloutState, word: GivenWord): Promise<string> {
  const { says, by, record } = word;
  const summary = `Is ${says} of ${by} what the API wrote down?`;
  const whyNot = whyNotNobodys(state, says);
  let isWritten = false;
  try {
    isWritten = await checkWord.executeWithOptions({ summary }, [state.open!, word]);
  } catch (error) {
    if (whyNot !== undefined || isCancellation(error)) throw error;
  }
  if (isWritten && !state.spent.has(record)) {
    state.spent.add(record);
    return by;
  }
  stop(whyNot);
  return unverified({ by }).by;
}

/** Whoever can reach Temporal can speak under any name: what is kept of it says so. */
const unverified = <T extends { by: string }>(given: T): T => ({
  ...given,
  by: `${given.by.slice(0, MOST_NAME)} (unverified)`,
});

/** Anybody may hold a version up, or take it back; what lets one go on is a word like a vote. */
const whyNotNobodys = ({ open }: RolloutState, name: Steering | 'changePlan'): string | undefined =>
  open?.allowUnverified || (name !== 'advance' && name !== 'changePlan')
    ? undefined
    : 'nobody has checked who says so, and here that is asked for: say it over the API, with a key';

const MOST_NAME = 180;

/** A signal has nobody to answer: what it says is done, or kept as refused. Nothing that it does fails the workflow. */
async function bySignal(
  state: RolloutState,
  name: string,
  given: unknown,
  act: () => void | Promise<void>,
): Promise<void> {
  try {
    await act();
  } catch (error) {
    const { by } = (given ?? {}) as { by?: unknown };
    state.refuse(
      `${name}${typeof by === 'string' ? ` by ${by.slice(0, 200)}` : ''}: ${rootCause(error) ?? String(error)}`,
    );
  }
}

/** @throws {ApplicationFailure} a bare schema error would have the workflow's task repeated for ever */
function read<T>(schema: z.ZodType<T>, given: unknown): T {
  const parsed = schema.safeParse(given ?? {});
  if (parsed.success) return parsed.data;
  throw refusal(
    'InvalidInput',
    `${z.prettifyError(parsed.error)}\nExpected, for example: {"by": "ana", "reason": "slices look right"}`,
  );
}

const refusal = (type: string, message: string): ApplicationFailure =>
  ApplicationFailure.create({ type, message, nonRetryable: true });

function stop(why: string | undefined): void {
  if (why !== undefined) throw refusal('Refused', why);
}

function whyNotNow(state: RolloutState): string | undefined {
  if (state.hasEnded) return `the rollout has ended${state.outcome === undefined ? '' : `: ${state.outcome}`}`;
  if (state.at < 0)
    return 'the rollout has not begun its first stage: say it again in a moment, or cancel the workflow';
  return undefined;
}

/** Whoever was away over the deadline may hear of a vote and of the deadline at once. */
const isLate = ({ deadline, paused }: RolloutState): boolean => deadline !== undefined && !paused && now() >= deadline;

function whyNoVote(state: RolloutState, says: Says, { by, look }: Vote): string | undefined {
  const early = whyNotNow(state);
  if (early !== undefined) return early;
  const { asked, stage } = state;
  if (!asked)
    return `there is nothing to ${says} now: the rollout is at ${stage ? nameOf(stage) : 'its end'}, and is asked about in its approval stage`;
  if (isLate(state)) return `the deadline has passed: ${state.deadline}`;
  const { plan } = asked;
  const hasDigits = look !== undefined && look.length >= 8 && plan.sha256?.startsWith(look.toLowerCase());
  if (look !== undefined && look !== plan.look && !hasDigits)
    return `it is on look ${look}, and ${plan.look ? `${plan.look} (${plan.sha256!.slice(0, 8)}) is asked about` : 'no look is asked about'}`;
  if (state.hearing.has(by)) return `a vote of ${by} is being checked: say it again in a moment`;
  if (state.votes.some((other) => other.counts && other.by === by)) return `${by} has voted already`;
  if (state.votes.length >= MOST_VOTES) return `${MOST_VOTES} votes are recorded already`;
  return undefined;
}

/** The activity says who it is from and whether it counts; meanwhile the question may have changed. */
async function vote(state: RolloutState, says: Says, given: Vote, channel: 'update' | 'signal'): Promise<RecordedVote> {
  const { asked, open, votes } = state;
  const isFirst = !state.hearing.has(given.by);
  state.hearing.add(given.by);
  try {
    const checked = await checkVote.executeWithOptions({ summary: `Does the vote of ${given.by} count?` }, [
      open!,
      { ...given, says, at: now(), channel },
      asked?.plan,
      votes,
    ]);
    const twice = !isFirst || state.votes.some((other) => other.counts && other.by === checked.by);
    const late = state.asked !== asked ? 'what was asked about had changed by then' : undefined;
    const why = checked.counts ? (late ?? (twice ? `${checked.by} has voted already` : undefined)) : checked.why;
    const recorded = { ...checked, counts: why === undefined, ...(why !== undefined && { why }) };
    if (late === undefined) state.votes.push(recorded);
    if (!recorded.counts && channel === 'signal') state.refuse(`${says} by ${given.by}: ${why}`);
    state.note(`${says} by ${recorded.by}${recorded.counts ? '' : ` does not count (${why})`}: ${given.reason}`);
    return recorded;
  } finally {
    if (isFirst) state.hearing.delete(given.by);
  }
}

function whyNotSteer(state: RolloutState, name: Steering): string | undefined {
  const early = whyNotNow(state);
  if (early !== undefined) return early;
  const { wish, paused, stage } = state;
  if (wish?.to === 'rollback' || (wish && wish.to === name)) return `${wish.by} has asked for ${wish.to} already`;
  if (name === 'pause' && paused) return `it is paused already, by ${paused.by} since ${paused.at}`;
  if (name === 'resume' && !paused) return 'it is not paused';
  if (name === 'advance' && stage?.kind === 'approval')
    return 'an approval stage is not left by advance: approve it, or reject it';
  return undefined;
}

function steer(state: RolloutState, name: Steering, given: Steer): void {
  if (name === 'pause') return state.pause(given);
  if (name === 'resume') return state.resume(given);
  state.wish = { ...given, to: name };
  state.note(`${name} by ${given.by}: ${given.reason}`);
}

function whyNoChange(state: RolloutState, given: unknown): string | undefined {
  const { stage } = read(ChangePlan, given);
  const early = whyNotNow(state);
  if (early !== undefined) return early;
  if (!state.trial || state.stage?.kind !== 'shadow')
    return `only the plan of an open shadow stage can be changed, and the rollout is at ${state.stage ? nameOf(state.stage) : 'its end'}`;
  if (stage.loss !== undefined && stage.loss !== state.trial.plan.loss && stage.minimumEffect === undefined)
    return `the minimum effect of ${state.trial.plan.minimumEffect} is in ${state.trial.plan.loss}: give minimumEffect together with another loss`;
  if (stage.live && !state.trial.plan.stage.live)
    return 'a trial that began over the log only stays so: start another for a live shadow';
  return undefined;
}

/** What is named changes, the rest stays as pinned. Evidence is gathered anew: sums under another plan mean something else. */
async function changePlan(state: RolloutState, given: unknown, by: string): Promise<void> {
  const { reason, stage } = read(ChangePlan, given);
  // A schema's defaults are no wish of the person.
  const named = Object.keys((given as { stage: object }).stage);
  const changes = Object.fromEntries(Object.entries(stage).filter(([name]) => named.includes(name)));
  const changed = ({ plan }: Trial): ShadowPlan => {
    const next = { ...plan.stage, ...changes };
    return {
      ...plan,
      stage: next,
      loss: next.loss ?? plan.loss,
      minimumEffect: next.minimumEffect ?? plan.minimumEffect,
      tightestAt: next.tightestAt ?? plan.tightestAt,
      changed: [...plan.changed, { by, reason, at: now(), was: plan.stage }],
    };
  };
  const { refused } = await checkChange.executeWithOptions({ summary: `Could the plan be as ${by} wants it?` }, [
    state.open!,
    changed(state.trial!),
  ]);
  stop(refused);
  stop(whyNoChange(state, given)); // it may have moved on meanwhile
  const trial = state.trial!;
  trial.plan = changed(trial);
  delete trial.previous;
  state.woken = true;
  state.note(`plan changed by ${by} (${named.join(', ')}): ${reason}`);
}

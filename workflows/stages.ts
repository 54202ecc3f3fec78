/**
 * Takes a challenger through its stages, and back at the first sign of harm.
 *
 *   plan and claim → each stage: route → wait → look → obey → promoted, or undone
 *
 * Three doors lead here: promotion, shadowTrial and canaryRollout. Without stages it means: serve now.
 *
 * Id      rollout-<model>, checked first; the serving log's holder is the lock
 * Cancel  is the abort button: what is routed is undone, and it ends as cancelled
 * Leaves  no traffic on the challenger unless it was promoted, and the model to whoever comes next
 */
import { ActivityFailure, CancelledFailure, rootCause, TimeoutFailure } from '@temporalio/common';
import {
  ActivityCancellationType,
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
} from '@temporalio/workflow';
import type { PipelineActivities, TrainingActivities } from '../activities/index.ts';
import type { RolloutQuestion } from '../activities/rollout/rollout.ts';
import {
  durationMs,
  longestWatchMs,
  MOST_LOOKS,
  TRAINING_TASK_QUEUE,
  type ApprovalEvidence,
  type ApprovalPlan,
  type LookRef,
  type OpenRollout,
  type RolloutResult,
  type Stage,
  type TrialLook,
} from '../schemas/index.ts';
import { causeOf, expectWorkflowId, mark, now, OUR_MISTAKES } from './manners.ts';
import { nameOf, opens, RolloutState, type Asked, type Trial } from './rollout-state.ts';
import { hear } from './steering.ts';

const quick = {
  startToCloseTimeout: '30 seconds', // one object read or written
  scheduleToCloseTimeout: '10 minutes', // then a person must look
  heartbeatTimeout: '15 seconds', // a dead worker's step goes to another within seconds
  retry: { nonRetryableErrorTypes: OUR_MISTAKES },
} as const;
const { planRollout, serve, routeStage, recordApproval } = proxyActivities<PipelineActivities>(quick);
const { finishRollout } = proxyActivities<PipelineActivities>({
  ...quick,
  scheduleToCloseTimeout: '7 days', // it must end one way or the other, and a bucket may be away for a long weekend
  retry: { maximumInterval: '10 seconds', nonRetryableErrorTypes: OUR_MISTAKES }, // traffic waits for it
});
const { remind } = proxyActivities<PipelineActivities>({
  ...quick,
  retry: { maximumAttempts: 5, nonRetryableErrorTypes: OUR_MISTAKES }, // the next reminder comes
});
const { planTrial, lookAtTrial, checkUnits } = proxyActivities<PipelineActivities>({
  startToCloseTimeout: '2 hours', // every request of the trial scored by both versions, at its first look
  scheduleToCloseTimeout: '7 days', // workers may be away for a long weekend; nothing is harmed meanwhile
  heartbeatTimeout: '15 seconds', // a dead worker's step goes to another within seconds
  retry: { maximumInterval: '1 minute', nonRetryableErrorTypes: OUR_MISTAKES },
});
const { prepareTwins } = proxyActivities<TrainingActivities>({
  taskQueue: TRAINING_TASK_QUEUE,
  startToCloseTimeout: '48 hours', // two trainings like the challenger's own; they resume from checkpoints
  scheduleToCloseTimeout: '7 days', // workers may be away for a long weekend
  heartbeatTimeout: '15 seconds', // it says after every tree how far it is
  retry: { maximumInterval: '1 minute', nonRetryableErrorTypes: OUR_MISTAKES },
});
const WATCH_MS = 86_400_000;
const { watch } = proxyActivities<PipelineActivities>({
  startToCloseTimeout: '25 hours', // it ends by itself after a day, and is begun again
  scheduleToCloseTimeout: '7 days', // workers may be away for a long weekend; a canary ends by its `until` meanwhile
  heartbeatTimeout: '15 seconds', // whoever takes over from a dead worker still rolls back in time
  retry: { maximumAttempts: 100, maximumInterval: '10 seconds', nonRetryableErrorTypes: OUR_MISTAKES }, // a quarter of an hour: who is blind for longer gives up the canary
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED, // its last look is written, and told
});

type Outcome = RolloutResult['outcome'];

/** How a stage ends the rollout. */
interface Ending {
  outcome: Outcome;
  because: string;
  by?: string;
  look?: string;
}

/** Which stage is next, or how it ends. */
type Step = { next: number; because: string; by?: string } | Ending;

export interface Way {
  question: Omit<RolloutQuestion, 'opens'>;
  by?: string | undefined;
}

export async function rollOut({ question, by }: Way): Promise<RolloutResult> {
  const { model, version } = question;
  expectWorkflowId(`rollout-${model}`);
  const state = new RolloutState(model, version);
  hear(state);
  mark({ model, version, stage: 'serve' });
  setCurrentDetails(`Version ${version} of ${model}: asking whether it may serve`);
  try {
    return await begin(state, question, opens(by));
  } finally {
    await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
  }
}

async function begin(
  state: RolloutState,
  question: Way['question'],
  who: ReturnType<typeof opens>,
): Promise<RolloutResult> {
  const { model, version } = state;
  // Whole or not at all: whether a claim has landed must be known, to be undone.
  const plan = await CancellationScope.nonCancellable(() =>
    planRollout.executeWithOptions({ summary: `May version ${version} serve?` }, [{ ...question, opens: who }]),
  );
  if (plan.says === 'refused') throw failure(plan.type, plan.because);
  if (plan.says === 'serves-already') return end(state, { outcome: 'promoted', because: plan.because });
  if (plan.says === 'stages') {
    const { rollout, claimed } = plan.opened!;
    if (!claimed.ok && claimed.why === 'held') throw failure('RolloutRunning', claimed.because);
    if (!claimed.ok) return end(state, { outcome: 'overtaken', because: claimed.because });
    state.revision = claimed.revision;
    return passStages(state, rollout, question.door === 'shadowTrial');
  }
  if (CancellationScope.current().consideredCancelled) throw new CancelledFailure('cancelled before it served');

  const { because, was, champion, look } = plan;
  const to = {
    model,
    version,
    by: who.by,
    because,
    was,
    ...(champion !== undefined && { champion }),
    ...(look && { look }),
  };
  // Cancelled in the middle it would say so, and the revision might be there all the same.
  const served = await CancellationScope.nonCancellable(() =>
    serve.executeWithOptions({ summary: `Serve version ${version}` }, [to, causeOf('serve')]),
  );
  if (!served.ok) return end(state, { outcome: 'overtaken', because: served.because });
  return end(state, { outcome: 'promoted', because: plan.because }, served.revision);
}

/** @param alone  a shadow trial by itself: it changes nothing, whatever it finds */
export async function passStages(state: RolloutState, open: OpenRollout, alone: boolean): Promise<RolloutResult> {
  state.open = open;
  state.cites = open.gate;
  try {
    let step: Step = { next: 0, because: open.reason ?? `rollout of version ${open.version} begins` };
    for (;;) {
      state.at = step.next;
      const stage = open.stages[step.next];
      if (!stage) break;
      state.state = 'running';
      mark({ stage: stage.kind });
      step = await passStage(state, stage, step);
      // What was under way when a person said to end it may have ended well all the same.
      if (CancellationScope.current().consideredCancelled) throw new CancelledFailure('cancelled in a stage');
      if (!('outcome' in step) && state.wish?.to === 'rollback') step = obeyed(state);
      if ('outcome' in step) return await undo(state, step);
      state.note(`${nameOf(stage)}: ${step.because}`);
    }
    if (alone) return await undo(state, { outcome: 'passed', because: step.because });
    return await promote(state, step.because, step.by);
  } catch (error) {
    // Cancelled or blind: a challenger that nobody watches gets no traffic.
    if (wasGivenUp(error, CancellationScope.current()))
      return await undo(state, { outcome: 'cancelled', because: 'cancelled by a person' });
    const because = `it could not go on: ${rootCause(error) ?? 'no reason was given'}`;
    await undo(state, { outcome: 'rolled back', because });
    mark({ outcome: 'failed' });
    throw error;
  }
}

function passStage(state: RolloutState, stage: Stage, before: Because): Promise<Step> {
  switch (stage.kind) {
    case 'shadow':
      return passShadow(state, stage, before);
    case 'approval':
      return passApproval(state, stage, before);
    case 'canary':
    case 'bake':
      return passWatched(state, stage, before);
  }
}

type Because = { because: string; by?: string };
type Of<K extends Stage['kind']> = Stage & { kind: K };

/** Routes as the stage that it is in asks; an ending where the model has moved on. */
async function route(
  state: RolloutState,
  { because, by }: Because,
  step = 'route',
): Promise<Ending | { revision: number; at: string }> {
  const { open, at } = state;
  const routed = await routeStage.executeWithOptions({ summary: `Route for ${nameOf(state.stage!)}` }, [
    open!,
    at,
    { now: now(), because, ...(by !== undefined && { by }), ...(state.paused && { paused: true }), ...cited(state) },
    causeOf(`stage-${at}-${step}`),
  ]);
  if (!routed.ok) return { outcome: 'overtaken', because: routed.because };
  state.revision = routed.revision;
  return routed;
}

// A shadow stage: days to weeks of timers and looks.

async function passShadow(state: RolloutState, stage: Of<'shadow'>, before: Because): Promise<Step> {
  if (!state.trial) {
    const ending = await beginTrial(state, stage, before);
    if (ending) return ending;
  }
  const trial = state.trial!;
  for (;;) {
    const seen = await unlessWished(state, () => lookAt(state, trial));
    if (state.wish) return obeyed(state);
    const verdict = seen!.ref?.verdict;
    if (seen!.over === 'overtaken') return { outcome: 'overtaken', because: seen!.line };
    if (verdict?.says === 'fail') return { outcome: 'rejected', because: verdict.because, ...lookOf(seen!.ref) };
    if (verdict?.says === 'pass' && !state.paused) {
      state.cites = seen!.ref!.key;
      return { next: state.at + 1, because: verdict.because };
    }
    if (verdict?.says === 'pass' && trial.looks >= MOST_LOOKS) {
      await condition(() => state.wish !== undefined || !state.paused);
      continue;
    }
    if (verdict?.says !== 'pass' && seen!.over !== undefined)
      return { outcome: seen!.over, because: seen!.line, ...lookOf(seen!.ref) };
    if (trial.looks >= MOST_LOOKS)
      return {
        outcome: 'inconclusive',
        because: `${MOST_LOOKS} looks and no verdict: ${seen!.line}`,
        ...lookOf(seen!.ref),
      };
    await sleepUntil(trial.nextLookMs, () => state.wish !== undefined || state.woken, 'Until the next look');
    if (state.wish) return obeyed(state);
  }
}

/** How a rollout ends whose plan is not a pass. */
const REFUSED = { fail: 'rejected', 'no-data': 'no data', undecided: 'inconclusive' } as const;

/** Plans the trial, and then routes for it; an ending where it is refused. */
async function beginTrial(state: RolloutState, stage: Of<'shadow'>, before: Because): Promise<Step | undefined> {
  const open = state.open!;
  state.state = 'planning';
  state.tell();
  const twins = await unlessWished(state, () =>
    prepareTwins.executeWithOptions({ summary: 'The recipe under two other seeds' }, [open]),
  );
  if (!twins) return obeyed(state);
  const at = now();
  const planned = await unlessWished(state, () =>
    planTrial.executeWithOptions({ summary: 'Can this trial decide within its time?' }, [open, state.at, twins, at]),
  );
  if (!planned) return obeyed(state);
  const { plan, ref, line } = planned;
  state.saw(ref, line);
  const { says, because } = ref.verdict;
  if (says !== 'pass') return { outcome: REFUSED[says], because, look: ref.key };
  state.note(`planned: ${line}`);
  state.cites = ref.key;
  state.state = 'running';
  // Over the log only, nothing is routed: the claim is all there is.
  const routed = stage.live ? await route(state, before) : undefined;
  if (routed && 'outcome' in routed) return routed;
  state.trial = { plan, startedAt: now(), looks: 0, nextLookMs: Date.parse(now()) };
  return undefined;
}

async function lookAt(state: RolloutState, trial: Trial): Promise<TrialLook> {
  const [at, stage] = [now(), trialStage(state)];
  state.woken = false;
  const { plan, startedAt, previous } = trial;
  const seen = await lookAtTrial.executeWithOptions({ summary: `Look ${trial.looks + 1} at the trial` }, [
    state.open!,
    stage,
    plan,
    { now: at, startedAt, ...(previous !== undefined && { previous }) },
    causeOf(`stage-${stage}-look-${at}`),
  ]);
  trial.looks += 1;
  trial.nextLookMs = Date.parse(at) + durationMs(plan.stage.lookEvery);
  // A plan that was changed meanwhile starts from no look under the one before.
  if (seen.ref && trial.plan === plan) trial.previous = seen.ref.key;
  if (seen.histogram) state.histogram = seen.histogram;
  state.saw(seen.ref, seen.line);
  return seen;
}

const trialStage = ({ open }: RolloutState): number => open!.stages.findIndex(({ kind }) => kind === 'shadow');

// An approval stage: a person's word, by signal or update.

async function passApproval(state: RolloutState, stage: Of<'approval'>, before: Because): Promise<Step> {
  const open = state.open!;
  const routed = await route(state, before, `route-${now()}`);
  if ('outcome' in routed) return routed;
  // The trial goes on only where it is what people are asked about.
  const trial = open.stages[state.at - 1]?.kind === 'shadow' ? state.trial : undefined;
  const ref = state.look?.kind === 'plan' ? undefined : state.look;
  const plan: ApprovalPlan = {
    kind: 'approval',
    stage,
    allowUnverified: open.allowUnverified,
    ...(ref && { look: ref.key, sha256: ref.sha256 }),
  };
  const asked: Asked = { plan, at: now(), ...(ref && { ref }) };
  state.asked = asked;
  state.votes = [];
  state.say('waiting for a word');
  try {
    return await awaitWord(state, asked, trial);
  } finally {
    state.asked = undefined;
    state.deadline = undefined;
  }
}

async function awaitWord(state: RolloutState, asked: Asked, trial: Trial | undefined): Promise<Step> {
  const { stage } = asked.plan;
  const [deadlineMs, everyMs] = [durationMs(stage.deadline), durationMs(stage.remindAfter)];
  const [askedMs, pausedBefore] = [Date.parse(asked.at), state.pausedMs];
  let remindMs = askedMs;
  let approved: { ref: LookRef; by: string } | undefined;
  for (;;) {
    if (state.wish) return obeyed(state);
    const vote = approved ? undefined : state.votes.find(({ counts }) => counts);
    if (vote) {
      const ref = await record(state, asked, {});
      if (ref.verdict.says === 'fail')
        return { outcome: 'rejected', because: ref.verdict.because, by: vote.by, look: ref.key };
      if (ref.verdict.says === 'pass') approved = { ref, by: vote.verified ? vote.by : `${vote.by} (unverified)` };
    }
    if (approved && !state.paused) {
      state.cites = approved.ref.key;
      return { next: state.at + 1, because: approved.ref.verdict.because, by: approved.by };
    }
    // Pauses stop the clock of the deadline.
    const endMs = askedMs + deadlineMs + state.pausedMs - pausedBefore;
    state.deadline = new Date(endMs).toISOString();
    if (!approved && !state.paused && Date.parse(now()) >= endMs) {
      await condition(() => state.hearing.size === 0); // a vote that came in time is heard
      if (state.votes.some(({ counts }) => counts)) continue;
      state.asked = undefined; // one that comes now is told so
      const ref = await record(state, asked, { expired: true });
      return { outcome: 'rejected', because: ref.verdict.because, look: ref.key };
    }
    const goesOn = trial && trial.looks < MOST_LOOKS ? trial : undefined;
    if (goesOn && Date.parse(now()) >= goesOn.nextLookMs) {
      const changed = await lookAgain(state, asked, goesOn);
      if (changed) return changed;
      continue;
    }
    if (Date.parse(now()) >= remindMs) {
      const overtaken = await tellPeople(state, asked, endMs);
      if (overtaken !== undefined) return { outcome: 'overtaken', because: overtaken };
      remindMs = Date.parse(now()) + everyMs;
      continue;
    }
    state.woken = false;
    state.tell();
    const { paused } = state;
    const nextMs = Math.min(paused ? Infinity : endMs, remindMs, goesOn?.nextLookMs ?? Infinity);
    const heard = () =>
      state.wish !== undefined ||
      state.woken ||
      state.paused !== paused ||
      (!approved && state.votes.some(({ counts }) => counts));
    await sleepUntil(nextMs, heard, 'Until a look, a reminder or the deadline');
  }
}

/** The trial goes on while people think about it. A verdict that changed asks them anew, or ends the rollout. */
async function lookAgain(state: RolloutState, asked: Asked, trial: Trial): Promise<Step | undefined> {
  const seen = await unlessWished(state, () => lookAt(state, trial));
  if (!seen) return undefined;
  if (seen.over === 'overtaken') return { outcome: 'overtaken', because: seen.line };
  const [was, is] = [asked.ref?.verdict.says, seen.ref?.verdict];
  // A person may have advanced it without a verdict: then only harm says more.
  const changed = was === 'pass' ? is?.says !== 'pass' : is?.says === 'fail';
  if (!changed || !is) return undefined;
  const why = `the verdict changed from ${was ?? 'none'} to ${is.says}: ${is.because}`;
  state.asked = undefined; // a vote that comes now is told so
  await record(state, asked, { voided: why });
  if (is.says === 'fail') return { outcome: 'rejected', because: is.because, ...lookOf(seen.ref) };
  return { next: trialStage(state), because: why };
}

async function record(
  state: RolloutState,
  { plan, at }: Asked,
  o: { expired?: boolean; voided?: string },
): Promise<LookRef> {
  const { expired = false, voided } = o;
  const asOf = now();
  const evidence: ApprovalEvidence = {
    kind: 'approval',
    askedAt: at,
    asOf,
    votes: voided === undefined ? state.votes : state.votes.map((vote) => ({ ...vote, counts: false, why: voided })),
    expired,
    ...(voided !== undefined && { voided }),
  };
  const { ref, line } = await recordApproval.executeWithOptions({ summary: 'Write down who said what' }, [
    state.open!,
    state.at,
    plan,
    evidence,
    asOf,
  ]);
  if (voided !== undefined) state.votes = evidence.votes;
  state.looks.push(ref.key);
  state.say(line);
  return ref;
}

/** @returns why there is nothing to wait for any more */
async function tellPeople(state: RolloutState, { plan, ref }: Asked, endMs: number): Promise<string | undefined> {
  const { model, version } = state;
  const text = `Version ${version} of ${model} waits for a word by ${new Date(endMs).toISOString()}: ${ref?.verdict.because ?? 'no look was made before'}`;
  try {
    const { overtaken } = await remind.executeWithOptions({ summary: 'Say that a word is wanted' }, [
      state.open!,
      { text, ...(plan.stage.webhook !== undefined && { webhook: plan.stage.webhook }), ...(ref && { look: ref }) },
    ]);
    return overtaken;
  } catch (error) {
    if (isCancellation(error)) throw error;
    state.note(`nobody could be reminded: ${rootCause(error) ?? 'no reason was given'}`);
    return undefined;
  }
}

// Canary and bake: one activity that looks every few seconds.

async function passWatched(state: RolloutState, stage: Of<'canary' | 'bake'>, before: Because): Promise<Step> {
  const refused = await unitsRefused(state, stage);
  if (refused) return refused;
  const began = await route(state, before);
  if ('outcome' in began) return began;
  const pausedBefore = state.pausedMs;
  for (let isFirst = true; ; isFirst = false) {
    if (!isFirst) {
      // The canary ends by itself after its longest watch, and a pause may be longer.
      const renewed = await route(state, { because: `${nameOf(stage)} goes on` }, `renew-${now()}`);
      if ('outcome' in renewed) return renewed;
    }
    const { paused } = state;
    const o = {
      now: now(),
      since: began.at,
      revision: began.revision,
      paused: paused !== undefined,
      pausedMs: state.pausedMs - pausedBefore + (paused ? Date.parse(now()) - Date.parse(paused.at) : 0),
      maxMs: Math.min(WATCH_MS, longestWatchMs(stage, paused !== undefined)),
      ...(state.histogram && { histogram: state.histogram }),
    };
    state.say(paused ? 'paused, and watched' : 'watched');
    const seen = await unless(
      () =>
        watch.executeWithOptions({ summary: `Watch ${nameOf(stage)}${paused ? ', paused' : ''}` }, [
          state.open!,
          state.at,
          o,
        ]),
      () => state.wish !== undefined || state.paused !== paused,
    );
    if (seen) state.saw(seen.ref, seen.line);
    const verdict = seen?.ref?.verdict;
    if (seen?.over === 'overtaken') return { outcome: 'overtaken', because: seen.line };
    if (verdict?.says === 'fail') return { outcome: 'rolled back', because: verdict.because, ...lookOf(seen?.ref) };
    if (state.wish) return obeyed(state);
    if (verdict?.says === 'pass' && !state.paused) {
      state.cites = seen!.ref!.key;
      return { next: state.at + 1, because: verdict.because };
    }
    if (seen?.over === undefined || state.paused) continue;
    if (stage.onNoData !== 'hold' || seen.over !== 'no data')
      return { outcome: seen.over, because: seen.line, ...lookOf(seen.ref) };
    // The stage's own time begins anew when a person says that it may go on.
    state.pausedMs = pausedBefore + (Date.parse(now()) - Date.parse(began.at));
    state.pause({ by: 'gauntlet', reason: `${seen.line}. Say resume, advance or rollback` });
  }
}

/** Before the first canary: a unit that carries much of its share would decide it alone. */
async function unitsRefused(state: RolloutState, stage: Of<'canary' | 'bake'>): Promise<Step | undefined> {
  const { open, at } = state;
  if (!open!.unit || stage.kind !== 'canary' || open!.stages.slice(0, at).some(({ kind }) => kind === 'canary'))
    return undefined;
  const units = await unlessWished(state, () =>
    checkUnits.executeWithOptions({ summary: 'Does any unit carry too much of the canary?' }, [open!, at, now()]),
  );
  if (!units) return obeyed(state);
  if (!units.ok) return { outcome: 'rejected', because: units.because };
  state.note(units.line);
  return undefined;
}

// Ends.

async function promote(state: RolloutState, because: string, by: string | undefined): Promise<RolloutResult> {
  state.state = 'undoing';
  const finished = await CancellationScope.nonCancellable(() =>
    finishRollout.executeWithOptions({ summary: `Version ${state.version} becomes the champion` }, [
      state.open!,
      { how: 'promoted', because, ...(by !== undefined && { by }), ...cited(state) },
      causeOf('promote'),
    ]),
  );
  if (!finished.ok) return end(state, { outcome: 'overtaken', because: finished.because });
  return end(state, { outcome: 'promoted', because }, finished.revision);
}

/** Takes everything back that was routed. Where the model has moved on there is nothing to take back. */
async function undo(state: RolloutState, ending: Ending): Promise<RolloutResult> {
  if (ending.outcome === 'overtaken') return end(state, ending);
  state.state = 'undoing';
  const { because, by, look = state.look?.key } = ending;
  const undone = await CancellationScope.nonCancellable(() =>
    finishRollout.executeWithOptions({ summary: `Take back what was routed: ${ending.outcome}` }, [
      state.open!,
      {
        how: 'undone',
        because: `${ending.outcome}: ${because}`,
        ...(by !== undefined && { by }),
        ...(look !== undefined && { look }),
      },
      causeOf('undo'),
    ]),
  );
  if (!undone.ok) return end(state, { outcome: 'overtaken', because: undone.because });
  return end(state, ending, undone.revision);
}

function end(state: RolloutState, { outcome, because }: Ending, revision?: number): RolloutResult {
  const { model, version, looks, open, at } = state;
  const stage = open?.stages[Math.min(at, open.stages.length - 1)];
  state.outcome = `${outcome}: ${because}`;
  state.state = 'ended';
  if (revision !== undefined) state.revision = revision;
  mark({ outcome });
  state.tell();
  return {
    outcome,
    model,
    version,
    ...(stage && { stage: stage.kind }),
    ...(revision !== undefined && { revision }),
    ...(looks.length > 0 && { looks }),
    because,
  };
}

/** What a person wished for. */
function obeyed(state: RolloutState): Step {
  const { to, by, reason } = state.wish!;
  state.wish = undefined;
  if (to === 'rollback') return { outcome: 'rolled back', because: `${by}: ${reason}`, by };
  if (state.paused) state.resume({ by, reason });
  if (state.look) state.cites = state.look.key;
  return { next: state.at + 1, because: `advanced by ${by}: ${reason}`, by };
}

const unlessWished = <T>(state: RolloutState, work: () => Promise<T>): Promise<T | undefined> =>
  unless(work, () => state.wish !== undefined);

/** Does the work, and cancels it when `heard` becomes true; undefined where it was cancelled so. */
async function unless<T>(work: () => Promise<T>, heard: () => boolean): Promise<T | undefined> {
  const outer = CancellationScope.current();
  const [working, listening] = [new CancellationScope(), new CancellationScope()];
  // A pause that is over again has cancelled it all the same.
  let wasHeard = false;
  const listened = listening
    .run(() => condition(heard))
    .then(
      () => {
        wasHeard = true;
        working.cancel();
      },
      () => {},
    );
  try {
    return await working.run(work);
  } catch (error) {
    if (wasGivenUp(error, working) && wasHeard && !outer.consideredCancelled) return undefined;
    throw error;
  } finally {
    listening.cancel();
    await listened;
  }
}

/** A worker that has died tells nobody that it gave up: what was cancelled times out then, and is not repeated. */
const wasGivenUp = (error: unknown, scope: CancellationScope): boolean =>
  isCancellation(error) ||
  (scope.consideredCancelled && error instanceof ActivityFailure && error.cause instanceof TimeoutFailure);

async function sleepUntil(ms: number, heard: () => boolean, summary: string): Promise<void> {
  const rest = ms - Date.parse(now());
  if (rest > 0) await condition(heard, rest, { summary });
}

const cited = ({ cites }: RolloutState): { look?: string } => (cites === undefined ? {} : { look: cites });

const lookOf = (ref: LookRef | undefined): { look?: string } => (ref ? { look: ref.key } : {});

const failure = (type: string, message: string): ApplicationFailure =>
  ApplicationFailure.create({ type, message, nonRetryable: true });

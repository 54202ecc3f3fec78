import { setTimeout as sleep } from 'node:timers/promises';
import {
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  type Client,
  type WorkflowExecutionDescription,
} from '@temporalio/client';
import { refOf, type Stores } from '../../bucket/index.ts';
import { mayRollOut, rolloutContradictions } from '../../policies/index.ts';
import {
  RecordedVote,
  RolloutResult,
  RolloutStatus,
  ShadowStage,
  type LookRef,
  type VoteRecord,
} from '../../schemas/index.ts';
import type { Actor } from '../keys.ts';
import { ProblemError } from '../problem.ts';
import { requireVersion } from './models.ts';
import type { Rollout, RolloutStart, StartRolloutBody, Steered } from './shapes.ts';
import { startWorkflow, uiLink, withTemporal, type TemporalOptions } from './temporal.ts';
import { failureInWords, STATUS, whyNothingMoves } from './training.ts';
import { typeName, waitForEnd } from './wait.ts';

/** A query needs a worker; without one it would wait for ever. */
const QUERY_MS = 2_000;
/** What a person says is checked by one short activity. */
const UPDATE_MS = 15_000;
/** A cancelled rollout takes its canary back by one revision; a bucket that is slow is waited for. */
const END_MS = 30_000;
const POLL_MS = 250;

export interface RolloutOptions extends TemporalOptions {
  stores: Stores;
  /** How long the end of a rollout is waited for before the answer says that it is under way. */
  promotionWaitMs?: number;
  /** How long a rollout that is superseded is given for its clean end. */
  supersedeWaitMs?: number;
}

export const rolloutId = (model: string): string => `rollout-${model}`;

const KINDS = {
  promotion: (version: number) => `Roll out version ${version}`,
  shadowTrial: (version: number) => `Try version ${version} in the shadow`,
  canaryRollout: (version: number) => `Roll out version ${version} by canary`,
};

/**
 * Starts a rollout, and waits a few seconds for its end or its first stage: without stages it is one revision written.
 *
 * @throws {ProblemError} 409 when one is under way that is not to be superseded, or when this one was refused
 */
export async function startRollout(
  o: RolloutOptions,
  model: string,
  body: StartRolloutBody,
  by: string,
): Promise<RolloutStart> {
  const { kind, version, stages, stage, force, reason, supersede } = body;
  const input = {
    model,
    version,
    by,
    ...(stages && { stages }),
    ...(stage && { stage }),
    ...(force !== undefined && { force }),
  };
  const workflowId = rolloutId(model);
  const start = (ended?: string) => {
    const because = ended === undefined ? reason : supersedes(ended, by, reason);
    return startWorkflow(o, {
      type: kind,
      workflowId,
      input: { ...input, ...(because !== undefined && { reason: because }) },
      summary: `${KINDS[kind](version)} of ${model}`,
      details: `Rollout of **${model}** version ${version}, asked for by ${by}${because ? `: ${because}` : ''}.`,
      priorityKey: 1,
      version,
      follow: `/v1/models/${model}/rollout`,
    });
  };
  let superseded: string | undefined;
  const started = await start().catch(async (error: unknown) => {
    if (!(error instanceof ProblemError && error.problem.type === 'already-running')) throw error;
    if (!supersede) throw await runningInWords(o, model, error);
    await checkPlan(o.stores, model, body);
    const ended = await endCleanly(o, model);
    superseded = ended.says;
    return start(ended.runId);
  });
  const result = await endOrFirstStage(o, started);
  return {
    workflowId,
    runId: started.runId,
    follow: started.follow,
    ui: started.ui,
    superseded,
    // Loose: a worker of a later release says more.
    ...(result !== undefined && { result: RolloutResult.loose().parse(result) }),
  };
}

const supersedes = (runId: string, by: string, reason: string | undefined): string =>
  `supersedes ${runId}, asked for by ${by}${reason === undefined ? '' : `: ${reason}`}`;

/**
 * What of this start goes round somebody's approval, in words: then it needs scope `approve` as well, or whoever may operate
 * could leave out the others' word.
 */
export async function roundsApproval(
  stores: Stores,
  model: string,
  { version, kind, stages, force }: StartRolloutBody,
): Promise<string | undefined> {
  if (kind === 'shadowTrial') return undefined; // nothing is routed
  if (force) return 'force leaves every stage out';
  if (stages?.some((stage) => stage.kind === 'approval' && stage.allowUnverified))
    return 'the given stages count votes that nobody checked (allowUnverified)';
  if (stages?.some((stage) => stage.kind === 'approval')) return undefined;
  const { own, newest } = await approvalsOf(stores, model, version);
  if (!own && !newest) return undefined;
  if (stages) return 'the given stages leave out the approval that model.yaml asks for';
  if (kind === 'canaryRollout') return 'a canary rollout leaves out the approval that model.yaml asks for';
  return own
    ? undefined
    : `model.yaml asks for an approval, and the one that version ${version} was made from does not`;
}

/** Nobody goes back further: older entries are not looked through. */
const LOOK_BACK = 100;

/** The same of a rollback to a version that was named: where it never served, it is a way to the front. */
export async function rollbackRoundsApproval(stores: Stores, model: string, to: number): Promise<string | undefined> {
  const { own, newest } = await approvalsOf(stores, model, to);
  if (!own && !newest) return undefined;
  const head = await stores.serving.current(model);
  if (!head) return undefined;
  let seen = 0;
  for await (const { serving } of stores.serving.history(head)) {
    if (serving.champion === to || serving.previous === to) return undefined;
    if (++seen === LOOK_BACK) break;
  }
  return `version ${to} has not served before, and model.yaml asks for an approval first`;
}

/** Whether an approval is asked for: by the model.yaml that the version was made from, and by the newest. */
async function approvalsOf(stores: Stores, model: string, version: number): Promise<{ own: boolean; newest: boolean }> {
  const { project } = await requireVersion(stores, model, version);
  const specs = await Promise.all([stores.projects.at(model, project.n), stores.projects.newest(model)]);
  const [own = false, newest = false] = specs.map((one) =>
    one?.spec.rollout.stages.some((stage) => stage.kind === 'approval'),
  );
  return { own, newest };
}

/**
 * Nothing that runs is ended for something that would be refused.
 *
 * @throws {ProblemError} 409 with the reason
 */
async function checkPlan(stores: Stores, model: string, body: StartRolloutBody): Promise<void> {
  const { version, kind, force = false, reason } = body;
  const challenger = await requireVersion(stores, model, version);
  const [project, head] = await Promise.all([
    stores.projects.at(model, challenger.project.n),
    stores.serving.current(model),
  ]);
  const champion = head?.serving.champion;
  const own = project?.spec.rollout.stages ?? [];
  const shadow = own.find((stage) => stage.kind === 'shadow');
  const stages =
    kind === 'shadowTrial'
      ? [ShadowStage.parse({ ...shadow, ...body.stage, kind: 'shadow' })]
      : (body.stages ?? own.filter((one) => kind === 'promotion' || one.kind === 'canary' || one.kind === 'bake'));
  const plan = mayRollOut({
    model,
    version,
    door: kind,
    stages,
    contradictions: rolloutContradictions({
      spec: project?.spec,
      stages,
      challenger,
      champion: champion === undefined ? undefined : await stores.versions.read(model, champion),
    }),
    champion,
    force,
    given: body.stages !== undefined,
    reason,
  });
  if (plan.says !== 'refused') return;
  throw new ProblemError({
    status: 409,
    type: typeName(plan.type),
    title: 'The rollout was refused',
    detail: `${plan.because}. The rollout that runs goes on.`,
  });
}

/** Its result, or undefined once it is in a stage or the wait is over. */
async function endOrFirstStage(o: RolloutOptions, started: RolloutStart): Promise<unknown> {
  const waited = new AbortController();
  const inStage = async (): Promise<undefined> => {
    while (!waited.signal.aborted) {
      const status = await withTemporal(o, (client) => queryStatus(client, started));
      if (status && status.state !== 'planning' && status.state !== 'ended' && status.at < status.stages.length) return;
      await sleep(POLL_MS);
    }
  };
  // Where Temporal answers no query, the wait itself says what is to be said.
  const until = inStage().catch(() => new Promise<undefined>(() => {}));
  try {
    return await Promise.race([waitForEnd(o, started, 'The rollout', o.promotionWaitMs), until]);
  } finally {
    waited.abort();
  }
}

/** Of what was parsed, what the person named: a schema's defaults are no wish of theirs, and model.yaml has its own. */
export function onlyNamed<T extends object>(parsed: T, sent: unknown): Partial<T> {
  const named = Object.keys(sent ?? {});
  return Object.fromEntries(Object.entries(parsed).filter(([name]) => named.includes(name))) as Partial<T>;
}

async function runningInWords(o: RolloutOptions, model: string, refused: ProblemError): Promise<ProblemError> {
  const running = await describeRollout(o, model).catch(() => undefined);
  if (running?.state !== 'running') return refused;
  const { status, startedAt, ui, version } = running;
  const of = version === undefined ? '' : ` of version ${version}`;
  const where = status ? `, ${placeOf(status)}` : running.stage ? `, in its ${running.stage} stage` : '';
  return new ProblemError({
    ...refused.problem,
    detail: `A rollout of ${model} is running already, so nothing was started: the ${running.kind}${of} since ${startedAt}${where}.`,
    next: `See it: gauntlet rollout ${model}, or GET /v1/models/${model}/rollout${ui ? `, or ${ui}` : ''}. Wait for it, or end it cleanly and start this one: gauntlet promote ${model} --supersede, or "supersede": true.`,
  });
}

/** @example placeOf(status) // 'at stage 2 of 4 (approval), waiting' */
export function placeOf({ at, stages, state }: Pick<RolloutStatus, 'at' | 'stages' | 'state'>): string {
  const stage = stages[at];
  return stage ? `at stage ${at + 1} of ${stages.length} (${stage.kind}), ${state}` : state;
}

/**
 * Cancels what runs, and waits for it to have undone what it routed.
 *
 * @returns which it was, and how it ended, in words
 */
async function endCleanly(o: RolloutOptions, model: string): Promise<{ runId: string; says: string }> {
  const running = await withTemporal(o, async (client) => {
    const handle = client.workflow.getHandle(rolloutId(model));
    const { runId, status } = await handle.describe();
    if (status.name === 'RUNNING') await client.workflow.getHandle(rolloutId(model), runId).cancel();
    return runId;
  });
  const endsMs = Date.now() + (o.supersedeWaitMs ?? END_MS);
  for (;;) {
    const rollout = await describeRollout(o, model, running);
    if (rollout.state !== 'running') return { runId: rollout.runId, says: rollout.says };
    if (Date.now() > endsMs)
      throw new ProblemError({
        status: 409,
        type: 'not-ended-yet',
        title: 'The rollout before has not ended yet',
        detail: `The ${rollout.kind} of ${model} since ${rollout.startedAt} was asked to end and has not within ${Math.round((o.supersedeWaitMs ?? END_MS) / 1000)} seconds, so nothing was started.${rollout.waiting ? ` ${capital(rollout.waiting)}.` : ''}`,
        next: 'It goes on ending. Ask again in a minute; gauntlet doctor says whether workers are there.',
      });
    await sleep(POLL_MS);
  }
}

/**
 * Where the rollout of a model stands, or how its last one ended; of one that Temporal has forgotten, what the bucket knows.
 *
 * @throws {ProblemError} 404 where there never was one
 */
export async function describeRollout(o: RolloutOptions, model: string, runId?: string): Promise<Rollout> {
  const workflowId = rolloutId(model);
  const found = await withTemporal(o, async (client): Promise<Rollout | undefined> => {
    let description: WorkflowExecutionDescription;
    try {
      description = await client.workflow.getHandle(workflowId, runId).describe();
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
    const state = STATUS[description.status.name] ?? 'running';
    const running = state === 'running';
    const [status, end] = await Promise.all([
      queryStatus(client, description),
      running ? {} : endOf(client, description),
    ]);
    const attribute = (name: string): unknown => (description.searchAttributes[name] as unknown[] | undefined)?.[0];
    const [version, stage] = [attribute('GauntletVersion'), attribute('GauntletStage')];
    const rollout = {
      workflowId,
      runId: description.runId,
      kind: description.type,
      state,
      startedAt: description.startTime.toISOString(),
      endedAt: description.closeTime?.toISOString(),
      ...(typeof version === 'number' && { version }),
      ...(typeof stage === 'string' && running && { stage }),
      status,
      ...end,
      waiting: running && !status ? ((await whyNothingMoves(client, description)) ?? NO_ANSWER) : undefined,
      ui: uiLink(o, client, workflowId, description.runId),
    };
    return { ...rollout, says: saysOf(model, rollout) };
  });
  return found ?? forgotten(o.stores, model);
}

const NO_ANSWER = 'its worker did not answer within two seconds';

type Told = Omit<Rollout, 'says'>;

function saysOf(model: string, { kind, version, state, startedAt, endedAt, status, result, failure }: Told): string {
  const what = `The ${kind} of ${model}${version === undefined ? '' : ` version ${version}`}`;
  if (state === 'running') return `${what} runs since ${startedAt}${status ? `, ${placeOf(status)}` : ''}.`;
  if (result) return `${what} ended at ${endedAt}: ${result.outcome}, because ${result.because}.`;
  return `${what} ${state} at ${endedAt}${failure ? `: ${failure.message}` : ''}.`;
}

/** Temporal keeps closed workflows for a while; looks are for ever. */
async function forgotten(stores: Stores, model: string): Promise<Rollout> {
  for (const { key, look } of await stores.looks.list(model, { limit: 100 })) {
    if (!look.rollout) continue;
    const ref: LookRef = refOf((await stores.looks.readWithHash(key))!);
    const { workflowId, runId } = look.rollout;
    return {
      workflowId,
      runId,
      kind: 'rollout',
      state: 'forgotten',
      version: look.versions.at(-1),
      look: ref,
      says: `Temporal has forgotten the last rollout of ${model}. Its newest look is ${key}, of kind ${ref.kind}: ${ref.verdict.says}, because ${ref.verdict.because}`,
    };
  }
  throw noRollout(model, 404, `${model} has had no rollout that Temporal or the bucket know of.`);
}

const noRollout = (model: string, status: 404 | 409, detail: string): ProblemError =>
  new ProblemError({
    status,
    type: 'no-rollout',
    title: 'No rollout',
    detail,
    next: `Start one: gauntlet promote ${model}, or POST /v1/models/${model}/rollouts`,
  });

async function queryStatus(
  client: Client,
  { workflowId, runId }: { workflowId: string; runId: string },
): Promise<RolloutStatus | undefined> {
  try {
    const answer = await client.withDeadline(Date.now() + QUERY_MS, () =>
      client.workflow.getHandle(workflowId, runId).query<unknown>('status'),
    );
    return RolloutStatus.safeParse(answer).data;
  } catch {
    // No worker, or one that is busy replaying: Temporal itself still says something.
    return undefined;
  }
}

async function endOf(
  client: Client,
  { workflowId, runId }: WorkflowExecutionDescription,
): Promise<Pick<Rollout, 'result' | 'failure'>> {
  try {
    const result: unknown = await client.workflow.getHandle(workflowId, runId, { followRuns: false }).result();
    const parsed = RolloutResult.loose().safeParse(result);
    return parsed.success ? { result: parsed.data } : {};
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw error;
    return { failure: failureInWords(error) };
  }
}

export type Word = 'approve' | 'reject' | 'pause' | 'resume' | 'advance' | 'rollback' | 'change-plan';

export interface Said {
  by: string;
  reason: string;
  look?: string | undefined;
  stage?: object | undefined;
}

/**
 * Says something to the running rollout of a model. A word of somebody whose key was checked is first written down, which
 * is what the rollout takes for verified.
 *
 * @param o.id  of the request: the same again by the same person is said once
 * @throws {ProblemError} 409 with the rollout's own words, where it refuses or none runs; 503 where it does not answer
 */
export async function tellRollout(
  o: RolloutOptions & { id: string; now: Date },
  model: string,
  word: Word,
  said: Said,
  actor: Actor | undefined,
): Promise<Steered> {
  const workflowId = rolloutId(model);
  return withTemporal({ ...o, temporalTimeoutMs: Math.max(o.temporalTimeoutMs ?? 0, UPDATE_MS) }, async (client) => {
    const { runId } = await runningRollout(client, model);
    const { stage, ...vote } = said;
    const isVote = isVoteOf(word);
    const update = word === 'change-plan' ? 'changePlan' : word;
    const writing = actor && writeWord({ ...o, client, model, runId, says: update, said, actor });
    // Whoever holds a version up, or takes it back, is heard without a record too.
    const record = await (word === 'pause' || word === 'rollback' ? writing?.catch(() => undefined) : writing);
    const given = { ...vote, ...(stage && { stage }), ...(record !== undefined && { record }) };
    let answer: unknown;
    try {
      answer = await client.workflow
        .getHandle(workflowId, runId)
        .executeUpdate<unknown, [object]>(update, { args: [given], updateId: `${update}-${o.id}-${vote.by}` });
    } catch (error) {
      throw await refusedInWords(error, client, model, word, runId);
    }
    const counted = isVote ? RecordedVote.safeParse(answer).data : undefined;
    if (counted && !counted.counts)
      throw refused(word, `The vote is recorded, and does not count: ${counted.why ?? 'no reason was given'}.`);
    const status = isVote ? await queryStatus(client, { workflowId, runId }) : RolloutStatus.safeParse(answer).data;
    return {
      workflowId,
      runId,
      // Of a vote that was sent again, what is on record.
      says: inWords(model, word, counted ?? said, counted),
      ...(counted && { vote: counted }),
      ...(record !== undefined && { record }),
      status,
    };
  });
}

async function runningRollout(client: Client, model: string): Promise<WorkflowExecutionDescription> {
  let description: WorkflowExecutionDescription;
  try {
    description = await client.workflow.getHandle(rolloutId(model)).describe();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw noRollout(model, 409, `No rollout of ${model} is under way.`);
    throw error;
  }
  if (description.status.name === 'RUNNING') return description;
  throw noRollout(
    model,
    409,
    `No rollout of ${model} is under way: the last ended at ${description.closeTime?.toISOString()} (${description.status.name.toLowerCase()}).`,
  );
}

const isVoteOf = (word: string): word is 'approve' | 'reject' => word === 'approve' || word === 'reject';

/** @returns its key; undefined where it is a vote and nothing is asked, and the rollout will say so */
async function writeWord(o: {
  stores: Stores;
  client: Client;
  id: string;
  now: Date;
  model: string;
  runId: string;
  says: VoteRecord['says'];
  said: Said;
  actor: Actor;
}): Promise<string | undefined> {
  const { stores, model, runId, actor, said } = o;
  const workflowId = rolloutId(model);
  const look = isVoteOf(o.says) ? await lookVotedOn(o) : '';
  if (look === undefined) return undefined;
  const written = await stores.votes.create({
    // Without the time: the same request sent again is the same vote.
    id: `${runId}-${o.says}-${actor.keyId}-${o.id}`.replaceAll(':', '_'),
    model,
    workflowId,
    runId,
    says: o.says,
    by: actor.name,
    keyId: actor.keyId,
    reason: said.reason,
    look,
    ...(o.says === 'changePlan' && { stage: { ...said.stage } }),
    at: o.now.toISOString(),
  });
  return written.key;
}

/**
 * @returns hash of the look that is asked about, or nothing where it is none; undefined where the vote is on another
 * @throws {ProblemError} 503 where it is not known what is asked: without a record the vote would go out unverified
 */
async function lookVotedOn(o: {
  client: Client;
  model: string;
  runId: string;
  said: Said;
}): Promise<string | undefined> {
  const status = await queryStatus(o.client, { workflowId: rolloutId(o.model), runId: o.runId });
  if (!status) throw unheard(o.model);
  if (status.stages[status.at]?.kind !== 'approval') return undefined;
  const { awaiting } = status;
  const { look } = o.said;
  const isOther =
    look !== undefined &&
    look !== awaiting?.key &&
    !(look.length >= 8 && awaiting?.sha256.startsWith(look.toLowerCase()));
  return isOther ? undefined : (awaiting?.sha256 ?? '');
}

const unheard = (model: string): ProblemError =>
  new ProblemError({
    status: 503,
    type: 'no-answer',
    title: 'The rollout does not answer',
    detail: `The rollout of ${model} did not say within ${QUERY_MS / 1000} seconds which look it asks about, so the vote was not sent: nothing was recorded.`,
    next: `Vote again in a moment; gauntlet rollout ${model} says why it does not answer, gauntlet doctor whether workers are there.`,
  });

async function refusedInWords(
  error: unknown,
  client: Client,
  model: string,
  word: Word,
  runId: string,
): Promise<unknown> {
  if (error instanceof WorkflowUpdateFailedError) return refused(word, failureInWords(error).message);
  // It ended while it was told.
  if (error instanceof WorkflowNotFoundError)
    return noRollout(model, 409, `The rollout of ${model} ended before ${word} reached it.`);
  if (!(error instanceof WorkflowUpdateRPCTimeoutOrCancelledError)) return error;
  const description = await client.withDeadline(Date.now() + QUERY_MS, () =>
    client.workflow.getHandle(rolloutId(model), runId).describe(),
  );
  const because = (await whyNothingMoves(client, description)) ?? 'its worker may be busy or gone';
  return new ProblemError({
    status: 503,
    type: 'no-answer',
    title: 'The rollout does not answer',
    detail: `The rollout of ${model} has not answered within ${UPDATE_MS / 1000} seconds (${because}). What was said may still reach it.`,
    next: `gauntlet rollout ${model} says whether it did; to be rid of a challenger at once: gauntlet rollback ${model} --reason "..."`,
  });
}

const refused = (word: Word, detail: string): ProblemError =>
  new ProblemError({ status: 409, type: 'refused-by-rollout', title: `${capital(word)} was refused`, detail });

function inWords(model: string, word: Word, { by, reason }: Said, vote: RecordedVote | undefined): string {
  const done = {
    approve: `approved by ${by}`,
    reject: `rejected by ${by}`,
    pause: `paused by ${by}`,
    resume: `resumed by ${by}`,
    advance: `${by} sends it to its next stage`,
    rollback: `${by} ends it, and what served before is put back`,
    'change-plan': `plan changed by ${by}`,
  }[word];
  return `Rollout of ${model}: ${done}${vote ? (vote.verified ? ' (verified)' : ' (unverified)') : ''}: ${reason}`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

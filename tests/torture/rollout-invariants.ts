import type { Stores } from '../../bucket/index.ts';
import type { Revision, RolloutResult } from '../../schemas/index.ts';
import type { Client } from './client.ts';
import {
  findViolations,
  readRevisions,
  shortened,
  TOLERANCE_MS,
  WINDOW_MS,
  type Found,
  type Log,
} from './invariants.ts';
import { GOOD, ODD } from './models.ts';
import type { PlannedRollout } from './rollout-schedule.ts';

/** A rollout as it went, once it is over. */
export interface Went {
  model: string;
  version: number;
  planned: PlannedRollout;
  workflowId: string;
  runId: string;
  /** Of the workflow's execution: COMPLETED, FAILED, TERMINATED; or what the harness found instead. */
  status: string;
  closedAt?: string;
  /** A person ended it so, and then nobody is left who could take anything back. */
  terminated: boolean;
  result?: RolloutResult;
  failure?: string;
  /** It is the one that nothing was in the way of. */
  isLast: boolean;
}

/** Holds what is left against what was promised, where nothing runs any more. */
export async function findRolloutViolations(o: {
  stores: Stores;
  folder: string;
  clients: Map<string, Client>;
  rollouts: Went[];
}): Promise<Found> {
  const counts: Record<string, number> = {};
  const violations = new Set<string>();
  const { byNumber } = await readRevisions(o.stores);
  for (const [model, client] of o.clients) {
    const found = await findViolations({ ...o, client, model });
    for (const [name, n] of Object.entries(found.counts))
      counts[name] = name === 'revisions' ? n : (counts[name] ?? 0) + n;
    const own = [...byNumber.values()].filter((revision) => revision.model === model);
    const went = o.rollouts.filter((rollout) => rollout.model === model);
    counts['answers that a harmful champion failed in its bake'] =
      (counts['answers that a harmful champion failed in its bake'] ?? 0) + client.excused.length;
    for (const violation of [
      ...found.violations,
      ...wronglyExcused(client, found.log, byNumber),
      ...wrongStates(own, went),
      ...wrongEnds(own, went),
      ...(await wrongLooks(o.stores, own, went)),
    ])
      violations.add(violation);
  }
  for (const { result, status } of o.rollouts) {
    const end = `rollouts that ended ${result ? `as ${result.outcome}` : status.toLowerCase()}`;
    counts[end] = (counts[end] ?? 0) + 1;
  }
  return { counts, violations: shortened([...violations]) };
}

/** A champion may fail an answer only where it is a harmful one in its bake; who holds the model watches it. */
function wronglyExcused(client: Client, log: Log, revisions: Map<number, Revision>): string[] {
  const logged = new Map(log.answers.map((answer) => [answer.id, answer]));
  return client.excused.flatMap(({ id, life, receivedMs }) => {
    const answer = logged.get(id);
    if (!answer)
      return life.killedMs !== undefined && life.killedMs - receivedMs <= WINDOW_MS + TOLERANCE_MS
        ? []
        : [`lost: ${id}, which a champion failed, is not in the log`];
    const serving = revisions.get(answer.revision)?.serving;
    const isExcused =
      ODD.includes(answer.version) && serving?.champion === answer.version && serving.holder !== undefined;
    return isExcused ? [] : [`a request failed: ${id}, and no harmful champion was baking: ${JSON.stringify(answer)}`];
  });
}

const holderOf = ({ workflowId, runId }: Went): string => `${workflowId}/${runId}`;

/** What is routed is what the rollout that holds the model may route; held by nobody, nothing but a good champion is. */
function wrongStates(revisions: Revision[], rollouts: Went[]): string[] {
  const byHolder = new Map(rollouts.map((rollout) => [holderOf(rollout), rollout]));
  const violations: string[] = [];
  for (const [i, revision] of revisions.entries()) {
    const { serving, cause, n, model } = revision;
    const { champion, canary, shadows, holder } = serving;
    const said = `revision ${n} of ${model} (${JSON.stringify(serving)}, by ${revision.by}: ${revision.because})`;
    const isHarmful = champion !== undefined && !GOOD.includes(champion);
    if (holder === undefined) {
      if (canary || shadows.length > 0) violations.push(`left routed: ${said} holds nothing and routes`);
      if (isHarmful) violations.push(`harmful champion: ${said} leaves it to stand`);
      continue;
    }
    const rollout = byHolder.get(holder);
    if (!rollout) {
      violations.push(`unknown holder: ${said}`);
      continue;
    }
    const { version, planned } = rollout;
    if ((canary && canary.version !== version) || shadows.some((shadow) => shadow.version !== version))
      violations.push(`left routed: ${said}, and the rollout that holds it is of version ${version}`);
    const bakes = champion === version && planned.stages.some(({ kind }) => kind === 'bake');
    if (isHarmful && !bakes) violations.push(`harmful champion: ${said}`);
    if (holder !== `${cause.workflowId}/${cause.runId}`)
      violations.push(`another's state: ${said} was written by ${cause.workflowId}/${cause.runId}`);
    const before = revisions[i - 1]?.serving.holder;
    const isBack = before !== holder && revisions.slice(0, i).some((earlier) => earlier.serving.holder === holder);
    if (isBack) violations.push(`came back: ${said} holds the model again after ${before ?? 'nobody'} did`);
  }
  return violations;
}

/** Each rollout ends with an outcome that the serving log agrees with, and lets the model go. */
function wrongEnds(revisions: Revision[], rollouts: Went[]): string[] {
  const violations: string[] = [];
  for (const rollout of rollouts) {
    const { result, status, failure, terminated, version, planned, isLast } = rollout;
    const said = `the ${planned.type} of version ${version} of ${rollout.model} (${planned.challenger}, ${planned.stages.map(({ kind }) => kind).join(' ')}, run ${rollout.runId})`;
    const own = revisions.filter(({ cause }) => cause.runId === rollout.runId);
    const closedMs = Date.parse(rollout.closedAt ?? '');
    for (const { n, committedAt } of own)
      if (!terminated && Date.parse(committedAt) > closedMs)
        violations.push(
          `after its end: ${said} wrote revision ${n} at ${committedAt}, and it closed at ${rollout.closedAt}`,
        );
    if (terminated && status === 'TERMINATED') continue;
    if (!result) {
      violations.push(`without outcome: ${said} ended as ${status}${failure === undefined ? '' : `: ${failure}`}`);
      continue;
    }
    const { outcome, because, revision: n } = result;
    if (isLast && outcome !== 'promoted')
      violations.push(`not promoted: ${said}, undisturbed, was ${outcome}: ${because}`);
    if (outcome === 'promoted' && !GOOD.includes(version)) violations.push(`harmful champion: ${said} was promoted`);
    // Somebody had served the version meanwhile: it is promoted without a revision of the rollout's, and whatever the rollout
    // had claimed before is overtaken by that.
    if (outcome === 'promoted' && n === undefined) {
      const then = revisions.findLast(({ committedAt }) => Date.parse(committedAt) <= closedMs);
      const served = revisions.some(
        ({ committedAt, serving }) => serving.champion === version && Date.parse(committedAt) <= closedMs,
      );
      if (!served || then?.cause.runId === rollout.runId)
        violations.push(`not promoted: ${said} says so, and the revision then is ${JSON.stringify(then)}`);
      continue;
    }
    const last = own.at(-1);
    if (last?.serving.holder !== undefined && outcome !== 'overtaken')
      violations.push(`left routed: ${said} was ${outcome}, and its last revision is ${JSON.stringify(last)}`);
    if (outcome === 'overtaken') continue;
    if (n !== last?.n) violations.push(`not its revision: ${said} names ${n}, and its last is ${last?.n}`);
    if (outcome === 'promoted' && last?.serving.champion !== version)
      violations.push(`not promoted: ${said} says so, and its last revision is ${JSON.stringify(last)}`);
    if (outcome !== 'promoted' && last?.serving.champion === version)
      violations.push(`not undone: ${said} was ${outcome}, and its last revision is ${JSON.stringify(last)}`);
  }
  return violations;
}

/** A step that a verdict led to cites the look that gave it. */
async function wrongLooks(stores: Stores, revisions: Revision[], rollouts: Went[]): Promise<string[]> {
  const byRun = new Map(rollouts.map((rollout) => [rollout.runId, rollout]));
  const violations: string[] = [];
  for (const { result, runId } of rollouts)
    for (const key of result?.looks ?? [])
      if (!(await stores.looks.read(key))) violations.push(`no look: ${key} of run ${runId} is not in the bucket`);
  for (const revision of revisions) {
    const rollout = byRun.get(revision.cause.runId);
    if (!rollout) continue;
    const { cause, because, by, look: key } = revision;
    const said = `revision ${revision.n} of ${revision.model} (${cause.step} of run ${rollout.runId}, ${rollout.planned.challenger}: ${because})`;
    const look = key === undefined ? undefined : await stores.looks.read(key);
    if (key !== undefined && look?.rollout?.runId !== rollout.runId) {
      violations.push(
        `wrong look: ${said} cites ${key}, which is ${look ? 'of another rollout' : 'not in the bucket'}`,
      );
      continue;
    }
    const wanted = verdictWanted(revision, rollout);
    if (!wanted || / advanced by |^advanced by /.test(because)) continue;
    if (look?.verdict.says !== wanted.says || (wanted.stage !== undefined && look.rollout?.stage !== wanted.stage))
      violations.push(
        `wrong look: ${said} by ${by} cites ${key ?? 'none'} (${look?.verdict.says}, stage ${look?.rollout?.stage}), expected one that says ${wanted.says}`,
      );
  }
  return violations;
}

/** What the look must say that a step rests on; undefined where a person led to it, or the clock. */
function verdictWanted(
  { cause, by }: Revision,
  { planned, result }: Went,
): { says: string; stage?: number } | undefined {
  const { step } = cause;
  if (step === 'promote') return { says: 'pass', stage: planned.stages.length - 1 };
  const [, stage] = /^stage-(\d+)-route/.exec(step) ?? [];
  if (stage !== undefined && Number(stage) > 0) return { says: 'pass', stage: Number(stage) - 1 };
  const isJudged = result?.outcome === 'rejected' || result?.outcome === 'rolled back';
  // Where a person said so, it is by that person; a vote is in the look all the same.
  if (step === 'undo' && isJudged && by === cause.workflowId) return { says: 'fail' };
  return undefined;
}

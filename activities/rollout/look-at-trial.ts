import { Context as ActivityContext } from '@temporalio/activity';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { lookKey, refOf } from '../../bucket/index.ts';
import { judge, trialOver } from '../../policies/index.ts';
import {
  UserError,
  type Cause,
  type EvidenceCell,
  type Look,
  type ModelSpec,
  type ModelVersion,
  type OpenRollout,
  type Revision,
  type Serving,
  type ShadowEvidence,
  type ShadowPlan,
  type TrialLook,
} from '../../schemas/index.ts';
import {
  beginOf,
  blockOf,
  createLogViews,
  createOutcomes,
  measureLive,
  measureTrial,
  openDatabase,
  scoreHistogram,
  TRIAL_SCORES,
  type Database,
  type LabelTerms,
  type TrialSums,
  type TrialTerms,
} from '../../sql/index.ts';
import type { Context } from '../context.ts';
import { holdServing, whyOvertaken } from './hold.ts';
import { shadowMs } from './route.ts';
import { scoreLog } from './score-log.ts';

const DAY_MS = 86_400_000;
/**
 * A row is due so long after it has matured. Labels of a nightly import are hours late, and those that were known early are
 * there already: what has just matured with a label is not like what has just matured.
 */
const GRACE_MS = DAY_MS;
/** So long after its requests have matured a block is looked at no more: corrections that come later change nothing. */
const FINAL_AFTER_MS = 28 * DAY_MS;
/** Of a block's requests those that may mature later than that, or never; one always may. */
const MOST_PENDING = 0.01;
/** The canary is held against what the challenger said lately. */
const HISTOGRAM_MS = 8 * 604_800_000;

export interface TrialTime {
  now: string;
  startedAt: string;
  /** Key of the look before, of this stage. */
  previous?: string;
}

/**
 * One look of a shadow trial: both versions' losses on what the log holds, judged by the pinned plan, written once.
 *
 * Safe to repeat: its key is made of the workflow's now, and what is there already is the answer; a renewal of the shadow
 * is one entry of the serving log by its cause.
 */
export const createLookAtTrial = (context: Context) => ({
  async lookAtTrial(
    rollout: OpenRollout,
    stage: number,
    plan: ShadowPlan,
    o: TrialTime,
    cause: Cause,
  ): Promise<TrialLook> {
    const head = await context.stores.serving.current(rollout.model);
    const overtaken = whyOvertaken(head, rollout);
    if (!head || overtaken !== undefined)
      return { line: `overtaken: ${overtaken ?? 'the model serves nothing'}`, over: 'overtaken' };
    const written =
      (await lookThere(context, rollout, stage, o.now)) ?? (await look(context, { rollout, stage, plan, o, head }));
    const evidence = written.look.evidence as ShadowEvidence;
    const ref = refOf(written);
    const over = ref.verdict.says === 'fail' || ref.verdict.says === 'pass' ? undefined : trialOver(plan, evidence, o);
    if (plan.stage.live && !over && ref.verdict.says !== 'fail') {
      const held = await renewShadow(context, rollout, plan, { now: o.now, look: ref.key }, cause);
      if (!held.ok) return { line: `overtaken: ${held.because}`, over: 'overtaken' };
    }
    return {
      ref,
      line: over ? `${lineOf(written.look)}; ${over.over}: ${over.because}` : lineOf(written.look),
      ...(over && { over: over.over }),
      ...(evidence.histogram && { histogram: evidence.histogram }),
    };
  },
});

interface Question {
  rollout: OpenRollout;
  stage: number;
  plan: ShadowPlan;
  o: TrialTime;
  head: Revision;
}

interface WrittenLook {
  key: string;
  look: Look;
  sha256: string;
}

/** The look of this stage at this time, if it was written before. */
async function lookThere(
  { stores }: Context,
  { model, workflowId, runId }: OpenRollout,
  stage: number,
  now: string,
): Promise<WrittenLook | undefined> {
  const found = await stores.looks.readWithHash(lookKey({ model, at: now, kind: 'shadow' }));
  if (!found) return undefined;
  const { rollout } = found.look;
  if (rollout?.workflowId === workflowId && rollout.runId === runId && rollout.stage === stage) return found;
  throw new UserError(
    'LookTaken',
    `${found.key} is the look of another rollout (${rollout?.workflowId} ${rollout?.runId}), of the very same millisecond. Start this rollout again.`,
  );
}

async function look(context: Context, question: Question): Promise<WrittenLook> {
  const { rollout, stage, plan, o, head } = question;
  const evidence = await gather(context, question);
  // Whoever cancelled it is not told a verdict any more.
  ActivityContext.current().cancellationSignal.throwIfAborted();
  const { rules, figures, verdict } = judge(plan, evidence);
  return context.stores.looks.create({
    model: rollout.model,
    versions: [plan.champion, plan.challenger],
    kind: 'shadow',
    at: o.now,
    rollout: { workflowId: rollout.workflowId, runId: rollout.runId, stage },
    ...(o.previous !== undefined && { previous: o.previous }),
    window: { from: plan.from, to: evidence.asOf },
    plan,
    revision: head.n,
    evidence,
    rules,
    figures,
    verdict,
    build: context.build.commit,
  });
}

/**
 * Reads the log into a database of its own, scores what is new, and adds up. Where requests are stamped by the server, what
 * was uploaded before the first block that is not final is not read: its cells are those of the look before.
 */
async function gather(context: Context, { rollout, plan, o, head }: Question): Promise<ShadowEvidence> {
  const { stores, home } = context;
  const versions = await bothVersions(context, rollout.model, plan);
  const spec = await pinnedSpec(context, rollout);
  const last = await before(context, rollout.model, plan, o.previous);
  const fromBlock = finalFrom(last, plan);
  const from = new Date(Math.max(Date.parse(plan.from), beginOf(fromBlock, plan.stage.block)));
  const scratch = await mkdtemp(join(home, 'scratch-'));
  try {
    // By log time a request may say that it happened whenever it likes, so all of the log is read.
    const files = await stores.logHours.files(rollout.model, plan.logTime ? {} : { from }, scratch);
    const parts = last?.evidence.scores ?? [];
    const scored = { parts, files: await Promise.all(parts.map(({ sha256 }) => stores.objects.file(sha256))) };
    const db = await openDatabase({
      files: [...files.raw, ...files.parquet, ...scored.files],
      writable: scratch,
      tempDirectory: scratch,
    });
    try {
      await createLogViews(db, rollout.model, files);
      const asOf = plan.logTime ? await newestTime(db, plan, last) : new Date(o.now);
      await createOutcomes(db, labelTerms(spec), asOf);
      const scores = await scoreLog(context, db, { ...versions, from, asOf, before: scored, scratch, hasServed: true });
      const dueBy = last?.isSame ? new Date(Date.parse(last.evidence.asOf) - GRACE_MS) : undefined;
      const settledBy = new Date(asOf.getTime() - FINAL_AFTER_MS);
      const sums = await measureTrial(
        db,
        { ...trialTerms(plan, versions), from, asOf, settledBy, ...(dueBy && { dueBy }) },
        TRIAL_SCORES,
      );
      const live = plan.stage.live && (await shadowRevisions(context, plan, head));
      const histogram = await scoreHistogram(db, {
        since: new Date(Math.max(from.getTime(), asOf.getTime() - HISTOGRAM_MS)),
        asOf,
      });
      return {
        kind: 'shadow',
        asOf: asOf.toISOString(),
        finalBefore: fromBlock,
        ...joined(last, sums, fromBlock),
        restated: last?.isSame ? restated(last.evidence.cells, sums.due, fromBlock) : [],
        ...(live && {
          live: {
            since: live.since,
            until: o.now,
            ...(await measureLive(db, {
              challenger: plan.challenger,
              revisions: live.revisions,
              sloMs: plan.stage.live!.sloMs,
            })),
          },
        }),
        scores,
        ...(histogram && { histogram }),
      };
    } finally {
      db.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Final blocks as the look before has them, and the others as they are now. */
function joined(
  last: Before | undefined,
  sums: TrialSums,
  fromBlock: number,
): Pick<ShadowEvidence, 'maturity' | 'cells' | 'undated' | 'undatedIn' | 'lastRequestAt'> {
  const isKept = ({ block }: { block: number }): boolean => block < fromBlock;
  const kept = last?.isSame ? last.evidence : undefined;
  const undatedIn = [...(kept?.undatedIn ?? []).filter(isKept), ...sums.undated];
  const lastRequestAt = [last?.evidence.lastRequestAt, sums.lastRequestAt].filter((at) => at !== undefined);
  return {
    maturity: [...(kept?.maturity ?? []).filter(isKept), ...sums.maturity],
    cells: [...(kept?.cells ?? []).filter(isKept), ...sums.cells],
    undated: undatedIn.reduce((sum, { rows }) => sum + rows, 0),
    undatedIn,
    ...(lastRequestAt.length > 0 && { lastRequestAt: lastRequestAt.sort().at(-1)! }),
  };
}

/** The versions that a plan names. @throws {UserError} if they cannot be held against each other */
export async function bothVersions(
  { stores }: Pick<Context, 'stores'>,
  model: string,
  { champion, challenger }: Pick<ShadowPlan, 'champion' | 'challenger'>,
): Promise<{ champion: ModelVersion; challenger: ModelVersion }> {
  const read = async (n: number): Promise<ModelVersion> => {
    const version = await stores.versions.read(model, n);
    if (!version) throw new UserError('UnknownVersion', `${model} has no version ${n} (any more).`);
    return version;
  };
  return { champion: await read(champion), challenger: await read(challenger) };
}

/** The description that the rollout was pinned to: what a label is. */
export async function pinnedSpec(
  { stores }: Pick<Context, 'stores'>,
  { model, project }: Pick<OpenRollout, 'model' | 'project'>,
): Promise<ModelSpec> {
  const pinned = await stores.projects.at(model, project.n);
  if (!pinned) throw new UserError('NoProject', `Project ${project.n} of ${model} is not in the bucket any more.`);
  return pinned.spec;
}

/** What the join of answers and labels needs to know. */
export const labelTerms = ({ task, label: { absent, window } }: ModelSpec): LabelTerms => ({
  task,
  absent,
  graceMs: GRACE_MS,
  ...(window !== undefined && { window }),
});

/** The plan's terms, of the two versions. */
export function trialTerms(
  {
    loss,
    stage: { guardrails, slices, block },
    strataEdgesDays,
  }: Pick<ShadowPlan, 'loss' | 'stage' | 'strataEdgesDays'>,
  { champion, challenger }: { champion: ModelVersion; challenger: ModelVersion },
): Omit<TrialTerms, 'from' | 'asOf'> {
  return {
    task: challenger.task,
    loss,
    guardrails,
    slices,
    block,
    strataEdgesDays,
    ...(challenger.task === 'multiclass' && {
      classes: { champion: champion.classes ?? [], challenger: challenger.classes ?? [] },
    }),
  };
}

interface Before {
  evidence: ShadowEvidence;
  /** Its cells are what this plan would make of the same rows. */
  isSame: boolean;
}

/** The look before, as far as this one can build on it: scores of the same versions; cells of the same measures. */
async function before(
  { stores }: Context,
  model: string,
  plan: ShadowPlan,
  key: string | undefined,
): Promise<Before | undefined> {
  const look = key === undefined ? undefined : await stores.looks.read(key);
  if (look?.plan.kind !== 'shadow' || look.evidence.kind !== 'shadow' || look.model !== model) return undefined;
  const was = look.plan;
  if (was.champion !== plan.champion || was.challenger !== plan.challenger) return undefined;
  return { evidence: look.evidence, isSame: countedBy(was) === countedBy(plan) };
}

/** All that says which rows are counted where, and how. */
const countedBy = ({
  from,
  loss,
  strataEdgesDays,
  logTime,
  stage: { block, guardrails, slices },
}: ShadowPlan): string =>
  JSON.stringify([
    from,
    loss,
    strataEdgesDays,
    logTime,
    block,
    guardrails.map(({ on }) => on),
    slices.map(({ column, is }) => [column, is]),
  ]);

/**
 * The first block that is not final yet. A block is, and all before it are, when at the look before all of its requests but
 * 1 %, or but one, had matured 28 days ago: a few that are years ahead, or a typed 9999-12-31, do not keep it open. They
 * stay requests that are not due.
 */
function finalFrom(last: Before | undefined, { from, stage: { block } }: ShadowPlan): number {
  const first = blockOf(Date.parse(from), block);
  if (!last?.isSame) return first;
  const blocks = new Map<number, { requests: number; pending: number }>();
  for (const { block: n, requests, settled = 0 } of last.evidence.maturity) {
    const sums = blocks.get(n) ?? { requests: 0, pending: 0 };
    blocks.set(n, { requests: sums.requests + requests, pending: sums.pending + requests - settled });
  }
  const isFinal = (n: number): boolean => {
    const { requests, pending } = blocks.get(n) ?? { requests: 0, pending: 0 };
    const isOver = beginOf(n + 1, block) + FINAL_AFTER_MS <= Date.parse(last.evidence.asOf);
    return isOver && pending <= Math.max(1, MOST_PENDING * requests);
  };
  let n = first;
  while (isFinal(n)) n++;
  return n;
}

/** Newest time that the log speaks of; never before that of the look before. */
export async function newestTime(
  db: Database,
  plan: Pick<ShadowPlan, 'from'>,
  last: Before | undefined,
): Promise<Date> {
  const [newest] = await db.rowsOf(`
    SELECT epoch_us(greatest((SELECT max(event_at) FROM answers), (SELECT max(known_at) FROM labels))) / 1000 AS ms`);
  const ms = Math.max(
    (newest!['ms'] as number | null) ?? -Infinity,
    Date.parse(plan.from),
    last ? Date.parse(last.evidence.asOf) : -Infinity,
  );
  // What is of this very moment is in the window, which is open at its end.
  return new Date(Math.floor(ms) + (newest!['ms'] === ms ? 1 : 0));
}

/** Blocks whose loss over rows that were due at the look before is another now. */
function restated(was: readonly EvidenceCell[], now: TrialSums['due'], fromBlock: number): ShadowEvidence['restated'] {
  const byBlock = new Map<number, { rows: number; sum: number; was: { rows: number; sum: number } }>();
  const at = (block: number) => {
    const found = byBlock.get(block) ?? { rows: 0, sum: 0, was: { rows: 0, sum: 0 } };
    byBlock.set(block, found);
    return found;
  };
  for (const cell of was) {
    if (cell.measure !== 'loss' || cell.block < fromBlock) continue;
    const { was: old } = at(cell.block);
    old.rows += cell.rows;
    old.sum += cell.sum;
  }
  for (const cell of now) {
    const found = at(cell.block);
    found.rows += cell.rows;
    found.sum += cell.sum;
  }
  return [...byBlock]
    .map(([block, found]) => ({ block, rows: found.rows - found.was.rows, sum: found.sum - found.was.sum }))
    .filter(({ rows, sum }) => rows !== 0 || sum !== 0)
    .sort((a, b) => a.block - b.block);
}

interface ShadowRevisions {
  since: string;
  revisions: { n: number; until: string }[];
}

/** The revisions of the rollout that holds the model under which the challenger is a shadow; undefined where there is none. */
async function shadowRevisions(
  { stores }: Context,
  { challenger }: ShadowPlan,
  head: Revision,
): Promise<ShadowRevisions | undefined> {
  const revisions: ShadowRevisions['revisions'] = [];
  let since: string | undefined;
  for await (const { n, serving, committedAt } of stores.serving.history(head)) {
    if (serving.holder !== head.serving.holder) break;
    const shadow = serving.shadows.find(({ version }) => version === challenger);
    if (!shadow) continue;
    revisions.push({ n, until: shadow.until });
    since = committedAt;
  }
  return since === undefined ? undefined : { since, revisions };
}

/** Replicas forget a shadow whose time is over: who looks on, puts it off. */
async function renewShadow(
  context: Context,
  rollout: OpenRollout,
  { stage, challenger }: ShadowPlan,
  o: { now: string; look: string },
  cause: Cause,
): Promise<{ ok: true } | { ok: false; because: string }> {
  const untilMs = Date.parse(o.now) + shadowMs(stage);
  const isShort = ({ version, until }: Serving['shadows'][number]) =>
    version === challenger && Date.parse(until) < untilMs;
  const head = await context.stores.serving.current(rollout.model);
  // Paused, it is no shadow, and stays none.
  if (!head?.serving.shadows.some(isShort)) return { ok: true };
  const until = new Date(untilMs).toISOString();
  return holdServing(
    context,
    rollout,
    (serving) => ({
      ...serving,
      shadows: serving.shadows.map((shadow) => (isShort(shadow) ? { ...shadow, until } : shadow)),
    }),
    { by: rollout.workflowId, because: `the trial of version ${challenger} goes on`, look: o.look },
    cause,
  );
}

/** Band, maturity and verdict in one line. */
export function lineOf({ verdict, figures }: Pick<Look, 'verdict' | 'figures'>): string {
  const loss = figures.find(({ name }) => name === 'loss');
  const show = (x: number) => String(Number(x.toPrecision(3)));
  const band =
    loss?.lower === undefined || loss.upper === undefined ? '' : ` (${show(loss.lower)} to ${show(loss.upper)})`;
  const clock = [
    loss?.blocks !== undefined && `${loss.blocks} blocks`,
    loss?.expectedCoverage !== undefined && `${Math.round(100 * loss.expectedCoverage)} % of requests due`,
    loss?.coverage !== undefined && `${Math.round(100 * loss.coverage)} % of these labelled`,
  ].filter(Boolean);
  const seen = loss ? `${show(loss.value)}${band}; ${clock.join(', ')}; ` : '';
  return `${seen}${verdict.says}: ${verdict.because}`;
}

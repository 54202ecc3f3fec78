import { Context as ActivityContext } from '@temporalio/activity';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { lookKey, refOf } from '../../bucket/index.ts';
import {
  LEAST_BLOCKS,
  mixtureParameter,
  placeboRate,
  Random,
  stratifiedBand,
  type Cell,
} from '../../numerics/index.ts';
import {
  expectedBlocks,
  hasMatured,
  judge,
  stratumOf,
  tightestAt,
  whyNotComparable,
  worthFindingOf,
} from '../../policies/index.ts';
import {
  FIRST_MONDAY_MS,
  instantMs,
  UserError,
  type EvidenceCell,
  type Look,
  type Loss,
  type MaturityCell,
  type ModelVersion,
  type OpenRollout,
  type PlannedTrial,
  type PlanningEvidence,
  type PlanningPlan,
  type ShadowPlan,
  type ShadowStage,
  type Twin,
} from '../../schemas/index.ts';
import {
  beginOf,
  blockOf,
  createLogViews,
  createOutcomes,
  createSealedOutcomes,
  measureTrial,
  openDatabase,
  TRIAL_SCORES,
  type Database,
  type SealedOutcome,
} from '../../sql/index.ts';
import type { Context } from '../context.ts';
import { readPlan } from '../pipeline/plan.ts';
import { loadRows, takeRows, type DerivedRows } from '../pipeline/rows.ts';
import { rawRow } from '../pipeline/register.ts';
import { knownWhen, readSplit } from '../pipeline/split.ts';
import { bothVersions, labelTerms, newestTime, pinnedSpec, trialTerms } from './look-at-trial.ts';
import { lossOfTrial } from './losses.ts';
import { scoreLog } from './score-log.ts';
import type { Scored } from './scorer.ts';
import { runParts } from './twins.ts';

/** Fewer weeks of the model's own log say too little; then backtest rows are asked, and of fewer than LEAST_BLOCKS test rows. */
const LEAST_LOG_WEEKS = 16;
const PLACEBO_TRIALS = 500;
/** A minimum effect is never 0. */
const LEAST_EFFECT = 1e-6;
const DAY_MS = 86_400_000;
/** Before any row: the year 1. */
const BEFORE_ALL_MS = Date.parse('0001-01-01T00:00:00Z');

/**
 * Plans a shadow trial before it begins: settles what its stage left open, reckons whether it can decide within its time,
 * runs placebo trials on the model's own data, and writes the look of kind `plan`. Refused, its verdict is `fail`.
 *
 * The log that it is reckoned on is the evidence of the trial to come. So how far champion and challenger are apart there
 * only says whether the trial is refused. What shapes its band, `tightestAt`, is reckoned for the improvement worth finding
 * as the stage has it, else twice the minimum effect, and with how far two twins differ; without twins it is the least.
 *
 * Safe to repeat: the look's key is made of the workflow's now; what is there already is the answer, and the plan follows
 * from it.
 *
 * @param twins  of prepareTwins; without them, as of a version whose run is not here, there are no placebo trials
 */
export const createPlanTrial = (context: Context) => ({
  async planTrial(rollout: OpenRollout, stage: number, twins: readonly Twin[], now: string): Promise<PlannedTrial> {
    const { stores } = context;
    const trial = await trialOf(context, rollout, stage);
    const { model } = rollout;
    const there = await stores.looks.readWithHash(lookKey({ model, at: now, kind: 'plan' }));
    const written = there ?? (await stores.looks.create(await planned(context, trial, rollout, stage, twins, now)));
    const evidence = written.look.evidence;
    if (evidence.kind !== 'plan' || written.look.rollout?.runId !== rollout.runId)
      throw new UserError(
        'LookTaken',
        `${written.key} is the look of another rollout, of the very same millisecond. Start this rollout again.`,
      );
    const plan = shadowPlan(trial, evidence);
    return { plan, ref: refOf(written), line: inWords(plan, evidence, written.look) };
  },
});

/** What is settled before anything is measured. */
interface Settled {
  stage: ShadowStage;
  champion: ModelVersion;
  challenger: ModelVersion;
  loss: Loss;
  from: string;
  logTime: boolean;
  /** The champion's: a request matures when its answer says so, and the champion's graph says it. */
  strataEdgesDays: number[];
}

async function trialOf(context: Context, rollout: OpenRollout, place: number): Promise<Settled> {
  const stage = rollout.stages[place];
  if (stage?.kind !== 'shadow' || rollout.champion === undefined)
    throw new Error(`planTrial: stage ${place} is ${stage?.kind ?? 'none'}, champion ${rollout.champion ?? 'none'}`);
  const { champion, challenger } = await bothVersions(context, rollout.model, {
    champion: rollout.champion,
    challenger: rollout.version,
  });
  const because = whyNotComparable(champion, challenger);
  if (because !== undefined)
    throw new UserError('NotComparable', `A shadow trial cannot hold the two against each other: ${because}.`);
  const seenUntil = challenger.labelsSeenUntil;
  if (stage.from !== undefined && instantMs(stage.from) < Date.parse(seenUntil))
    throw new UserError(
      'SeenLabels',
      `stages.${place}.from is ${stage.from}, and version ${challenger.n} has seen labels until ${seenUntil}: on what it has learnt from it would look better than it is. Begin at that time or later, or leave \`from\` out.`,
    );
  // What the champion has seen and the challenger has not is no fair ground either.
  const unseen = seenUntil > champion.labelsSeenUntil ? seenUntil : champion.labelsSeenUntil;
  return {
    stage,
    champion,
    challenger,
    loss: lossOfTrial(stage, challenger.task),
    from: stage.from === undefined ? unseen : new Date(instantMs(stage.from)).toISOString(),
    logTime: (champion.serving?.allowEventTime ?? false) || (challenger.serving?.allowEventTime ?? false),
    strataEdgesDays: champion.strataEdgesDays,
  };
}

/** The plan that follows from what was measured. */
function shadowPlan({ stage, champion, challenger, ...settled }: Settled, evidence: PlanningEvidence): ShadowPlan {
  return {
    kind: 'shadow',
    stage,
    champion: champion.n,
    challenger: challenger.n,
    ...settled,
    minimumEffect: evidence.minimumEffect,
    tightestAt: tightestAt(stage.tightestAt, evidence.tightestAt ?? null),
    changed: [],
  };
}

async function planned(
  context: Context,
  trial: Settled,
  rollout: OpenRollout,
  stage: number,
  twins: readonly Twin[],
  now: string,
): Promise<Look> {
  const { stores, build } = context;
  const { workflowId, runId, model } = rollout;
  const plan: PlanningPlan = {
    kind: 'plan',
    stage: trial.stage,
    champion: trial.champion.n,
    challenger: trial.challenger.n,
    loss: trial.loss,
  };
  const { evidence, window } = await measure(context, trial, rollout, twins, now);
  // Whoever cancelled it is not told a verdict any more.
  ActivityContext.current().cancellationSignal.throwIfAborted();
  const { rules, figures, verdict } = judge(plan, evidence);
  return {
    model,
    versions: [plan.champion, plan.challenger],
    kind: 'plan',
    at: now,
    rollout: { workflowId, runId, stage },
    window: window ?? { from: trial.from, to: trial.from },
    plan,
    revision: (await stores.serving.current(model))?.n ?? 0,
    evidence,
    rules,
    figures,
    verdict,
    build: build.commit,
  };
}

/** Rows with a known outcome, and what two pairs of models make of them. */
interface Measured {
  on: PlanningEvidence['on'];
  /** Champion against challenger. */
  cells: EvidenceCell[];
  maturity: MaturityCell[];
  /** One twin against the other, by day. */
  twins?: { cells: EvidenceCell[]; maturity: MaturityCell[] };
  /** Neither of the two was fitted on these rows. */
  isFair: boolean;
  horizonsDays: Float64Array;
  window?: { from: string; to: string };
}

async function measure(
  context: Context,
  trial: Settled,
  rollout: OpenRollout,
  twins: readonly Twin[],
  now: string,
): Promise<{ evidence: PlanningEvidence; window?: Measured['window'] }> {
  const { stage, challenger } = trial;
  const measured =
    (await onLog(context, trial, rollout, twins, now)) ??
    (await onSealedRows(context, trial, twins, now)) ??
    nothing(trial);
  const strata = strataOf(measured.horizonsDays, trial.strataEdgesDays);
  const band = bandOf(measured, strata.length, stage, challenger);
  const seeds = await seedsOf(context, trial, twins);
  const losses = seeds.map(({ testLoss }) => testLoss);
  const range = losses.length > 1 ? Math.max(...losses) - Math.min(...losses) : 0;
  const minimumEffect = stage.minimumEffect ?? Math.max(LEAST_EFFECT, range);
  const effect = measured.isFair ? (band.mean ?? null) : null;
  const ofTwins = measured.twins && bandOf(inBlocks(measured.twins, stage.block), strata.length, stage, challenger);
  const unseen = ofTwins && {
    ...stage,
    sdOfBlocks: ofTwins.s,
    minimumEffect,
    worthFinding: worthFindingOf(stage, minimumEffect, null),
    strata,
  };
  const tightest = tightestAt(stage.tightestAt, unseen ? expectedBlocks(unseen) : null);
  const expected = expectedBlocks({
    ...stage,
    sdOfBlocks: band.s,
    minimumEffect,
    worthFinding: worthFindingOf(stage, minimumEffect, effect),
    tightestAt: tightest,
    strata,
  });
  const placebo = placeboOf(measured, trial, tightest);
  const evidence: PlanningEvidence = {
    kind: 'plan',
    on: measured.on,
    blocks: band.blocks,
    rowsPerBlock: band.blocks === 0 ? 0 : band.rows / band.blocks,
    sdOfBlocks: band.s,
    designEffect: band.designEffect ?? null,
    effect,
    seeds,
    minimumEffect,
    strata,
    expectedBlocks: expected,
    tightestAt: tightest,
    ...(placebo && { placebo: { on: measured.on, ...placebo } }),
  };
  return { evidence, ...(measured.window && { window: measured.window }) };
}

/** The model's own labelled requests, where they reach over 16 weeks that neither version has learnt from. */
async function onLog(
  context: Context,
  trial: Settled,
  rollout: OpenRollout,
  twins: readonly Twin[],
  now: string,
): Promise<Measured | undefined> {
  const { stores, home } = context;
  const spec = await pinnedSpec(context, rollout);
  const scratch = await mkdtemp(join(home, 'scratch-'));
  try {
    const from = new Date(trial.from);
    const files = await stores.logHours.files(rollout.model, trial.logTime ? {} : { from }, scratch);
    if (files.raw.length + files.parquet.length === 0) return undefined;
    const db = await openDatabase({
      files: [...files.raw, ...files.parquet],
      writable: scratch,
      tempDirectory: scratch,
    });
    try {
      await createLogViews(db, rollout.model, files);
      const asOf = trial.logTime ? await newestTime(db, trial, undefined) : new Date(now);
      await createOutcomes(db, labelTerms(spec), asOf);
      const [counted] = await db.rowsOf(`
        SELECT count(DISTINCT floor((epoch_us(event_at) / 1000 - ${FIRST_MONDAY_MS}) / (7 * ${DAY_MS}))) AS weeks FROM outcomes
        WHERE matured AND label IS NOT NULL AND event_at >= make_timestamp(${from.getTime() * 1000}::BIGINT)
          AND event_at < make_timestamp(${asOf.getTime() * 1000}::BIGINT)`);
      if (Number(counted!['weeks']) < LEAST_LOG_WEEKS) return undefined;
      return await measurePairs(context, db, trial, twins, { on: 'log', from, asOf, scratch, isFair: true });
    } finally {
      db.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Rows of the challenger's own run: what came after both versions' labels, else its test rows. */
async function onSealedRows(
  context: Context,
  trial: Settled,
  twins: readonly Twin[],
  now: string,
): Promise<Measured | undefined> {
  const { champion, challenger } = trial;
  const run = await context.stores.runs.read(challenger.model, challenger.run);
  if (!run?.rows) return undefined;
  const { ref, sealed, split: splitHash } = await runParts(context, challenger);
  const { spec, graph } = await readPlan(context, ref);
  const split = await readSplit(context, splitHash);
  const all = await loadRows(context, sealed, spec, graph, spec.backtest?.where);
  const knownAt = knownWhen(all);
  const seconds = (time: string) => instantMs(time) / 1000;
  // By the log's own time nothing of what came after `from` is known yet, or the log would have it.
  const [fromS, nowS] = [seconds(trial.from), seconds(trial.logTime ? trial.from : now)];
  const untilS = spec.backtest ? seconds(spec.backtest.until) : Infinity;
  const later = indices(
    all,
    (i) =>
      all.predictedAt[i]! >= fromS &&
      all.predictedAt[i]! < untilS &&
      hasMatured(all.maturesAt[i]!, knownAt[i]!, nowS) &&
      isLabelled(all, i, challenger.classes),
  );
  const isBacktest = weeksOf(later.map((i) => all.predictedAt[i]!)) >= LEAST_BLOCKS;
  const rows = isBacktest
    ? takeRows(all, later)
    : takeRows(spec.backtest?.where === undefined ? all : await loadRows(context, sealed, spec, graph), split.test);
  if (rows.rows === 0) return undefined;
  const scratch = await mkdtemp(join(context.home, 'scratch-'));
  try {
    const db = await openDatabase({ writable: scratch, tempDirectory: scratch });
    try {
      await createSealedOutcomes(db, spec.task, sealedOutcomes(rows, challenger));
      const last = rows.predictedAt.reduce((newest, at) => Math.max(newest, at), -Infinity);
      // The refitted challenger has learnt from its test rows; its twin, a first fit, has not.
      const standIn = isBacktest
        ? challenger
        : { ...challenger, onnx: { sha256: twins[0]?.onnx ?? challenger.onnx.sha256 } };
      const seen = Date.parse(champion.labelsSeenUntil) / 1000;
      const isFair =
        isBacktest || (twins.length > 0 && !rows.maturesAt.some((at, i) => hasMatured(at, rows.knownAt[i]!, seen)));
      return await measurePairs(context, db, { ...trial, challenger: standIn as ModelVersion }, twins, {
        on: isBacktest ? 'backtest' : 'test',
        from: new Date(BEFORE_ALL_MS),
        asOf: new Date(last * 1000 + 1),
        scratch,
        isFair,
      });
    } finally {
      db.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function* sealedOutcomes(rows: DerivedRows, { inputs }: ModelVersion): Generator<SealedOutcome> {
  for (let i = 0; i < rows.rows; i++)
    yield {
      predictedMs: rows.predictedAt[i]! * 1000,
      maturesMs: rows.maturesAt[i]! * 1000,
      label: rows.label[i]!,
      inputs: rawRow(inputs, rows, i),
    };
}

/** Champion against challenger by the trial's block, and one twin against the other by day. */
async function measurePairs(
  context: Context,
  db: Database,
  trial: Settled,
  twins: readonly Twin[],
  o: { on: Measured['on']; from: Date; asOf: Date; scratch: string; isFair: boolean },
): Promise<Measured> {
  const { champion, challenger, loss, stage, strataEdgesDays } = trial;
  const { from, asOf, scratch, on, isFair } = o;
  const pair = async (one: Scored, other: Scored, block: 'week' | 'day', classes: [ModelVersion, ModelVersion]) => {
    await scoreLog(context, db, {
      champion: one,
      challenger: other,
      from,
      asOf,
      before: { parts: [], files: [] },
      scratch,
      hasServed: one === champion,
      keep: false,
    });
    const terms = trialTerms(
      { loss, stage: { ...stage, guardrails: [], slices: [], block }, strataEdgesDays },
      { champion: classes[0], challenger: classes[1] },
    );
    return measureTrial(db, { ...terms, from, asOf }, TRIAL_SCORES);
  };
  const { cells, maturity } = await pair(champion, challenger, stage.block, [champion, challenger]);
  const [first, second] = twins.map(({ onnx }) => ({ inputs: challenger.inputs, onnx: { sha256: onnx } }));
  const ofTwins = first && second && (await pair(first, second, 'day', [challenger, challenger]));
  const window = `event_at >= make_timestamp(${from.getTime() * 1000}::BIGINT) AND event_at < make_timestamp(${asOf.getTime() * 1000}::BIGINT)`;
  const { columns } = await db.columns(
    `SELECT (epoch(matures_at) - epoch(event_at)) / 86400 AS days FROM answers WHERE matures_at IS NOT NULL AND ${window}`,
  );
  const [times] = await db.rowsOf(
    `SELECT epoch_us(min(event_at)) / 1000 AS first, epoch_us(max(event_at)) / 1000 AS last FROM answers WHERE ${window}`,
  );
  const at = (ms: unknown) => new Date(ms as number).toISOString();
  return {
    on,
    cells,
    maturity,
    ...(ofTwins && { twins: { cells: ofTwins.cells, maturity: ofTwins.maturity } }),
    isFair,
    horizonsDays: columns['days'] as Float64Array,
    ...(times!['first'] !== null && { window: { from: at(times!['first']), to: at(times!['last']) } }),
  };
}

/** No row to plan by: what blocks differ by is taken to be as much as rows do, which is too much. */
const nothing = ({ strataEdgesDays }: Settled): Measured => ({
  on: 'test',
  cells: [],
  maturity: [],
  isFair: false,
  horizonsDays: Float64Array.from(strataEdgesDays.length > 0 ? strataEdgesDays : [0]),
});

interface PlannedBand {
  s: number;
  blocks: number;
  rows: number;
  mean?: number;
  designEffect?: number | undefined;
}

/** The band that the trial will have; of fewer than LEAST_BLOCKS, of one stratum; of fewer than 2, the sd of one row's loss. */
function bandOf(
  { cells, maturity }: Pick<Measured, 'cells' | 'maturity'>,
  strata: number,
  stage: ShadowStage,
  challenger: ModelVersion,
): PlannedBand {
  const shares = new Array<number>(strata).fill(0);
  for (const { stratum, requests } of maturity) shares[stratum]! += requests;
  const loss: Cell[] = cells.filter(({ measure }) => measure === 'loss');
  const rows = loss.reduce((sum, cell) => sum + cell.rows, 0);
  const blocks = new Map<number, { rows: number; sum: number }>();
  for (const cell of loss) {
    const known = blocks.get(cell.block) ?? { rows: 0, sum: 0 };
    blocks.set(cell.block, { rows: known.rows + cell.rows, sum: known.sum + cell.sum });
  }
  const options = { alpha: stage.alpha, sides: 1, r: mixtureParameter(stage.tightestAt ?? 16, stage.alpha) } as const;
  const band = loss.length === 0 ? undefined : stratifiedBand(loss, shares, options);
  if (band && band.s > 0)
    return { s: band.s, blocks: band.blocks, rows, mean: band.mean, designEffect: band.designEffect };
  const n = blocks.size;
  const mean = rows === 0 ? 0 : [...blocks.values()].reduce((sum, block) => sum + block.sum, 0) / rows;
  if (n < 2) return { s: challenger.lossSd, blocks: n, rows, ...(rows > 0 && { mean }) };
  const squares = [...blocks.values()].reduce((sum, block) => sum + (block.sum - mean * block.rows) ** 2, 0);
  return { s: Math.sqrt(squares / (n - 1)) / (rows / n), blocks: n, rows, mean };
}

/** Sums by day as sums by block. */
function inBlocks({ cells, maturity }: Pick<Measured, 'cells' | 'maturity'>, block: ShadowStage['block']) {
  const blocks = new Map<string, EvidenceCell>();
  for (const cell of cells) {
    const own = { ...cell, block: blockOf(beginOf(cell.block, 'day'), block) };
    const name = `${own.measure} ${own.block} ${own.stratum}`;
    const sums = blocks.get(name) ?? { ...own, rows: 0, sum: 0, sumOfSquares: 0 };
    sums.rows += cell.rows;
    sums.sum += cell.sum;
    sums.sumOfSquares += cell.sumOfSquares;
    blocks.set(name, sums);
  }
  return { cells: [...blocks.values()], maturity };
}

/** Share of each horizon stratum, and after how many days half of it has matured. */
function strataOf(horizonsDays: Float64Array, edges: readonly number[]): PlanningEvidence['strata'] {
  const strata: number[][] = Array.from({ length: edges.length + 1 }, () => []);
  for (const days of horizonsDays) strata[stratumOf(days, edges)]!.push(days);
  return strata.map((own, i) => {
    const sorted = own.sort((a, b) => a - b);
    return {
      share: horizonsDays.length === 0 ? 0 : own.length / horizonsDays.length,
      daysToMature: Math.max(0, sorted[sorted.length >> 1] ?? edges[Math.min(i, edges.length - 1)] ?? 0),
    };
  });
}

/** Test losses of the recipe: its own first fit, as its run measured it, and its twins. */
async function seedsOf(
  context: Context,
  { challenger, loss }: Settled,
  twins: readonly Twin[],
): Promise<PlanningEvidence['seeds']> {
  const seeds = twins.map(({ seed, testLoss }) => ({ seed, testLoss }));
  const run = await context.stores.runs.read(challenger.model, challenger.run);
  const test = run?.metrics.find(({ on }) => on === 'test')?.metrics as Record<string, unknown> | undefined;
  const own = {
    logLoss: test?.['logLoss'],
    brier: test?.['brier'],
    squaredError: typeof test?.['rmse'] === 'number' ? test['rmse'] ** 2 : undefined,
    absoluteError: test?.['mae'],
  }[loss];
  return typeof own === 'number' && run ? [{ seed: run.seed, testLoss: own }, ...seeds] : seeds;
}

function placeboOf({ twins }: Measured, { stage, challenger, strataEdgesDays }: Settled, at: number) {
  if (!twins || twins.cells.length === 0) return undefined;
  const shares = new Array<number>(strataEdgesDays.length + 1).fill(0);
  for (const { stratum, requests } of twins.maturity) shares[stratum]! += requests;
  const random = new Random(Number.parseInt(challenger.onnx.sha256.slice(0, 8), 16));
  return placeboRate(
    twins.cells.map(({ block, ...cell }) => ({ day: block, ...cell })),
    shares,
    {
      alpha: stage.alpha,
      tightestAt: at,
      maxUnseen: stage.maxUnseen,
      trials: PLACEBO_TRIALS,
      random: () => random.float(),
    },
  );
}

function indices(rows: DerivedRows, is: (i: number) => boolean): number[] {
  const found: number[] = [];
  for (let i = 0; i < rows.rows; i++) if (is(i)) found.push(i);
  return found;
}

function isLabelled({ label }: DerivedRows, i: number, classes: readonly string[] | undefined): boolean {
  const value = label[i];
  return typeof value === 'string'
    ? !classes || classes.includes(value)
    : typeof value === 'number' && !Number.isNaN(value);
}

const weeksOf = (seconds: readonly number[]): number => new Set(seconds.map((at) => blockOf(at * 1000, 'week'))).size;

function inWords(plan: ShadowPlan, evidence: PlanningEvidence, { verdict }: Look): string {
  const { on, placebo, expectedBlocks: expected } = evidence;
  const show = (x: number) => String(Number(x.toPrecision(3)));
  const when =
    expected === null ? 'no verdict is expected' : `a verdict is expected after ${expected} ${plan.stage.block}s`;
  const honest = placebo
    ? `; placebo trials by request ${percent(placebo.byRequest)}, by day ${percent(placebo.byDay)}, by week ${percent(placebo.byWeek)}`
    : '';
  return `${verdict.says}: ${when}, from ${plan.from.slice(0, 10)}, minimum effect ${show(plan.minimumEffect)} (by the ${on})${honest}`;
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;

import * as z from 'zod';
import { ModelName, Sha256 } from './names.ts';
import { Gates, MetricName } from './model-spec.ts';
import { Metrics } from './metrics.ts';
import { ApprovalStage, BakeStage, CanaryStage, Loss, ShadowStage } from './stage.ts';
import { Failure } from './prediction-log.ts';

export const Verdict = z.object({
  says: z.enum(['pass', 'fail', 'undecided', 'no-data']),
  because: z.string().describe('The rule, the figure and the limit'),
  limitedBy: z.string().optional(),
});
export type Verdict = z.infer<typeof Verdict>;

// Plans: a stage with all that was left open in it settled, pinned before the first look.

export const GatePlan = z.object({
  kind: z.literal('gate'),
  metric: MetricName,
  gates: Gates,
  hasShadowStage: z.boolean(),
});
export type GatePlan = z.infer<typeof GatePlan>;

/** Whether a shadow trial can decide within its time. */
export const PlanningPlan = z.object({
  kind: z.literal('plan'),
  stage: ShadowStage,
  champion: z.int(),
  challenger: z.int(),
  loss: Loss,
});
export type PlanningPlan = z.infer<typeof PlanningPlan>;

export const ShadowPlan = z.object({
  kind: z.literal('shadow'),
  stage: ShadowStage,
  champion: z.int(),
  challenger: z.int(),
  from: z.iso.datetime(),
  loss: Loss,
  minimumEffect: z.number().gt(0),
  tightestAt: z.int().min(16),
  strataEdgesDays: z
    .array(z.number())
    .describe('Inner edges of maturesAt - event time; a row at an edge is in the lower stratum'),
  logTime: z.boolean().describe('Evidence time is the newest time in the log; else the workflow’s'),
  changed: z
    .array(z.object({ by: z.string(), reason: z.string(), at: z.iso.datetime(), was: ShadowStage }))
    .default([])
    .describe('Changes in flight, each recorded'),
});
export type ShadowPlan = z.infer<typeof ShadowPlan>;

/** Bins of a version's scores: its first class or value. */
export const ScoreHistogram = z.object({
  edges: z.array(z.number()).describe('[bins - 1] inner edges'),
  counts: z.array(z.int()).describe('[bins]'),
});
export type ScoreHistogram = z.infer<typeof ScoreHistogram>;

export const CanaryPlan = z.object({
  kind: z.literal('canary'),
  stage: CanaryStage,
  champion: z.int(),
  challenger: z.int(),
  alpha: z.number().describe('Of this stage: alpha over the number of canary stages'),
  scores: ScoreHistogram.optional().describe('Of its shadow scores; absent: there was no shadow stage'),
});
export type CanaryPlan = z.infer<typeof CanaryPlan>;

export const BakePlan = z.object({
  kind: z.literal('bake'),
  stage: BakeStage,
  champion: z.int().describe('The new one'),
  previous: z.int().optional(),
});
export type BakePlan = z.infer<typeof BakePlan>;

export const ApprovalPlan = z.object({
  kind: z.literal('approval'),
  stage: ApprovalStage,
  allowUnverified: z.boolean(),
  look: z.string().optional().describe('Key of the look that is to be approved; absent: no stage before gave one'),
  sha256: Sha256.optional(),
});
export type ApprovalPlan = z.infer<typeof ApprovalPlan>;

export const Plan = z.discriminatedUnion('kind', [
  GatePlan,
  PlanningPlan,
  ShadowPlan,
  CanaryPlan,
  BakePlan,
  ApprovalPlan,
]);
export type Plan = z.infer<typeof Plan>;

// Evidence: what was seen, as sums.

/** What the gate is judged on: test metrics of the candidate and the baseline, and the champion on rows that neither has seen. */
export const GateEvidence = z.object({
  kind: z.literal('gate'),
  rows: z.int(),
  metrics: Metrics,
  baseline: Metrics.optional(),
  champion: z
    .object({
      version: z.int(),
      rows: z.int().describe('Rows that neither model was trained, stopped or searched on'),
      candidate: Metrics.optional(),
      champion: Metrics.optional(),
      because: z.string().optional().describe('Why they could not be compared, if so'),
    })
    .optional(),
});
export type GateEvidence = z.infer<typeof GateEvidence>;

/**
 * Sums of one measure over the matured and labelled rows of one block and stratum. Measures: `loss` (champion's less the
 * challenger's: positive is better), the losses of guardrails (`guardrail.brier`, the same way round), `calibration`
 * (y - p of the challenger), `calibrationSlope` ((y - p) logit p), and `slice.<i>` (loss in the i-th named slice).
 */
export const EvidenceCell = z.object({
  measure: z.string(),
  block: z
    .int()
    .describe('Of prediction time: whole weeks (from Monday, 1970-01-05 is the begin of week 0) or days since 1970'),
  stratum: z.int().nonnegative(),
  rows: z.int().positive(),
  sum: z.number(),
  sumOfSquares: z.number(),
});
export type EvidenceCell = z.infer<typeof EvidenceCell>;

/** Requests of one block and stratum, and what has become of them: the ground-truth clock. */
export const MaturityCell = z.object({
  block: z.int(),
  stratum: z.int().nonnegative(),
  requests: z.int().positive(),
  matured: z.int().describe('Due: maturesAt was a day ago or more, so that labels have had the time to arrive'),
  labelled: z.int().describe('Due, and the outcome is known (silence counts where absent means something)'),
  early: z.int().describe('Known already, and not due: a biased part, which no figure uses'),
  overdue: z.int().describe('Due without an outcome, where silence means nothing'),
  twiceOverdue: z.int().describe('Of these, those that are late by as much as they took to mature'),
  unscored: z.int().describe('Due, but a version gave no finite score, or the inputs were shed'),
  settled: z
    .int()
    .optional()
    .describe('Of the requests, those whose maturesAt was 28 days ago or more; absent: not counted'),
  slices: z
    .array(z.int())
    .optional()
    .describe(
      '[named slices] of the requests, those in each: the slice’s shares of strata; absent: as of all requests',
    ),
});
export type MaturityCell = z.infer<typeof MaturityCell>;

export const LiveEvidence = z.object({
  since: z.iso.datetime().describe('Of the first revision with this shadow'),
  until: z.iso.datetime(),
  due: z.int().describe('Rows that were answered while it was a shadow, in blocks that are not final'),
  scored: z.int(),
  failed: z.int().describe('Of the scored: threw, late, not finite, died'),
  slow: z.int().describe('Of the scored: over sloMs'),
  compared: z.int().describe('Scores held against the batch’s'),
  apart: z.int().describe('Of these, differing by more than 1e-6'),
  droppedShift: z
    .number()
    .nullable()
    .describe('Mean champion score of dropped rows less that of scored ones, in sd; null where one side is empty'),
});
export type LiveEvidence = z.infer<typeof LiveEvidence>;

export const ShadowEvidence = z.object({
  kind: z.literal('shadow'),
  asOf: z.iso.datetime().describe('Evidence time: what was known by then'),
  finalBefore: z
    .int()
    .describe(
      'Blocks before this are taken from the look before, and do not change any more: all of their requests, but one or 1 %, were settled by then. What was not due stays so, and counts as a request',
    ),
  maturity: z.array(MaturityCell),
  cells: z.array(EvidenceCell),
  undated: z.int().describe('Requests that never mature: maturesAt depends on an input that is missing'),
  undatedIn: z
    .array(z.object({ block: z.int(), rows: z.int() }))
    .optional()
    .describe('The same, by block'),
  lastRequestAt: z.iso.datetime().optional(),
  restated: z
    .array(
      z.object({
        block: z.int(),
        rows: z.int().describe('Now less then'),
        sum: z.number().describe('Of loss: now less then'),
      }),
    )
    .describe('Blocks whose matured rows said something else at the look before: labels that were corrected'),
  live: LiveEvidence.optional(),
  scores: z
    .array(z.object({ sha256: Sha256, rows: z.int() }))
    .describe('Parquet objects: both versions’ scores by request'),
  histogram: ScoreHistogram.optional().describe('Of the challenger’s scores, for the canary'),
});
export type ShadowEvidence = z.infer<typeof ShadowEvidence>;

export const Placebo = z.object({
  on: z.enum(['log', 'backtest', 'test']),
  trials: z.int(),
  weeks: z.int(),
  byRequest: z.number().describe('Share of placebo trials with a verdict, were requests the unit'),
  byDay: z.number(),
  byWeek: z.number(),
  byFortnight: z.number().describe('By week, with signs flipped by fortnights'),
});
export type Placebo = z.infer<typeof Placebo>;

export const PlanningEvidence = z.object({
  kind: z.literal('plan'),
  on: z.enum(['log', 'backtest', 'test']).describe('What the figures are from'),
  blocks: z.int(),
  rowsPerBlock: z.number(),
  sdOfBlocks: z.number().describe('s of the band: of one block'),
  designEffect: z.number().nullable(),
  effect: z.number().nullable().describe('Mean improvement on those rows; null: they could not be compared'),
  seeds: z.array(z.object({ seed: z.int(), testLoss: z.number() })).describe('The recipe under other seeds'),
  minimumEffect: z.number(),
  strata: z.array(z.object({ share: z.number(), daysToMature: z.number() })).describe('Horizon strata, short to long'),
  expectedBlocks: z.int().nullable().describe('Until a verdict at `worthFinding`, label delay included; null: never'),
  tightestAt: z
    .int()
    .optional()
    .describe('Blocks at which the band will be tightest: of what two twins differ by, not of champion and challenger'),
  placebo: Placebo.optional(),
});
export type PlanningEvidence = z.infer<typeof PlanningEvidence>;

/** One version's answers in a stage; a unit counts once, by its first request that the version was asked for. */
export const WatchedSide = z.object({
  units: z.int(),
  failures: z.int().describe('Units whose first request failed: threw, late, not finite, died'),
  slow: z.int().describe('Units whose graph took longer than sloMs'),
});
export type WatchedSide = z.infer<typeof WatchedSide>;

export const WatchedVersion = WatchedSide.extend({
  attempts: z.int().describe('Rows that it was asked for'),
  failedAttempts: z.int(),
  byWhy: z.partialRecord(Failure.shape.why, z.int()),
  inARow: z.int().describe('Longest run of failing attempts from different units'),
  notAsked: z.int().describe('Rows that the champion answered because it was not loaded yet, or the breaker was open'),
  breakerOpen: z.int().describe('Of these, because the breaker was open'),
  unitsNotAsked: z
    .int()
    .optional()
    .describe('Units assigned to it that it was not asked for yet; with `units` all that were assigned'),
  settled: z
    .object({
      asked: z.int(),
      notAsked: z.int().describe('In a canary `notAsked`; in a bake what another version was asked for'),
    })
    .optional()
    .describe('Rows from 30 seconds after the begin on, when replicas have had time to load it'),
  keptBack: z
    .int()
    .optional()
    .describe('Rows that a breaker kept from it after its failures had held it open for over 30 seconds'),
});
export type WatchedVersion = z.infer<typeof WatchedVersion>;

export const CanaryEvidence = z.object({
  kind: z.literal('canary'),
  since: z.iso.datetime().describe('Of the revision that gave it this weight'),
  asOf: z.iso.datetime(),
  watchedMs: z.number().describe('Since then, pauses left out'),
  canary: WatchedVersion,
  champion: WatchedSide,
  errorsLogE: z.number(),
  slowLogE: z.number().optional(),
  scores: z.array(z.int()).optional().describe('[bins] of the plan'),
  lastAnswerAt: z.iso.datetime().optional().describe('Of this stage; a clock that is ahead counts as the watch’s'),
});
export type CanaryEvidence = z.infer<typeof CanaryEvidence>;

export const BakeEvidence = z.object({
  kind: z.literal('bake'),
  since: z.iso.datetime(),
  asOf: z.iso.datetime(),
  watchedMs: z.number(),
  champion: WatchedVersion,
  lastAnswerAt: z.iso.datetime().optional().describe('Of this stage; a clock that is ahead counts as the watch’s'),
});
export type BakeEvidence = z.infer<typeof BakeEvidence>;

export const RecordedVote = z.object({
  says: z.enum(['approve', 'reject']),
  by: z.string(),
  reason: z.string(),
  at: z.iso.datetime(),
  channel: z.enum(['api', 'update', 'signal']),
  verified: z.boolean().describe('by was checked: it came over the API with a key of scope approve'),
  look: z.string().optional(),
  counts: z.boolean(),
  why: z.string().optional().describe('Why it does not count'),
});
export type RecordedVote = z.infer<typeof RecordedVote>;

export const ApprovalEvidence = z.object({
  kind: z.literal('approval'),
  askedAt: z.iso.datetime(),
  asOf: z.iso.datetime(),
  votes: z.array(RecordedVote),
  expired: z.boolean().describe('The deadline passed'),
  voided: z.string().optional().describe('Why votes became void'),
});
export type ApprovalEvidence = z.infer<typeof ApprovalEvidence>;

export const Evidence = z.discriminatedUnion('kind', [
  GateEvidence,
  PlanningEvidence,
  ShadowEvidence,
  CanaryEvidence,
  BakeEvidence,
  ApprovalEvidence,
]);
export type Evidence = z.infer<typeof Evidence>;

export const RuleResult = z.object({
  rule: z.string(),
  says: z.enum(['pass', 'fail', 'undecided', 'not-applicable', 'left-to-trial', 'unproven', 'no-data']),
  because: z.string(),
});
export type RuleResult = z.infer<typeof RuleResult>;

/** A figure of a look as a person reads it, with its maturity. */
export const Figure = z.object({
  name: z.string(),
  value: z.number(),
  lower: z.number().optional(),
  upper: z.number().optional(),
  limit: z.number().optional(),
  blocks: z.int().optional(),
  rows: z.int().optional(),
  designEffect: z.number().optional(),
  unseenShare: z.number().optional(),
  coverage: z.number().optional().describe('Rows with an outcome, of those that are due'),
  expectedCoverage: z.number().optional().describe('Rows that are due, of all requests so far'),
});
export type Figure = z.infer<typeof Figure>;

export const LookKind = z.enum(['gate', 'plan', 'shadow', 'approval', 'canary', 'bake']);
export type LookKind = z.infer<typeof LookKind>;

/** looks/<model>/<time>-<kind>.json: evidence and verdict, written together, once. */
export const Look = z
  .object({
    model: ModelName,
    versions: z.array(z.int()).describe('Champion and challenger; empty where the candidate has no number yet'),
    kind: LookKind,
    at: z.iso.datetime().describe("The workflow's now"),
    run: z.string().optional().describe('Key of the training run that was judged'),
    rollout: z
      .object({ workflowId: z.string(), runId: z.string(), stage: z.int().nonnegative() })
      .optional()
      .describe('And the place of the stage in it'),
    previous: z.string().optional().describe('Key of the look before, of the same stage'),
    window: z
      .object({ from: z.iso.datetime(), to: z.iso.datetime() })
      .describe('Prediction times of the rows looked at'),
    plan: Plan,
    revision: z.int().nonnegative().describe('Head of the serving log when it was judged'),
    evidence: Evidence,
    rules: z.array(RuleResult),
    figures: z.array(Figure).default([]),
    verdict: Verdict,
    build: z.string().describe('Git commit of the code that judged'),
  })
  .refine(
    ({ kind, plan, evidence }) => plan.kind === kind && evidence.kind === kind,
    'plan and evidence are of its kind',
  )
  .meta({ id: 'Look' });
export type Look = z.infer<typeof Look>;

/** A look as others refer to it. */
export const LookRef = z.object({
  key: z.string(),
  sha256: Sha256.describe('Of the record’s bytes: what a person approves'),
  kind: LookKind,
  verdict: Verdict,
});
export type LookRef = z.infer<typeof LookRef>;

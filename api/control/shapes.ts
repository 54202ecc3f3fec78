import { z } from '@hono/zod-openapi';
import {
  ApprovalStage,
  BakeStage,
  CanaryStage,
  ChangePlan,
  Figure,
  ImportLabelsInput,
  ImportLabelsResult,
  Look,
  LookKind,
  LookRef,
  MetricName,
  ModelName,
  ModelVersion,
  Plan,
  Progress,
  RecordedVote,
  Revision,
  RolloutResult,
  RolloutStatus,
  RuleResult,
  Run,
  Sha256,
  ShadowTrialInput,
  ShadowStage,
  Steer,
  Task,
  TrainingHeartbeat,
  TrainingPipelineInput,
  PromotionInput,
  RollbackInput,
  Verdict,
  Vote,
} from '../../schemas/index.ts';

/** A run in one row: what happened, and its primary metric beside the baseline's. */
export const RunSummary = z
  .strictObject({
    id: z.string(),
    model: ModelName,
    outcome: Run.shape.outcome,
    halted: Run.shape.halted,
    version: z.int().optional(),
    metric: MetricName.optional().describe('Primary metric of the model'),
    value: z.number().optional().describe('On the test rows'),
    baseline: z.number().optional().describe("The linear baseline's, on the same rows"),
    startedAt: z.iso.datetime(),
    endedAt: z.iso.datetime(),
    workflowId: z.string(),
  })
  .meta({ id: 'RunSummary' });
export type RunSummary = z.infer<typeof RunSummary>;

export const VersionSummary = z
  .strictObject({
    model: ModelName,
    n: z.int(),
    run: z.string(),
    algorithm: ModelVersion.shape.algorithm,
    metric: MetricName,
    value: z.number().optional().describe('Primary metric on the test rows'),
    asOf: z.iso.datetime(),
    createdAt: z.iso.datetime(),
    serves: z.enum(['champion', 'previous', 'canary', 'shadow']).optional(),
  })
  .meta({ id: 'VersionSummary' });
export type VersionSummary = z.infer<typeof VersionSummary>;

export const ModelSummary = z
  .strictObject({
    model: ModelName,
    task: Task.optional(),
    owner: z.string().optional(),
    description: z.string().optional(),
    project: z.strictObject({ n: z.int(), hash: Sha256, appliedAt: z.iso.datetime() }).optional(),
    champion: z.int().optional(),
    previous: z.int().optional(),
    newest: z.int().optional().describe('Newest registered version'),
    revision: z.int().optional().describe('Serving revision in force'),
    lastRun: RunSummary.optional(),
  })
  .meta({ id: 'ModelSummary' });
export type ModelSummary = z.infer<typeof ModelSummary>;

export const ModelDetail = ModelSummary.extend({
  serving: Revision.optional(),
  versions: z.array(VersionSummary).describe('Newest first'),
}).meta({ id: 'ModelDetail' });
export type ModelDetail = z.infer<typeof ModelDetail>;

const Part = z.strictObject({ ok: z.boolean(), because: z.string() });
export const Check = z
  .strictObject({
    check: z.string(),
    says: z.enum(['ok', 'warn', 'fail']),
    found: z.string(),
    next: z.string().optional().describe('What to do about it'),
  })
  .meta({ id: 'Check' });
export type Check = z.infer<typeof Check>;

export const Status = z
  .strictObject({
    bucket: Part,
    temporal: Part.extend({ ui: z.string().optional() }),
    models: z.array(ModelSummary),
    replica: z.array(Check).describe('What the process that was asked has loaded; empty where it serves nothing'),
  })
  .meta({ id: 'Status' });
export type Status = z.infer<typeof Status>;

export const TrainBody = TrainingPipelineInput.omit({ model: true }).meta({ id: 'TrainBody' });

export const Started = z
  .strictObject({
    workflowId: z.string(),
    runId: z.string(),
    follow: z.string().describe('Path that says how far it is'),
    ui: z.string().optional().describe('The workflow in the Temporal UI'),
  })
  .meta({ id: 'Started' });
export type Started = z.infer<typeof Started>;

export const Training = z
  .strictObject({
    workflowId: z.string(),
    runId: z.string(),
    model: ModelName.optional(),
    status: z.enum(['running', 'completed', 'failed', 'cancelled', 'terminated', 'timed out']),
    startedAt: z.iso.datetime(),
    endedAt: z.iso.datetime().optional(),
    progress: Progress.optional().describe('Absent while no worker answers'),
    activities: z
      .array(
        z.strictObject({
          type: z.string(),
          attempt: z.int(),
          heartbeat: TrainingHeartbeat.optional(),
          lastFailure: z.string().optional().describe('Why the attempt before this one failed'),
        }),
      )
      .describe('What is under way now'),
    /** Loose: a result that a later release wrote is still shown. */
    result: z
      .looseObject({
        outcome: z.enum(['registered', 'halted']),
        because: z.string(),
        run: z.string(),
        version: z.int().optional(),
        stage: z.string().optional(),
        rollout: z.string().optional(),
      })
      .optional(),
    failure: z.strictObject({ type: z.string(), message: z.string() }).optional(),
    waiting: z.string().optional().describe('Why nothing moves, where that is known'),
    ui: z.string().optional(),
  })
  .meta({ id: 'Training' });
export type Training = z.infer<typeof Training>;

export const StartRolloutBody = PromotionInput.omit({ model: true })
  .extend({
    kind: z
      .enum(['promotion', 'shadowTrial', 'canaryRollout'])
      .default('promotion')
      .describe('shadowTrial: its shadow stage alone, which changes nothing; canaryRollout: canary stages and bake'),
    stage: ShadowTrialInput.shape.stage,
    stages: PromotionInput.shape.stages,
    supersede: z.boolean().optional().describe('End the rollout that runs, if any, cleanly first'),
  })
  .superRefine((body, context) => {
    const problem = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (body.force && !body.reason) problem('reason', 'serving without stages by force needs a reason');
    if (body.force && body.stages && body.stages.length > 0)
      problem('stages', 'force leaves all stages out: give one of the two');
    if (body.force && body.kind !== 'promotion') problem('force', 'only a promotion can be forced');
    if (body.stage && body.kind !== 'shadowTrial') problem('stage', 'is for a shadowTrial; others have stages');
    if (body.stages && body.kind === 'shadowTrial') problem('stages', 'a shadowTrial has one stage: stage');
    if (body.stages && body.kind === 'canaryRollout') {
      const other = body.stages.find(({ kind }) => kind !== 'canary' && kind !== 'bake');
      if (other) problem('stages', `a canaryRollout has canary stages and a bake, not ${other.kind}`);
    }
  })
  .meta({ id: 'StartRolloutBody' });
export type StartRolloutBody = z.infer<typeof StartRolloutBody>;

export const RolloutStart = Started.extend({
  superseded: z.string().optional().describe('How the rollout ended that ran before'),
  /** Loose: a result that a later release wrote is still shown. */
  result: RolloutResult.loose().optional().describe('Absent while the rollout is under way'),
}).meta({ id: 'RolloutStart' });
export type RolloutStart = z.infer<typeof RolloutStart>;

export const Rollout = z
  .strictObject({
    workflowId: z.string(),
    runId: z.string(),
    kind: z
      .string()
      .describe('The workflow: promotion, shadowTrial or canaryRollout; rollout, where that is forgotten'),
    state: z
      .enum(['running', 'completed', 'failed', 'cancelled', 'terminated', 'timed out', 'forgotten'])
      .describe('forgotten: Temporal no longer has it, and the newest look is what is known'),
    says: z.string(),
    version: z.int().optional().describe('The challenger'),
    stage: z.string().optional(),
    startedAt: z.iso.datetime().optional(),
    endedAt: z.iso.datetime().optional(),
    status: RolloutStatus.optional().describe('Absent while no worker answers'),
    /** Loose: a result that a later release wrote is still shown. */
    result: RolloutResult.loose().optional(),
    failure: z.strictObject({ type: z.string(), message: z.string() }).optional(),
    look: LookRef.optional(),
    waiting: z.string().optional().describe('Why nothing moves, where that is known'),
    ui: z.string().optional(),
  })
  .meta({ id: 'Rollout' });
export type Rollout = z.infer<typeof Rollout>;

const claimed = z.string().min(1).max(200).optional().describe('Who says it, where no key says so; default: api');
export const VoteBody = Vote.pick({ reason: true, look: true }).extend({ by: claimed }).meta({ id: 'VoteBody' });
export const SteerBody = Steer.omit({ record: true }).extend({ by: claimed }).meta({ id: 'SteerBody' });
export const ChangePlanBody = ChangePlan.omit({ record: true }).extend({ by: claimed }).meta({ id: 'ChangePlanBody' });

export const Steered = z
  .strictObject({
    workflowId: z.string(),
    runId: z.string(),
    says: z.string(),
    vote: RecordedVote.optional(),
    record: z.string().optional().describe('Key of what was written down of it, where a key said whose it is'),
    status: RolloutStatus.optional(),
  })
  .meta({ id: 'Steered' });
export type Steered = z.infer<typeof Steered>;

export const LookSummary = z
  .strictObject({
    ...LookRef.shape,
    at: z.iso.datetime(),
    versions: Look.shape.versions,
    rollout: Look.shape.rollout,
    run: Look.shape.run,
    previous: Look.shape.previous,
  })
  .meta({ id: 'LookSummary' });
export type LookSummary = z.infer<typeof LookSummary>;

export const LookPage = z
  .strictObject({
    looks: z.array(LookSummary).describe('Newest first'),
    next: z.string().optional().describe('There are older ones: give it as before'),
  })
  .meta({ id: 'LookPage' });
export type LookPage = z.infer<typeof LookPage>;

export const LookDetail = z.strictObject({ key: z.string(), sha256: Sha256, look: Look }).meta({ id: 'LookDetail' });
export type LookDetail = z.infer<typeof LookDetail>;

const OtherLimits = z.discriminatedUnion('kind', [
  ShadowStage.partial().extend({ kind: z.literal('shadow') }),
  ApprovalStage.partial().extend({ kind: z.literal('approval') }),
  CanaryStage.partial().extend({ kind: z.literal('canary') }),
  BakeStage.partial().extend({ kind: z.literal('bake') }),
]);

export const JudgeBody = z
  .strictObject({
    plan: OtherLimits.optional().describe(
      'A stage with other limits: what it names takes the place of what was pinned, the rest stays; default: the plan that was pinned',
    ),
  })
  .meta({ id: 'JudgeBody' });

const Judged = z.strictObject({ verdict: Verdict, rules: z.array(RuleResult), figures: z.array(Figure) });
export const JudgedAgain = z
  .strictObject({
    key: z.string(),
    sha256: Sha256,
    kind: LookKind,
    plan: Plan.describe('By which it was judged now'),
    was: Judged,
    now: Judged,
    same: z.boolean().describe('The verdict is the same, reason included'),
    build: z.string().describe('Git commit of the code that judged then'),
  })
  .meta({ id: 'JudgedAgain' });
export type JudgedAgain = z.infer<typeof JudgedAgain>;

export const ImportLabelsBody = ImportLabelsInput.omit({ model: true }).meta({ id: 'ImportLabelsBody' });

export const LabelImporting = z
  .strictObject({
    workflowId: z.string(),
    runId: z.string(),
    result: ImportLabelsResult.optional().describe('Absent while the import is under way'),
    ui: z.string().optional(),
  })
  .meta({ id: 'LabelImporting' });
export type LabelImporting = z.infer<typeof LabelImporting>;

export const RollbackBody = RollbackInput.omit({ model: true, by: true })
  .extend({
    by: z.string().min(1).optional().describe('Who; default: api'),
    requestId: z.string().min(1).max(200).optional().describe('Sent again with the same one, it is done once'),
  })
  .meta({ id: 'RollbackBody' });

/** One entry of the serving log, as people read it. */
export const HistoryEntry = z
  .strictObject({
    revision: z.int(),
    committedAt: z.iso.datetime(),
    replacedAt: z.iso.datetime().optional().describe("When the model's next revision was committed"),
    champion: z.int().optional(),
    previous: z.int().optional(),
    canary: z.strictObject({ version: z.int(), weight: z.number(), until: z.iso.datetime() }).optional(),
    shadows: Revision.shape.serving.shape.shadows,
    holder: z.string().optional(),
    by: z.string(),
    because: z.string(),
    look: z.string().optional().describe('Key of the look that it rests on'),
    verdict: Verdict.extend({ kind: LookKind })
      .optional()
      .describe('Kind and verdict of that look, where it can be read'),
    cause: Revision.shape.cause,
  })
  .meta({ id: 'HistoryEntry' });
export type HistoryEntry = z.infer<typeof HistoryEntry>;

export const History = z
  .strictObject({
    model: ModelName,
    at: z.iso.datetime(),
    says: z.string().describe('What served at that time'),
    entries: z.array(HistoryEntry).describe('Committed at that time or before, newest first: the first was in force'),
    more: z.boolean().describe('There are older ones'),
    gap: z.string().optional().describe('Why older entries cannot be read'),
  })
  .meta({ id: 'History' });
export type History = z.infer<typeof History>;

export const Diagnosis = z
  .strictObject({ says: z.enum(['ok', 'warn', 'fail']), checks: z.array(Check) })
  .meta({ id: 'Diagnosis' });
export type Diagnosis = z.infer<typeof Diagnosis>;

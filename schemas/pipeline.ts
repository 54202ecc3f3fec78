import * as z from 'zod';
import { Backtest } from './model-spec.ts';
import { ShadowStage, Stages } from './stage.ts';
import { Instant } from './time.ts';
import { ModelName } from './names.ts';
import { CurvePoint } from './curve.ts';

/** Steps of trainingPipeline, in order. */
export const STEPS = [
  'project',
  'ingest',
  'expectations',
  'rows',
  'split',
  'preprocess',
  'train',
  'baseline',
  'evaluate',
  'gate',
  'refit',
  'export',
  'backtest',
  'register',
  'promote',
] as const;
export const Step = z.enum(STEPS);
export type Step = z.infer<typeof Step>;

/** Grows by optional fields only: open workflows replay with what they were started with. */
export const TrainingPipelineInput = z
  .strictObject({
    model: ModelName,
    overrides: z
      .record(z.string(), z.unknown())
      .optional()
      .describe('By dotted path into model.yaml: {"training.maxDepth": 8}'),
    asOf: Instant.optional(),
    backtest: Backtest.optional(),
    promote: z.boolean().optional().describe('Start the rollout of the new version, and do not wait for it'),
    by: z.string().min(1).max(200).optional().describe('Who asked for it: also of the rollout that it starts'),
  })
  .meta({ id: 'TrainingPipelineInput' });
export type TrainingPipelineInput = z.infer<typeof TrainingPipelineInput>;

export const TrainingPipelineResult = z.strictObject({
  outcome: z.enum(['registered', 'halted']),
  model: ModelName,
  run: z.string(),
  version: z.int().optional(),
  stage: z.string().optional(),
  because: z.string(),
  rollout: z.string().optional().describe('Workflow id of the rollout that was started'),
});
export type TrainingPipelineResult = z.infer<typeof TrainingPipelineResult>;

/** Answer of the query `progress`. */
export const Progress = z.strictObject({
  model: ModelName,
  run: z.string(),
  step: Step,
  lines: z.array(z.strictObject({ step: Step, text: z.string() })).describe('Each finished step in one line'),
});
export type Progress = z.infer<typeof Progress>;

/** What a training activity says with its heartbeats; the control API reads it from the pending activity. */
export const TrainingHeartbeat = z.strictObject({
  done: z.int(),
  of: z.int(),
  curve: CurvePoint.optional(),
  checkpoint: z.int().optional(),
});
export type TrainingHeartbeat = z.infer<typeof TrainingHeartbeat>;

export const PromotionInput = z
  .strictObject({
    model: ModelName,
    version: z.int().positive(),
    stages: Stages.optional().describe("No stages: model.yaml's"),
    force: z.boolean().optional().describe('Serve without stages although the model has a champion; needs a reason'),
    reason: z.string().min(1).optional(),
    by: z.string().optional(),
  })
  .meta({ id: 'PromotionInput' });
export type PromotionInput = z.infer<typeof PromotionInput>;

export const ShadowTrialInput = z
  .strictObject({
    model: ModelName,
    version: z.int().positive(),
    stage: ShadowStage.omit({ kind: true }).partial().optional().describe("Default: model.yaml's shadow stage"),
    reason: z.string().min(1).optional(),
    by: z.string().optional(),
  })
  .meta({ id: 'ShadowTrialInput' });
export type ShadowTrialInput = z.infer<typeof ShadowTrialInput>;

export const CanaryRolloutInput = z
  .strictObject({
    model: ModelName,
    version: z.int().positive(),
    stages: Stages.optional().describe("Canary stages and a bake; default: model.yaml's"),
    reason: z.string().min(1).optional(),
    by: z.string().optional(),
  })
  .meta({ id: 'CanaryRolloutInput' });
export type CanaryRolloutInput = z.infer<typeof CanaryRolloutInput>;

export const RolloutResult = z.strictObject({
  outcome: z
    .enum(['promoted', 'passed', 'rejected', 'rolled back', 'inconclusive', 'no data', 'overtaken', 'cancelled'])
    .describe('passed: a shadow trial alone, after which nothing is routed'),
  model: ModelName,
  version: z.int(),
  stage: z.string().optional().describe('Kind of the stage in which it ended'),
  revision: z.int().optional(),
  looks: z.array(z.string()).optional().describe('Keys, oldest first'),
  because: z.string(),
});
export type RolloutResult = z.infer<typeof RolloutResult>;

export const RollbackInput = z
  .strictObject({
    model: ModelName,
    to: z
      .int()
      .positive()
      .optional()
      .describe(
        'Default: the champion alone, while a rollout tries a version out beside it; else the version that served before, and was not rolled back',
      ),
    by: z.string().min(1),
    reason: z.string().min(1),
  })
  .meta({ id: 'RollbackInput' });
export type RollbackInput = z.infer<typeof RollbackInput>;

export const RollbackResult = z.strictObject({ revision: z.int(), model: ModelName, from: z.int(), to: z.int() });
export type RollbackResult = z.infer<typeof RollbackResult>;

/** Names that people and other programs rely on. */
export const TASK_QUEUE = 'gauntlet';
export const TRAINING_TASK_QUEUE = 'gauntlet-training';
export const SEARCH_ATTRIBUTES = {
  GauntletModel: 'Keyword',
  GauntletStage: 'Keyword',
  GauntletOutcome: 'Keyword',
  GauntletVersion: 'Int',
} as const;

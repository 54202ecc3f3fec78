import * as z from 'zod';
import { Duration, durationMs, Instant } from './time.ts';
import { ColumnName } from './names.ts';

const Alpha = z.number().gt(0).max(0.2);
const Reason = z.string().min(1).max(1000);

/** What one row of a challenger is held against the champion by; less is better. Log-loss clips probabilities at 1e-6. */
export const Loss = z.enum(['logLoss', 'brier', 'squaredError', 'absoluteError']);
export type Loss = z.infer<typeof Loss>;

/** What a challenger may not make worse, whatever the primary loss says. */
export const Guardrail = z
  .discriminatedUnion('on', [
    z.strictObject({
      on: Loss,
      margin: z.number().min(0).describe('How much worse the mean loss may be than the champion’s'),
    }),
    z.strictObject({
      on: z.enum(['calibration', 'calibrationSlope']),
      margin: z
        .number()
        .gt(0)
        .describe('Largest |mean of y - p|, or of (y - p) logit p, that the challenger may have (binary)'),
    }),
  ])
  .meta({ id: 'Guardrail' });
export type Guardrail = z.infer<typeof Guardrail>;

export const NamedSlice = z
  .strictObject({
    column: ColumnName.describe('An input, as the request had it'),
    is: z.union([z.string(), z.number(), z.boolean()]),
    margin: z.number().min(0).describe('How much worse the mean loss may be in it than the champion’s'),
  })
  .meta({ id: 'NamedSlice' });
export type NamedSlice = z.infer<typeof NamedSlice>;

export const LiveShadow = z
  .strictObject({
    atLeast: Duration.default('1 day').describe('How long the challenger must have scored live traffic'),
    minRequests: z.int().positive().default(1000),
    maxErrorRate: z.number().gt(0).lt(1).default(0.05).describe('Fails when the lower 95 % bound is above this'),
    sloMs: z.number().positive().optional().describe('A score is slow when its graph takes longer'),
    maxSlowRate: z.number().gt(0).lt(1).default(0.05).describe('Fails when the lower 95 % bound is above this'),
    minScored: z.number().gt(0).max(1).default(0.9).describe('Least share of answers that it must have scored'),
  })
  .meta({ id: 'LiveShadow', description: 'Latency, errors and agreement of the challenger beside live traffic.' });
export type LiveShadow = z.infer<typeof LiveShadow>;

export const ShadowStage = z
  .strictObject({
    kind: z.literal('shadow'),
    from: Instant.optional().describe(
      'Requests from here on are evidence; default, and earliest, what the challenger has seen no label of (labelsSeenUntil)',
    ),
    loss: Loss.optional().describe('Default: logLoss for classes, squaredError for regression'),
    alpha: Alpha.default(0.05).describe('Chance of each wrong verdict, better or worse'),
    minimumEffect: z
      .number()
      .gt(0)
      .optional()
      .describe('Least improvement of the mean loss; default: the range of test loss over 3 seeds of the recipe'),
    worthFinding: z
      .number()
      .gt(0)
      .optional()
      .describe(
        'Improvement that the plan reckons with; default twice the minimum effect, or what offline evaluation found if that is more',
      ),
    maxUnseen: z
      .number()
      .min(0)
      .lt(1)
      .default(0.1)
      .describe('Largest share of requests in horizon strata of too few blocks, for a verdict'),
    block: z.enum(['week', 'day']).default('week').describe('Unit of evidence, of prediction time'),
    tightestAt: z
      .int()
      .min(16)
      .optional()
      .describe('Blocks at which the band is tightest; default what the plan expects by what two twins differ by'),
    maxDuration: Duration.default('26 weeks').describe(
      'From the first block with a request, by evidence time: undecided then is inconclusive',
    ),
    lookEvery: Duration.default('1 day'),
    maxWait: Duration.default('7 days').describe('Without a request for this long, the trial ends: no data'),
    guardrails: z.array(Guardrail).max(5).default([]),
    slices: z.array(NamedSlice).max(5).default([]).describe('Blocking slices'),
    live: LiveShadow.optional().describe('Absent: over the log only'),
  })
  .meta({ id: 'ShadowStage', description: 'The challenger scores what the champion answered, and answers nobody.' });
export type ShadowStage = z.infer<typeof ShadowStage>;

export const ApprovalStage = z
  .strictObject({
    kind: z.literal('approval'),
    deadline: Duration.default('7 days').describe('Then it counts as rejected'),
    remindAfter: Duration.default('1 day').describe('And again after each such while'),
    webhook: z
      .union(
        [z.url({ protocol: /^https?$/ }), z.string().regex(/^\$[A-Z][A-Z0-9_]*$/)],
        'expected a URL, or $NAME of an environment variable of the worker that has it',
      )
      .optional()
      .describe(
        'Gets a POST with the link when a word is wanted. A URL that is a secret stands in an environment variable of the worker: $SLACK_WEBHOOK',
      ),
    allowUnverified: z
      .boolean()
      .optional()
      .describe(
        'Count votes whose `by` nobody checked; default: only where Gauntlet brought up its own Temporal server',
      ),
  })
  .meta({ id: 'ApprovalStage', description: 'Waits for a person’s word on the look that gave the verdict.' });
export type ApprovalStage = z.infer<typeof ApprovalStage>;

const watched = {
  minDuration: Duration.default('10 minutes').describe('Shortest watch before it may pass'),
  maxDuration: Duration.default('2 hours').describe('Longest watch while it is undecided, extensions included'),
  minRequests: z.int().positive().default(500).describe('Units of the watched version before it may pass'),
  onNoData: z
    .enum(['hold', 'rollback'])
    .default('rollback')
    .describe('When the requests have not come by maxDuration. hold: wait for a person'),
  maxErrorRate: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.05)
    .describe('Rolled back when the lower 95 % bound of the error rate is above this, after 100 attempts'),
  sloMs: z.number().positive().optional().describe('A unit is slow when its graph takes longer'),
  lookEvery: Duration.default('2 seconds'),
};

export const CanaryStage = z
  .strictObject({
    kind: z.literal('canary'),
    weight: z.number().gt(0).lt(1).describe('Share of units sent to the challenger'),
    ...watched,
    alpha: Alpha.default(0.05).describe('Of each sequential test, over all canary stages of the rollout together'),
    maxScoreShift: z
      .number()
      .gt(0)
      .default(0.25)
      .describe('PSI (less its mean under no change) of its live scores against its shadow scores, from 500 units on'),
  })
  .meta({ id: 'CanaryStage', description: 'One step of live traffic for a challenger.' });
export type CanaryStage = z.infer<typeof CanaryStage>;

export const BakeStage = z
  .strictObject({
    kind: z.literal('bake'),
    ...watched,
    maxSlowRate: z.number().gt(0).lt(1).default(0.05).describe('Rolled back when the lower 95 % bound is above this'),
  })
  .meta({ id: 'BakeStage', description: 'The new champion serves everybody, the previous one stays warm.' });
export type BakeStage = z.infer<typeof BakeStage>;

export const Stage = z
  .discriminatedUnion('kind', [ShadowStage, ApprovalStage, CanaryStage, BakeStage])
  .meta({ id: 'Stage', description: 'A step of a rollout.' });
export type Stage = z.infer<typeof Stage>;
export type StageKind = Stage['kind'];

/** Of one trial, at most: daily for nine months. Each is eleven events of a workflow history that ends at 51,200. */
export const MOST_LOOKS = 300;

const HOUR_MS = 3_600_000;

/** How long a stage is watched at once; a pause is renewed by the hour, however short the stage. */
export const longestWatchMs = ({ maxDuration }: CanaryStage | BakeStage, isPaused: boolean): number =>
  Math.max(durationMs(maxDuration), isPaused ? HOUR_MS : 0);

/** Stages in an order that makes sense; each can be left out. */
export const Stages = z
  .array(Stage)
  .max(12)
  .superRefine((stages, context) => {
    const problem = (i: number, message: string) => context.addIssue({ code: 'custom', path: [i], message });
    const kinds = stages.map((stage) => stage.kind);
    stages.forEach((stage, i) => {
      const before = kinds.slice(0, i);
      if (stage.kind === 'shadow' && i > 0) problem(i, 'a shadow stage comes first, and once');
      if (stage.kind === 'approval' && before.includes('approval')) problem(i, 'one approval stage is enough');
      if (before.includes('bake')) problem(i, 'a bake is the last stage');
      if (stage.kind === 'canary') {
        const last = stages.slice(0, i).findLast((one) => one.kind === 'canary');
        if (last?.kind === 'canary' && last.weight >= stage.weight)
          problem(i, `weights rise from canary to canary: ${stage.weight} follows ${last.weight}`);
      }
    });
  });
export type Stages = z.infer<typeof Stages>;

/** Only the API writes one: a person who speaks to Temporal has none. */
const Record = z.string().optional().describe('Key of what the API wrote down of it: makes `by` verified');

/** What a person sends to a rollout that waits. */
export const Vote = z
  .object({
    by: z.string().min(1).max(200),
    reason: Reason,
    look: z
      .string()
      .optional()
      .describe('Key or hash (8 digits are enough) of the look; default the one that gave the verdict'),
    record: Record,
  })
  .meta({ id: 'Vote' });
export type Vote = z.infer<typeof Vote>;

/** pause, resume, advance, rollback. */
export const Steer = z.object({ by: z.string().min(1).max(200), reason: Reason, record: Record }).meta({ id: 'Steer' });
export type Steer = z.infer<typeof Steer>;

/** changePlan: what of a shadow stage's plan is to be otherwise from the next look on. */
export const ChangePlan = z
  .object({
    by: z.string().min(1).max(200),
    reason: Reason,
    stage: ShadowStage.omit({ kind: true, from: true })
      .partial()
      .describe('What is named here changes, the rest stays'),
    record: Record,
  })
  .meta({ id: 'ChangePlan' });
export type ChangePlan = z.infer<typeof ChangePlan>;

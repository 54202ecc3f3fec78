import * as z from 'zod';
import { ModelName } from './names.ts';
import { Gates, MetricName } from './model-spec.ts';
import { Metrics } from './metrics.ts';

export const Verdict = z.object({
  says: z.enum(['pass', 'fail', 'undecided', 'no-data']),
  because: z.string().describe('The rule, the figure and the limit'),
  limitedBy: z.string().optional(),
});
export type Verdict = z.infer<typeof Verdict>;

export const GatePlan = z.object({
  kind: z.literal('gate'),
  metric: MetricName,
  gates: Gates,
  hasShadowStage: z.boolean(),
});
export type GatePlan = z.infer<typeof GatePlan>;

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

export const RuleResult = z.object({
  rule: z.string(),
  says: z.enum(['pass', 'fail', 'not-applicable', 'left-to-trial', 'no-data']),
  because: z.string(),
});
export type RuleResult = z.infer<typeof RuleResult>;

/** looks/<model>/<time>-<kind>.json: evidence and verdict, written together, once. */
export const Look = z
  .object({
    model: ModelName,
    versions: z.array(z.int()).describe('Versions compared; empty where the candidate has no number yet'),
    kind: z.literal('gate'),
    at: z.iso.datetime().describe("The workflow's now"),
    run: z.string().optional().describe('Key of the run that was judged'),
    window: z
      .object({ from: z.iso.datetime(), to: z.iso.datetime() })
      .describe('Prediction times of the rows looked at'),
    plan: GatePlan,
    revision: z.int().nonnegative().describe('Head of the serving log when it was judged'),
    evidence: GateEvidence,
    rules: z.array(RuleResult),
    verdict: Verdict,
    build: z.string().describe('Git commit of the code that judged'),
  })
  .meta({ id: 'Look' });
export type Look = z.infer<typeof Look>;

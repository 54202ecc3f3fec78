import { z } from '@hono/zod-openapi';
import {
  Answer,
  DatasetVersion,
  ExpectationResult,
  Label,
  LookRef,
  MetricName,
  ModelName,
  ModelVersion,
  Project,
  RecordedVote,
  RequestId,
  Revision,
  Run,
  Sha256,
  ShadowScore,
} from '../../../schemas/index.ts';

const step = <K extends string, S extends z.ZodRawShape>(name: K, shape: S) =>
  z.strictObject({
    step: z.literal(name),
    key: z.string().optional().describe('Where it lies in the bucket'),
    says: z.string().describe('In words'),
    gone: z.string().optional().describe('Why it cannot be shown'),
    ...shape,
  });

/** What of a run's record stands in the walk. */
export const RunFacts = Run.pick({
  outcome: true,
  project: true,
  asOf: true,
  seed: true,
  overrides: true,
  datasets: true,
  rows: true,
  trees: true,
  look: true,
  artefacts: true,
  build: true,
  cause: true,
  startedAt: true,
  endedAt: true,
});

export const WhyStep = z
  .discriminatedUnion('step', [
    step('answer', {
      record: Answer,
      personal: z.array(z.string()).describe('Inputs of which only hashes are kept'),
      times: z.int().positive().describe('How often a request of this id was answered then; the first counts'),
    }),
    step('route', {
      assigned: Answer.shape.assigned,
      assignedVersion: Answer.shape.assignedVersion,
      version: Answer.shape.version,
      reason: Answer.shape.reason,
      propensity: Answer.shape.propensity,
      unit: Answer.shape.unit,
      failed: Answer.shape.failed,
    }),
    step('revision', { n: z.int(), record: Revision.optional() }),
    step('look', {
      kind: z.string().describe('gate, plan, shadow, approval, canary or bake'),
      sha256: Sha256.optional().describe('What a person approves'),
      at: z.iso.datetime().optional(),
      verdict: LookRef.shape.verdict.optional(),
      versions: z.array(z.int()).optional().describe('Champion and challenger'),
      votes: z.array(RecordedVote).describe('Of an approval: who, when, why, by which channel, verified or not'),
    }),
    step('version', {
      n: z.int(),
      record: ModelVersion.pick({
        run: true,
        project: true,
        task: true,
        algorithm: true,
        asOf: true,
        labelsSeenUntil: true,
        onnx: true,
        threshold: true,
        rowsHash: true,
        serving: true,
        cause: true,
        createdAt: true,
      }).optional(),
    }),
    step('run', {
      id: z.string().optional(),
      record: RunFacts.optional(),
      expectations: z.array(ExpectationResult.pick({ expectation: true, passed: true, because: true })).optional(),
      metric: MetricName.optional().describe('Primary metric of the model'),
      value: z.number().optional().describe('On the test rows'),
      baseline: z.number().optional().describe("The linear baseline's, on the same rows"),
    }),
    step('dataset', {
      name: z.string(),
      hash: Sha256,
      record: DatasetVersion.omit({ columns: true }).optional(),
      objects: z.array(z.string()).describe('Keys of its bytes'),
    }),
    step('project', {
      n: z.int(),
      hash: Sha256,
      record: Project.pick({ files: true, appliedAt: true, by: true }).extend({ owner: z.string() }).optional(),
    }),
    step('shadow', { version: z.int(), record: ShadowScore.optional() }),
    step('labels', {
      state: z
        .enum(['labelled', 'pending', 'overdue', 'absent'])
        .optional()
        .describe('overdue: matured without a label; absent: so too, and silence is an answer'),
      label: Label.shape.value.describe('What came true, as far as is known'),
      labelId: z.string().optional().describe('The label that counts'),
      knownAt: z.iso.datetime().optional(),
      maturesAt: z.iso.datetime().optional(),
      records: z.array(Label).describe('Every label that it had, corrections and withdrawals included'),
      since: z.iso.datetime().describe('Labels were looked for in uploads from then on'),
    }),
  ])
  .meta({ id: 'WhyStep' });
export type WhyStep = z.infer<typeof WhyStep>;

export const Why = z
  .strictObject({
    requestId: RequestId,
    model: ModelName,
    row: z.int().nonnegative(),
    rows: z.int().positive().describe('Rows of the request that are in the log'),
    others: z.array(ModelName).describe('Models that answered a request of the same id, too'),
    says: z.string(),
    steps: z.array(WhyStep).describe('From the answer back to the sources, then what others said and what came true'),
  })
  .meta({ id: 'Why', description: 'Why an answer was what it was.' });
export type Why = z.infer<typeof Why>;

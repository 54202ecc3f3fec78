import * as z from 'zod';
import { ModelName, Sha256 } from './names.ts';
import { InputSchema, MetricName, Task } from './model-spec.ts';
import { Cause } from './serving.ts';
import { EvaluationReport } from './metrics.ts';

/** One request as it would come over the API, kept in the version to warm it and to show in examples. */
export const RawRow = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]));
export type RawRow = z.infer<typeof RawRow>;

export const ReferenceHistogram = z.union([
  z.object({
    kind: z.literal('number'),
    edges: z.array(z.number()).describe('[bins - 1] inner edges: deciles'),
    counts: z.array(z.int()).describe('[bins]'),
    missing: z.int(),
  }),
  z.object({
    kind: z.literal('category'),
    values: z.array(z.string()).describe('The 20 most frequent'),
    counts: z.array(z.int()),
    rest: z.int(),
    missing: z.int(),
  }),
]);
export type ReferenceHistogram = z.infer<typeof ReferenceHistogram>;

/** What serving and the log need to know of model.yaml; pinned, so that a replica reads no project. */
export const ServingTerms = z.object({
  unit: z.string().optional().describe('Field of a request; absent: the request id'),
  unitPii: z.boolean(),
  entityPii: z.boolean(),
  piiKey: z.string().optional().describe('Fingerprint of the key that personal values were hashed with'),
  allowEventTime: z.boolean(),
  deadlineMs: z.int().positive().optional(),
});
export type ServingTerms = z.infer<typeof ServingTerms>;

/** versions/<model>/<n>.json: an immutable model version. Its number is a label within one bucket; its hash is what it is. */
export const ModelVersion = z
  .object({
    model: ModelName,
    n: z.int().positive(),
    task: Task,
    run: z.string(),
    project: z.object({ n: z.int(), hash: Sha256 }),
    rowsHash: Sha256,
    asOf: z.iso.datetime(),
    labelsSeenUntil: z.iso.datetime(),
    onnx: z.object({ sha256: Sha256, bytes: z.int() }),
    algorithm: z.enum(['gradientBoosting', 'linear']),
    entity: z.string(),
    inputs: InputSchema,
    usesPredictedAt: z.boolean().describe('The graph takes predicted_at beside the inputs'),
    serving: ServingTerms.optional().describe('Absent in versions from before there was a prediction log'),
    classes: z.array(z.string()).optional().describe('multiclass: the labels, in the order of the probabilities'),
    threshold: z.number().optional().describe('binary: the answer is positive at or above it'),
    strataEdgesDays: z.array(z.number()),
    referenceHistograms: z.record(z.string(), ReferenceHistogram),
    lossSd: z.number().describe('Standard deviation of the per-row test loss'),
    warmUpRows: z.array(RawRow).min(1),
    primaryMetric: MetricName,
    metrics: z.array(EvaluationReport),
    cause: Cause,
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'ModelVersion' });
export type ModelVersion = z.infer<typeof ModelVersion>;

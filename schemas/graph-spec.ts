import * as z from 'zod';
import { InputSchema, Task, type ModelSpec } from './model-spec.ts';

/** The part of a model's description that its graph is built from. */
export const GraphSpec = z.strictObject({
  task: Task,
  inputs: InputSchema,
  derived: z.record(z.string(), z.string()),
  maturesAt: z.string(),
});
export type GraphSpec = z.infer<typeof GraphSpec>;

export function graphSpec(spec: ModelSpec): GraphSpec {
  return { task: spec.task, inputs: spec.inputs, derived: spec.derived, maturesAt: spec.label.maturesAt };
}

/** One fitted feature of the matrix, or (one-hot) several. Order: inputs that are features, then derived columns. */
export const FittedFeature = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('number'),
    name: z.string(),
    fill: z.number().nullable().describe('Median (booleans: most frequent); null: missing stays missing'),
    mean: z.number().optional().describe('Scaled where the algorithm wants it: (x - mean) / sd'),
    sd: z.number().optional(),
  }),
  z.strictObject({
    kind: z.literal('category'),
    name: z.string(),
    vocabulary: z.array(z.string()).describe('Category i is encoded as i; unknown as -1'),
    fill: z.string().nullable().describe('Most frequent; null: missing is a category of its own, the empty string'),
    encoding: z.enum(['ordinal', 'oneHot']),
  }),
]);
export type FittedFeature = z.infer<typeof FittedFeature>;

/** What was learnt from the training rows before the trainer saw them; plain JSON, so that it can be sealed. */
export const Preprocessing = z.strictObject({ features: z.array(FittedFeature) });
export type Preprocessing = z.infer<typeof Preprocessing>;

/** What a graph gives for one row. binary: [p of the positive class]; multiclass: [p of each class]; regression: [value]. */
export interface Output {
  scores: number[];
  /** Seconds since 1970; NaN where what it is made of is missing. */
  maturesAt: number;
}

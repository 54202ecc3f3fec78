import * as z from 'zod';

/** One point of the training curve. Losses are the objective's own: log-loss in nats, or mean squared error. */
export const CurvePoint = z.object({
  tree: z.int().nonnegative(),
  trainLoss: z.number(),
  validLoss: z.number().optional(),
});
export type CurvePoint = z.infer<typeof CurvePoint>;

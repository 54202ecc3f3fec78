import * as z from 'zod';

export const BinaryMetrics = z.object({
  auc: z.number(),
  averagePrecision: z.number(),
  logLoss: z.number().describe('nats; probabilities clipped at 1e-15'),
  brier: z.number(),
  calibrationError: z.number().describe('Expected calibration error, 10 bins of equal width'),
  accuracy: z.number(),
  f1: z.number(),
  confusion: z.object({
    truePositive: z.int(),
    falsePositive: z.int(),
    trueNegative: z.int(),
    falseNegative: z.int(),
  }),
  positiveRate: z.number(),
});
export const MulticlassMetrics = z.object({
  accuracy: z.number(),
  macroF1: z.number(),
  logLoss: z.number(),
  confusion: z.array(z.array(z.int())).describe('[true class][predicted class]'),
});
export const RegressionMetrics = z.object({ rmse: z.number(), mae: z.number(), r2: z.number() });

export const Metrics = z.union([BinaryMetrics, MulticlassMetrics, RegressionMetrics]);
export type BinaryMetrics = z.infer<typeof BinaryMetrics>;
export type MulticlassMetrics = z.infer<typeof MulticlassMetrics>;
export type RegressionMetrics = z.infer<typeof RegressionMetrics>;
export type Metrics = z.infer<typeof Metrics>;

export const SliceMetrics = z.object({
  slice: z.string().describe('Column and value: hotel = City Hotel'),
  rows: z.int(),
  /** Absent where the slice has one class only: then no metric of ours means anything. */
  metrics: Metrics.optional(),
  because: z.string().optional(),
});
export type SliceMetrics = z.infer<typeof SliceMetrics>;

/** One model on one set of rows. */
export const EvaluationReport = z.object({
  on: z.enum(['valid', 'test', 'backtest']),
  rows: z.int(),
  metrics: Metrics,
  slices: z.array(SliceMetrics),
  smallSlices: z.int().describe('Slices left out because they have fewer rows than minSliceRows'),
});
export type EvaluationReport = z.infer<typeof EvaluationReport>;

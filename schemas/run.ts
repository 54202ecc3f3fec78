import * as z from 'zod';
import { ModelName, Sha256 } from './names.ts';
import { Cause } from './serving.ts';
import { CurvePoint } from './curve.ts';
import { EvaluationReport } from './metrics.ts';
import { ExpectationResult, SealedRows } from './dataset.ts';
import { Verdict } from './look.ts';

/** Which code made it. */
export const Build = z.object({
  commit: z.string().describe('Git commit, or unknown outside a checkout'),
  dirty: z.boolean(),
  node: z.string(),
  packages: z.record(z.string(), z.string()).describe('Versions of the packages that bear on the result'),
});
export type Build = z.infer<typeof Build>;

export const SplitReport = z.object({
  asOf: z.iso.datetime(),
  rows: z.int().describe('All rows that rows.sql gave'),
  matured: z.int().describe('Rows matured at asOf whose label was known then'),
  parts: z.record(
    z.enum(['train', 'valid', 'test']),
    z.object({
      rows: z.int(),
      maturesFrom: z.iso.datetime(),
      maturesTo: z.iso.datetime(),
      horizonMix: z.array(z.number()).describe('Share of rows in each horizon stratum, short to long'),
      predictedBeforeLastTrainingRow: z.number().describe('Share of rows predicted before the last training row was'),
    }),
  ),
  gapDropped: z.int().describe('Training rows dropped by gap'),
  strataEdgesDays: z
    .array(z.number())
    .describe('Inner quartiles of maturesAt - predicted_at over all rows before asOf, equal edges merged'),
});
export type SplitReport = z.infer<typeof SplitReport>;

/** runs/<model>/<time-id>.json: the immutable record of a training run, registered or halted. */
export const Run = z
  .object({
    id: z.string(),
    model: ModelName,
    project: z.object({ n: z.int(), hash: Sha256 }),
    outcome: z.enum(['registered', 'halted']),
    halted: z.object({ stage: z.enum(['expectations', 'gate']), reason: z.string() }).optional(),
    version: z.int().positive().optional(),
    parameters: z.record(z.string(), z.unknown()).describe('Training parameters after overrides'),
    overrides: z.record(z.string(), z.unknown()),
    seed: z.int(),
    asOf: z.iso.datetime(),
    datasets: z.array(z.object({ name: z.string(), hash: Sha256, rows: z.int() })),
    expectations: z.array(ExpectationResult),
    rows: SealedRows.optional(),
    split: SplitReport.optional(),
    trees: z.int().optional().describe('Rounds that early stopping kept'),
    curve: z.array(CurvePoint),
    metrics: z.array(EvaluationReport),
    baseline: z.array(EvaluationReport),
    look: z.string().optional(),
    verdict: Verdict.optional(),
    artefacts: z.record(z.string(), Sha256).describe('By name: model.onnx, preprocessing.json, ...'),
    build: Build,
    cause: Cause,
    startedAt: z.iso.datetime(),
    endedAt: z.iso.datetime(),
  })
  .meta({ id: 'Run' });
export type Run = z.infer<typeof Run>;

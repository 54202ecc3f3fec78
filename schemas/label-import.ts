import * as z from 'zod';
import { ModelName, Sha256 } from './names.ts';
import { Cause } from './serving.ts';
import { Instant } from './time.ts';

/** Grows by optional fields only: open workflows replay with what they were started with. */
export const ImportLabelsInput = z
  .strictObject({
    model: ModelName,
    asOf: Instant.optional().describe('Only what was known then, for replays and demos; default: the start of the run'),
  })
  .meta({ id: 'ImportLabelsInput' });
export type ImportLabelsInput = z.infer<typeof ImportLabelsInput>;

/** label-imports/<model>/<n>.json: what was imported, and up to when. Written after its labels are in the log. */
export const LabelImport = z
  .object({
    model: ModelName,
    n: z.int().positive().describe('Gapless'),
    until: z.iso.datetime().describe('What was known by then is imported'),
    project: z.object({ n: z.int(), hash: Sha256 }),
    datasets: z.array(z.object({ name: z.string(), hash: Sha256 })),
    rows: z.int().nonnegative().describe('Rows with a label that the SQL gave, known by then or not'),
    labels: z.int().nonnegative().describe('Written to the log'),
    corrections: z.int().nonnegative().describe('Of these, labels that supersede an earlier one'),
    segments: z.array(z.string()).describe('Keys of the segments that they were written in'),
    imported: z
      .array(Sha256)
      .describe(
        'Objects, Parquet: every entity and time that was ever imported, its last value and label; the newest n counts',
      ),
    piiKey: z.string().optional().describe('Fingerprint of the key that the entities were hashed with'),
    cause: Cause,
    importedAt: z.iso.datetime(),
  })
  .meta({ id: 'LabelImport' });
export type LabelImport = z.infer<typeof LabelImport>;

export const ImportLabelsResult = z
  .strictObject({
    outcome: z.enum(['imported', 'nothing new']),
    model: ModelName,
    n: z.int().optional().describe('Number of the import; absent: one that had come further was there'),
    until: z.iso.datetime(),
    labels: z.int().nonnegative(),
    corrections: z.int().nonnegative(),
    because: z.string(),
  })
  .meta({ id: 'ImportLabelsResult' });
export type ImportLabelsResult = z.infer<typeof ImportLabelsResult>;

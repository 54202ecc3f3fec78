import * as z from 'zod';
import { ModelName, Sha256 } from './names.ts';
import { ModelSpec } from './model-spec.ts';

/** projects/<model>/<n>.json: an applied model project. Its hash covers the files' paths and contents, nothing else. */
export const Project = z
  .object({
    model: ModelName,
    n: z.int().positive(),
    hash: Sha256,
    files: z
      .record(z.string(), z.object({ sha256: Sha256, bytes: z.int().nonnegative() }))
      .describe('By path inside the folder'),
    spec: ModelSpec,
    appliedAt: z.iso.datetime(),
    by: z.string(),
  })
  .meta({ id: 'Project', description: 'A model project as applied: its files by hash, who applied it and when.' });
export type Project = z.infer<typeof Project>;

/** What `gauntlet apply` did, or with a dry run would do. */
export const Applied = z.object({
  model: ModelName,
  n: z.int().positive().describe('The number of the applied project; with a dry run, the number it would get'),
  hash: Sha256,
  changed: z.boolean().describe('false: the newest applied project is the same'),
  changes: z.array(z.string()).describe('One line for each difference from the newest applied project'),
  dryRun: z.boolean(),
});
export type Applied = z.infer<typeof Applied>;

import * as z from 'zod';
import { ModelName } from './names.ts';

/** What made a record: a workflow's step, or a person's command. Two appends of one cause are one entry. */
export const Cause = z.object({
  workflowId: z.string().describe('Or rollback: of a person, without a workflow'),
  runId: z.string(),
  step: z.string(),
});
export type Cause = z.infer<typeof Cause>;

export const Serving = z.object({
  champion: z.int().positive().optional(),
  previous: z.int().positive().optional(),
  canary: z
    .object({
      version: z.int().positive(),
      weight: z.number().min(0).max(1),
      salt: z.string(),
      until: z.iso.datetime(),
    })
    .optional(),
  shadows: z.array(z.object({ version: z.int().positive(), until: z.iso.datetime() })).default([]),
  holder: z.string().optional().describe('<workflow id>/<run id> of the rollout that holds this model'),
});
export type Serving = z.infer<typeof Serving>;

/** serving/<n>.json: one entry of the serving log is one model's whole serving state. */
export const Revision = z
  .object({
    n: z.int().positive().describe('Gapless over the bucket'),
    was: z.int().nonnegative().describe("This model's last n, 0 if none"),
    model: ModelName,
    serving: Serving,
    by: z.string(),
    because: z.string(),
    look: z.string().optional().describe('Key of the look that it rests on'),
    cause: Cause,
    committedAt: z.iso.datetime(),
  })
  .meta({ id: 'Revision', description: 'One entry of the serving log.' });
export type Revision = z.infer<typeof Revision>;

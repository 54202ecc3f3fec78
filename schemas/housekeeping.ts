import * as z from 'zod';
import { ModelName } from './names.ts';

/** Grows by optional fields only: open workflows replay with what they were started with. */
export const HousekeepingInput = z
  .strictObject({
    hours: z
      .int()
      .min(1)
      .max(500)
      .optional()
      .describe('Most hours that one run takes up; the rest is for the next. Default 48'),
  })
  .meta({ id: 'HousekeepingInput' });
export type HousekeepingInput = z.infer<typeof HousekeepingInput>;

/** What became of one hour of the prediction log. */
export const ClosedHour = z.strictObject({
  hour: z.iso.datetime(),
  k: z.int().describe('Number of the manifest that counts now'),
  segments: z.int().describe('Raw segments that were compacted; 0: only what was left over was removed'),
  answers: z.int(),
  shadowScores: z.int(),
  labels: z.int(),
  broken: z.int().describe('Lines that were not records'),
  removed: z.int().describe('Keys'),
});
export type ClosedHour = z.infer<typeof ClosedHour>;

/** Hours that a model lost because it keeps its log for so many days. */
export const RetiredHours = z.strictObject({
  model: ModelName,
  logDays: z.int(),
  hours: z.int(),
  bytes: z.int(),
  waiting: z.int().describe('Hours left for the next run'),
});
export type RetiredHours = z.infer<typeof RetiredHours>;

export const HousekeepingResult = z.strictObject({
  at: z.iso.datetime().describe('The time that it was done for'),
  closed: z.array(ClosedHour),
  waiting: z.int().describe('Hours left for the next run'),
  retired: z.array(RetiredHours),
});
export type HousekeepingResult = z.infer<typeof HousekeepingResult>;

import * as z from 'zod';

/** One thing that is wrong with an input: where, what came, what is allowed. */
export const Issue = z.strictObject({
  at: z.string().describe('Field, or row and field: rows[3].lead_time'),
  found: z.string().describe('What came, shortened'),
  expected: z.string().describe('What is allowed'),
});
export type Issue = z.infer<typeof Issue>;

/** RFC 9457 problem details; every error of the API leaves in this shape. */
export const Problem = z
  .object({
    type: z.string().default('about:blank'),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
    instance: z.string().optional(),
    issues: z.array(Issue).optional().describe('Each field that was wrong'),
    next: z.string().optional().describe('What to do about it'),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' });
export type Problem = z.infer<typeof Problem>;

/**
 * A mistake of whoever described the model, gave the input or owns the machine; never a fault of ours.
 * The text says what happened, where, what was expected and what to do next.
 */
export class UserError extends Error {
  readonly type: string;
  readonly issues: Issue[];
  constructor(type: string, message: string, issues: Issue[] = []) {
    super(message);
    this.name = 'UserError';
    this.type = type;
    this.issues = issues;
  }
}

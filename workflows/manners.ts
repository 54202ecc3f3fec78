import { ApplicationFailure, setWorkflowOptions, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import * as z from 'zod';
import type { Cause } from '../schemas/index.ts';

/** As a net: a schema's error that escapes fails the workflow, where it would otherwise be retried for ever. */
export const failOnBadInput = <W extends (...args: never[]) => Promise<unknown>>(workflow: W): void =>
  setWorkflowOptions({ failureExceptionTypes: [z.ZodError] }, workflow as never);

/** Errors that no repetition mends: they fail the step at once, and the workflow with it, for a person to see. */
export const OUR_MISTAKES = ['RangeError', 'TypeError', 'ReferenceError', 'ZodError'];

/** Parses a workflow's one input, or fails at once with a text that says field, what was given and what is expected. */
export function inputOf<T>(schema: z.ZodType<T>, input: unknown, example: string): T {
  const parsed = schema.safeParse(input ?? {});
  if (parsed.success) return parsed.data;
  const given = JSON.stringify(input) ?? 'nothing';
  throw ApplicationFailure.create({
    type: 'InvalidInput',
    message: `${workflowInfo().workflowType} cannot start with ${given}:\n${z.prettifyError(parsed.error)}\nExpected, for example: ${example}`,
    nonRetryable: true,
  });
}

/** Ids of rollouts and rollbacks say which model they hold, so that a second start is seen to be one. */
export function expectWorkflowId(expected: string): void {
  const { workflowId, workflowType } = workflowInfo();
  if (workflowId === expected) return;
  throw ApplicationFailure.create({
    type: 'WrongWorkflowId',
    message: `${workflowType} of this model must run under the workflow id ${expected}; it was started as ${workflowId}. Start it again with that id.`,
    nonRetryable: true,
  });
}

const model = defineSearchAttributeKey('GauntletModel', SearchAttributeType.KEYWORD);
const stage = defineSearchAttributeKey('GauntletStage', SearchAttributeType.KEYWORD);
const outcome = defineSearchAttributeKey('GauntletOutcome', SearchAttributeType.KEYWORD);
const version = defineSearchAttributeKey('GauntletVersion', SearchAttributeType.INT);

/** Makes `temporal workflow list --query "GauntletModel='x' and GauntletStage='train'"` answer. */
export function mark(marks: { model?: string; stage?: string; outcome?: string; version?: number }): void {
  upsertSearchAttributes([
    ...(marks.model === undefined ? [] : [{ key: model, value: marks.model }]),
    ...(marks.stage === undefined ? [] : [{ key: stage, value: marks.stage }]),
    ...(marks.outcome === undefined ? [] : [{ key: outcome, value: marks.outcome }]),
    ...(marks.version === undefined ? [] : [{ key: version, value: marks.version }]),
  ]);
}

export function causeOf(step: string): Cause {
  const { workflowId, runId } = workflowInfo();
  return { workflowId, runId, step };
}

/** The workflow's clock, which replay and skipped time agree with; activities live on another. */
export function now(): string {
  return new Date().toISOString();
}

const scheduledStart = defineSearchAttributeKey('TemporalScheduledStartTime', SearchAttributeType.DATETIME);

/** When a schedule meant it to run, so that a backfill or a late run does what it would have done then; undefined where none did. */
export function scheduledFor(): string | undefined {
  return workflowInfo().typedSearchAttributes.get(scheduledStart)?.toISOString();
}

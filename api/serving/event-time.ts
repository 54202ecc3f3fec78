import { parseDate, parseTimestamp } from '../../onnx/index.ts';
import type { ModelVersion, Resolution } from '../../schemas/index.ts';
import { ProblemError } from '../problem.ts';

export const EVENT_TIME_HEADER = 'x-gauntlet-event-time';

/** When a prediction is for, and who says so. */
export interface EventTime {
  ms: number;
  by: 'server' | 'client';
  resolution: Resolution;
}

/**
 * The event time of a request: the server's clock, or the client's word where the model allows it.
 *
 * @throws {ProblemError} 422 where it is not allowed, or no time
 */
export function eventTimeOf(version: ModelVersion, given: string | undefined, nowMs: number): EventTime {
  if (given === undefined) return { ms: nowMs, by: 'server', resolution: 'instant' };
  if (!version.serving?.allowEventTime)
    throw refused(
      `${version.model} does not let a request say when it happened.`,
      `Leave the header out, or set serving.allowEventTime: true in its model.yaml, apply it and train it again.`,
    );
  const days = parseDate(given);
  if (days !== undefined) return { ms: days * 86_400_000, by: 'client', resolution: 'day' };
  const seconds = parseTimestamp(given);
  if (seconds !== undefined) return { ms: seconds * 1000, by: 'client', resolution: 'instant' };
  throw refused(
    `It is ${JSON.stringify(given.slice(0, 40))}; expected a time such as 2017-03-01T12:00:00Z, or a date.`,
    'Send such a time, or leave the header out: then it is now.',
  );
}

const refused = (detail: string, next: string): ProblemError =>
  new ProblemError({
    status: 422,
    type: 'invalid-header',
    title: `The header ${EVENT_TIME_HEADER} is not taken`,
    detail,
    next,
  });

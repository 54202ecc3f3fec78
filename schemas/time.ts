import * as z from 'zod';

/** Seconds, minutes, hours, days or weeks: "14 days". */
export const Duration = z
  .string()
  .regex(
    /^\d+(\.\d+)? (seconds?|minutes?|hours?|days?|weeks?)$/,
    'a duration is a number and a unit, such as "14 days"',
  );

const UNIT_MS: Record<string, number> = {
  second: 1000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
  week: 604_800_000,
};

/** Milliseconds of a Duration. @example durationMs('1.5 hours') // 5400000 */
export function durationMs(duration: string): number {
  const [amount, unit] = duration.split(' ');
  return Math.round(Number(amount) * UNIT_MS[unit!.replace(/s$/, '')]!);
}

/** 1970-01-05: weeks begin on Mondays. */
export const FIRST_MONDAY_MS = 4 * UNIT_MS['day']!;

/** A calendar date (midnight UTC) or an ISO 8601 instant. YAML's own dates arrive as text. */
export const Instant = z
  .string()
  .regex(
    /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/,
    'a time is 2016-07-01 or 2016-07-01T12:00:00Z',
  )
  .refine((text) => !Number.isNaN(instantMs(text)), 'there is no such date');

/** Milliseconds since 1970 of an Instant; without a zone it is UTC, as everywhere. NaN for a day that no calendar has. */
export function instantMs(text: string): number {
  const [, day, time = '00:00', zone = 'Z'] = /^(.{10})(?:[T ](.*?)(Z|[+-]\d{2}:?\d{2})?)?$/.exec(text) ?? [];
  const midnight = new Date(`${day}T00:00:00Z`);
  if (Number.isNaN(midnight.getTime()) || midnight.toISOString().slice(0, 10) !== day) return NaN;
  return Date.parse(`${day}T${time}${zone}`);
}

/** Calendar texts to numbers, in UTC. Only real dates: 2017-02-30 is none. Years 0001 to 9999. */

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;
const TIMESTAMP = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?(Z|[+-]\d{2}:?\d{2})?)?$/;

/** The last day that a date of four digits can name, 9999-12-31, and the first, 0001-01-01. */
export const LAST_DAY = 2_932_896;
export const FIRST_DAY = -719_162;

export const DAY_SECONDS = 86_400;

/** Days since 1970-01-01 of YYYY-MM-DD; undefined if it is no date. */
export function parseDate(text: string): number | undefined {
  const match = DATE.exec(text);
  if (!match) return undefined;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const real = year > 0 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return real ? date.getTime() / 1000 / DAY_SECONDS : undefined;
}

/**
 * Seconds since 1970 of an ISO 8601 time: 2017-03-01, 2017-03-01T12:00Z, 2017-03-01 12:00:00.5+02:00.
 * Without an offset it is UTC, a date alone is its midnight. undefined if it is no time.
 */
export function parseTimestamp(text: string): number | undefined {
  const match = TIMESTAMP.exec(text);
  if (!match) return undefined;
  const days = parseDate(match[1]!);
  const [hour, minute, second] = [Number(match[2] ?? 0), Number(match[3] ?? 0), Number(match[4] ?? 0)];
  if (days === undefined || hour > 23 || minute > 59 || second >= 60) return undefined;
  const offset = offsetSeconds(match[5]);
  return offset === undefined ? undefined : days * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
}

function offsetSeconds(text = 'Z'): number | undefined {
  if (text === 'Z') return 0;
  const [hours, minutes] = [Number(text.slice(1, 3)), Number(text.slice(-2))];
  if (hours > 23 || minutes > 59) return undefined;
  return (text.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/** Numbers as evidence has them, and as a reason says them. */
import { FIRST_MONDAY_MS } from '../schemas/index.ts';

/** JSON may hold none where a number is expected: that is no number, not 0. */
export const read = (value: number | null | undefined): number => (Number.isFinite(value) ? value! : NaN);

/** What was counted, was counted. */
export const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** Four digits that count. @example show(0.0123456) // '0.01235' */
export function show(value: number): string {
  const rounded = Number(value.toPrecision(4));
  return String(Number.isFinite(rounded) ? rounded : value);
}

/** @example grouped(12345) // '12,345' */
export const grouped = (value: number): string => value.toLocaleString('en-US');

/** @example count(1, 'week') // '1 week', count(2, 'week') // '2 weeks' */
export const count = (n: number, what: string): string => `${grouped(n)} ${what}${n === 1 ? '' : 's'}`;

/** A share that rounds to nothing, or to all, still says that there is something. @example percent(0.0312) // '3.1 %' */
export function percent(share: number): string {
  const value = 100 * share;
  if (value > 0 && value < 0.1) return 'under 0.1 %';
  if (value > 99.9 && value < 100) return 'over 99.9 %';
  return `${String(Number(value.toFixed(1)))} %`;
}

/** The unit that a person would use. @example lasting(5_400_000) // '1.5 hours' */
export function lasting(ms: number): string {
  const [unit, name] = UNITS.find(([size]) => ms >= size) ?? [1000, 'second'];
  const amount = Number((ms / unit).toFixed(1));
  return `${amount} ${name}${amount === 1 ? '' : 's'}`;
}

const UNITS: readonly (readonly [number, string])[] = [
  [86_400_000, 'day'],
  [3_600_000, 'hour'],
  [60_000, 'minute'],
];

const DAY_MS = 86_400_000;

/** Where a block begins. @example blockName(2426, 'week') // 'week of 2016-07-04' */
export function blockName(block: number, unit: 'week' | 'day'): string {
  const begins = new Date(unit === 'week' ? FIRST_MONDAY_MS + block * 7 * DAY_MS : block * DAY_MS);
  if (Number.isNaN(begins.getTime())) return `${unit} ${block}`;
  return `${unit === 'week' ? 'week of ' : ''}${begins.toISOString().slice(0, 10)}`;
}

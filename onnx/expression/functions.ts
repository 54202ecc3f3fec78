import { DAY_SECONDS, parseDate } from '../instants.ts';
import type { Checking } from './check.ts';
import { constant, core, type Core, type CoreOp } from './core.ts';
import type { Expression, Type } from './types.ts';

export interface KnownFunction {
  /** How it is called, for messages and the guide. */
  signature: string;
  least: number;
  most: number;
  check(args: Expression[], checking: Checking, node: Expression): Core;
}

const ANY: readonly Type[] = ['number', 'string', 'boolean', 'date', 'timestamp', 'duration'];
const TIMES: readonly Type[] = ['date', 'timestamp'];

/** Every function of the expression language. Missing in, missing out, except in coalesce, if and is_missing. */
export const FUNCTIONS: Record<string, KnownFunction> = {
  if: {
    signature: 'if(condition, then, else)',
    least: 3,
    most: 3,
    check([condition, ...values], checking) {
      const test = checking.of(condition!, ['boolean'], 'a condition that is true or false');
      return joined('if', checking.alike(values, ANY, ''), [test]);
    },
  },
  coalesce: {
    signature: 'coalesce(value, other, ...): the first that is not missing',
    least: 2,
    most: Infinity,
    check: (args, checking) => joined('coalesce', checking.alike(args, ANY, '')),
  },
  is_missing: {
    signature: 'is_missing(value)',
    least: 1,
    most: 1,
    check: ([value], checking) => core('isMissing', 'boolean', [checking.node(value!)]),
  },
  year: datePart('year'),
  month: datePart('month'),
  day: datePart('day'),
  weekday: datePart('weekday', 'weekday(date): Monday is 1, Sunday is 7'),
  dayofyear: datePart('dayofyear'),
  hour: {
    signature: 'hour(timestamp): 0 to 23, UTC',
    least: 1,
    most: 1,
    check: ([time], checking) =>
      core('hour', 'number', [checking.of(time!, ['timestamp'], 'a timestamp: only it has an hour')], true),
  },
  date: {
    signature: 'date(timestamp): its day, UTC',
    least: 1,
    most: 1,
    check([time], checking) {
      const found = checking.of(time!, [...TIMES, 'string'], "a timestamp, or a text such as '2017-03-01'");
      if (found.type !== 'string') return dayOf(found);
      const day = typeof found.value === 'string' ? parseDate(found.value) : undefined;
      if (day === undefined) throw checking.mistake(time!, found, "a timestamp, or a text such as '2017-03-01'");
      return constant(day, 'date', true);
    },
  },
  abs: {
    signature: 'abs(number)',
    least: 1,
    most: 1,
    check([value], checking) {
      const of = checking.of(value!, ['number', 'duration'], 'a number or a duration');
      return core('abs', of.type, [of], of.whole);
    },
  },
  min: extreme('min'),
  max: extreme('max'),
  floor: numeric('floor', 'floor(number): the next whole number below', true),
  round: numeric('round', 'round(number): the nearest whole number, halves to the even one', true),
  ln: numeric('ln', 'ln(number): natural logarithm'),
  exp: numeric('exp', 'exp(number)'),
  sqrt: numeric('sqrt', 'sqrt(number)'),
};

function datePart(op: CoreOp, signature = `${op}(date)`): KnownFunction {
  return {
    signature,
    least: 1,
    most: 1,
    check: ([time], checking) => core(op, 'number', [dayOf(checking.of(time!, TIMES, 'a date or a timestamp'))], true),
  };
}

function dayOf(time: Core): Core {
  if (time.type === 'date') return time;
  const days = core('divide', 'timestamp', [time, constant(DAY_SECONDS, 'number', true)]);
  return core('floor', 'date', [days], true);
}

function extreme(op: 'min' | 'max'): KnownFunction {
  return {
    signature: `${op}(value, other, ...)`,
    least: 2,
    most: Infinity,
    check: (args, checking) =>
      joined(op, checking.alike(args, ['number', 'duration', ...TIMES], 'a number, a duration, a date or a timestamp')),
  };
}

function numeric(op: CoreOp, signature: string, whole = false): KnownFunction {
  return {
    signature,
    least: 1,
    most: 1,
    check([value], checking) {
      const result = core(op, 'number', [checking.of(value!, ['number'], 'a number')], whole);
      return op === 'ln' || op === 'exp' ? core('finite', 'number', [result]) : result;
    },
  };
}

function joined(op: CoreOp, values: Core[], before: Core[] = []): Core {
  return core(
    op,
    values[0]!.type,
    [...before, ...values],
    values.every(({ whole }) => whole),
  );
}

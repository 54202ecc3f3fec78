import type { Expression, Type } from '../../../onnx/index.ts';

/** One value: numbers, days, seconds (missing NaN), truths 0 and 1 (missing NaN), texts (missing ''). */
export interface Value {
  type: Type;
  value: number | string;
  /** Whether its type promises a whole number, or a duration of whole days. */
  whole: boolean;
}

/** The meaning of an expression, one row at a time, in the plainest TypeScript; written without the compiler in view. */
export function evaluate(node: Expression, row: Record<string, Value>): Value {
  const of = (child: Expression): Value => evaluate(child, row);
  switch (node.kind) {
    case 'number':
      return number(node.value, Number.isInteger(node.value));
    case 'string':
      return { type: 'string', value: node.value, whole: false };
    case 'boolean':
      return truth(node.value);
    case 'duration':
      return { type: 'duration', value: node.seconds, whole: node.seconds % 86_400 === 0 };
    case 'name':
      return row[node.name]!;
    case 'unary': {
      const operand = of(node.operand);
      return node.operator === 'not' ? truth(operand.value !== 1) : { ...operand, value: -n(operand) };
    }
    case 'call':
      return call(node.name, node.args.map(of));
    case 'binary':
      return binary(node.operator, of(node.left), of(node.right));
  }
}

function binary(operator: string, a: Value, b: Value): Value {
  const whole = a.whole && b.whole;
  switch (operator) {
    case 'and':
      return truth(a.value === 1 && b.value === 1);
    case 'or':
      return truth(a.value === 1 || b.value === 1);
    case '*':
      return { type: a.type === 'duration' ? 'duration' : b.type, value: n(a) * n(b), whole };
    case '/':
      return finite({ type: b.type === 'duration' ? 'number' : a.type, value: n(a) / n(b), whole: false });
    case '%': {
      const r = n(a) % n(b);
      return number(r * n(b) < 0 ? r + n(b) : r, whole);
    }
    case '+':
    case '-': {
      const sign = operator === '-' ? -1 : 1;
      if (a.type === b.type && !isTime(a)) return { ...a, value: n(a) + sign * n(b), whole };
      if (isTime(a) && isTime(b))
        return a.type === 'date' && b.type === 'date'
          ? number(n(a) - n(b), true)
          : number((seconds(a) - seconds(b)) / 86_400, false);
      const [time, by] = isTime(a) ? [a, b] : [b, a];
      if (time.type === 'date' && by.whole)
        return { type: 'date', value: n(time) + sign * (n(by) / 86_400), whole: true };
      return { type: 'timestamp', value: seconds(time) + sign * n(by), whole: false };
    }
    default:
      return truth(compare(operator, a, b));
  }
}

function compare(operator: string, a: Value, b: Value): boolean {
  if (missing(a) || missing(b)) return false;
  const [x, y] = isTime(a) && isTime(b) && a.type !== b.type ? [seconds(a), seconds(b)] : [a.value, b.value];
  if (operator === '=') return x === y;
  if (operator === '!=') return x !== y;
  if (operator === '<') return x < y;
  if (operator === '<=') return x <= y;
  if (operator === '>') return x > y;
  return x >= y;
}

function call(name: string, args: Value[]): Value {
  const [a] = args as [Value];
  const whole = args.every((arg) => arg.whole);
  switch (name) {
    case 'if': {
      const [then, other] = align(args.slice(1)) as [Value, Value];
      return { ...(a.value === 1 ? then : other), whole: then.whole && other.whole };
    }
    case 'coalesce': {
      const all = align(args);
      return { ...(all.find((arg) => !missing(arg)) ?? all.at(-1)!), whole };
    }
    case 'is_missing':
      return truth(missing(a));
    case 'min':
    case 'max': {
      const all = align(args);
      return { ...all[0]!, value: Math[name](...all.map(n)), whole };
    }
    case 'abs':
      return { ...a, value: Math.abs(n(a)) };
    case 'floor':
      return number(Math.floor(n(a)), true);
    case 'round': {
      const below = Math.floor(n(a));
      const rest = n(a) - below;
      if (rest === 0.5) return number(below % 2 === 0 ? below : below + 1, true);
      return number(rest < 0.5 ? below : Number.isNaN(rest) ? NaN : below + 1, true);
    }
    case 'sqrt':
      return number(Math.sqrt(n(a)), false);
    case 'ln':
      return finite(number(Math.log(n(a)), false));
    case 'exp':
      return finite(number(Math.exp(n(a)), false));
    case 'date':
      return { type: 'date', value: day(a), whole: true };
    case 'hour':
      return number(new Date(n(a) * 1000).getUTCHours(), true);
    default: {
      const date = new Date(day(a) * 86_400_000);
      const year = date.getUTCFullYear();
      const parts: Record<string, number> = {
        year,
        month: date.getUTCMonth() + 1,
        day: date.getUTCDate(),
        weekday: ((date.getUTCDay() + 6) % 7) + 1,
        dayofyear: (date.getTime() - Date.UTC(year, 0, 1)) / 86_400_000 + 1,
      };
      return number(parts[name]!, true);
    }
  }
}

const n = (value: Value): number => value.value as number;
const number = (value: number, whole: boolean): Value => ({ type: 'number', value, whole });
const truth = (value: boolean): Value => ({ type: 'boolean', value: Number(value), whole: false });
const isTime = ({ type }: Value): boolean => type === 'date' || type === 'timestamp';
const seconds = (time: Value): number => (time.type === 'date' ? n(time) * 86_400 : n(time));
const day = (time: Value): number => (time.type === 'date' ? n(time) : Math.floor(n(time) / 86_400));
const missing = ({ value }: Value): boolean => value === '' || Number.isNaN(value);
const finite = (value: Value): Value => (Number.isFinite(value.value) ? value : { ...value, value: NaN });

function align(values: Value[]): Value[] {
  const mixed = values.some(({ type }) => type === 'date') && values.some(({ type }) => type === 'timestamp');
  return mixed ? values.map((value) => ({ type: 'timestamp', value: seconds(value), whole: false })) : values;
}

import type { Type } from './types.ts';

/**
 * A checked expression: types are settled, and every conversion between dates, timestamps and durations is spelt out,
 * so that what follows sees only numbers, truths and texts.
 */
export interface Core {
  op: CoreOp;
  args: Core[];
  type: Type;
  /** A number that is never a fraction; a duration of whole days. */
  whole: boolean;
  /** Of a constant. */
  value?: number | string;
  /** Of an input. */
  name?: string;
}

export type CoreOp =
  | 'input'
  | 'constant'
  | 'add'
  | 'subtract'
  | 'multiply'
  | 'divide'
  | 'modulo'
  | 'negate'
  | 'abs'
  | 'min'
  | 'max'
  | 'floor'
  | 'round'
  | 'ln'
  | 'exp'
  | 'sqrt'
  | 'finite'
  | 'less'
  | 'lessOrEqual'
  | 'greater'
  | 'greaterOrEqual'
  | 'equal'
  | 'notEqual'
  | 'textEqual'
  | 'textNotEqual'
  | 'and'
  | 'or'
  | 'not'
  | 'if'
  | 'coalesce'
  | 'isMissing'
  | 'year'
  | 'month'
  | 'day'
  | 'weekday'
  | 'dayofyear'
  | 'hour';

export function core(op: CoreOp, type: Type, args: Core[], whole = false): Core {
  return { op, args, type, whole };
}

export function constant(value: number | string, type: Type, whole = false): Core {
  return { op: 'constant', args: [], type, whole, value };
}

/** Names of the inputs that it reads, each once, in order of appearance. */
export function inputsOf(expression: Core): string[] {
  const names = new Set<string>();
  const seen = new Set<Core>();
  const visit = (node: Core): void => {
    if (seen.has(node)) return;
    seen.add(node);
    if (node.name !== undefined) names.add(node.name);
    node.args.forEach(visit);
  };
  visit(expression);
  return [...names];
}

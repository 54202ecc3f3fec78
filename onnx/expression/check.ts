import { didYouMean, type InputSchema } from '../../schemas/index.ts';
import { DAY_SECONDS, parseDate, parseTimestamp } from '../instants.ts';
import { constant, core, type Core } from './core.ts';
import { FUNCTIONS } from './functions.ts';
import { parse } from './parse.ts';
import { ExpressionError, type Expression, type Type } from './types.ts';

export interface Scope {
  inputs: InputSchema;
  derived: Record<string, string>;
}

/**
 * Parses an expression and settles its types.
 *
 *   date ± whole days = date          date ± other duration = timestamp      timestamp ± duration = timestamp
 *   date or timestamp − date or timestamp = number of days                   duration / duration = number
 *   duration * number = duration      a date beside a timestamp is its midnight, UTC
 *   a text beside a date or timestamp is read as one: arrival_date >= '2017-01-01'
 *
 * A missing value makes what is computed from it missing, but a comparison with it is false, whichever it is, and a
 * missing boolean counts as false in and, or, not and if. What is not finite (x / 0, ln(0)) is missing.
 *
 * @param text   the expression
 * @param scope  what names stand for; `predicted_at` (timestamp) is always there; derived columns may use one another
 * @throws {ExpressionError} for what does not parse, is not known, has the wrong type, or goes in a circle
 */
export function check(text: string, scope: Scope): Core {
  return new Checker(scope).text(text);
}

/** Checks many expressions of one scope, each derived column once. */
export class Checker {
  private readonly scope: Scope;
  private readonly known = new Map<string, { core: Core } | { error: unknown }>();
  private readonly open: string[] = [];
  private readonly origins = new Map<unknown, string>();

  constructor(scope: Scope) {
    this.scope = scope;
  }

  text(text: string): Core {
    return new Checking(text, (node) => this.named(text, node)).node(parse(text));
  }

  /** @throws {ExpressionError} the same object for each use of a derived column that has a mistake */
  derived(name: string): Core {
    let known = this.known.get(name);
    if (!known) {
      this.open.push(name);
      try {
        known = { core: this.text(this.scope.derived[name]!) };
      } catch (error) {
        known = { error };
        if (!this.origins.has(error)) this.origins.set(error, name);
      }
      this.open.pop();
      this.known.set(name, known);
    }
    if ('error' in known) throw known.error;
    return known.core;
  }

  /** The derived column in whose text a mistake is; undefined if it is in none. */
  originOf(error: unknown): string | undefined {
    return this.origins.get(error);
  }

  private named(text: string, node: Expression & { kind: 'name' }): Core {
    const { name } = node;
    const { inputs, derived } = this.scope;
    if (name === 'predicted_at') return { op: 'input', args: [], type: 'timestamp', whole: false, name };
    if (Object.hasOwn(inputs, name)) {
      const { type } = inputs[name]!;
      return {
        op: 'input',
        args: [],
        type: type === 'integer' ? 'number' : type,
        whole: type === 'integer',
        name,
      };
    }
    if (!Object.hasOwn(derived, name)) {
      const names = ['predicted_at', ...Object.keys(inputs), ...Object.keys(derived)];
      throw new ExpressionError(
        text,
        node,
        `the unknown name ${name}`,
        `an input, a derived column or predicted_at.${didYouMean(name, names)}`,
      );
    }
    if (this.open.includes(name))
      throw new ExpressionError(
        text,
        node,
        `${[...this.open, name].join(', which uses ')}`,
        'derived columns that do not go in a circle',
      );
    return this.derived(name);
  }
}

/** One expression being checked; keeps its text for the errors. */
export class Checking {
  readonly text: string;
  private readonly name: (node: Expression & { kind: 'name' }) => Core;

  constructor(text: string, name: (node: Expression & { kind: 'name' }) => Core) {
    this.text = text;
    this.name = name;
  }

  node(node: Expression): Core {
    switch (node.kind) {
      case 'number':
        return constant(node.value, 'number', Number.isInteger(node.value));
      case 'string':
        return constant(node.value, 'string');
      case 'boolean':
        return constant(Number(node.value), 'boolean');
      case 'duration':
        return constant(node.seconds, 'duration', node.seconds % DAY_SECONDS === 0);
      case 'name':
        return this.name(node);
      case 'call':
        return this.call(node);
      case 'unary':
        return this.unary(node);
      case 'binary':
        return this.binary(node);
    }
  }

  /** The checked node, which must be of one of these types. */
  of(node: Expression, types: readonly Type[], expected: string): Core {
    const checked = this.node(node);
    if (!types.includes(checked.type)) throw this.mistake(node, checked, expected);
    return checked;
  }

  /**
   * Values that become one value (if, coalesce, min, max): of one type, dates beside timestamps as their midnights.
   */
  alike(nodes: Expression[], types: readonly Type[], expected: string): Core[] {
    const checked = nodes.map((node) => this.of(node, types, expected));
    if (checked.every(isTime)) return alignTimes(checked);
    const first = checked[0]!;
    const other = checked.findIndex(({ type }) => type !== first.type);
    if (other > 0) throw this.mistake(nodes[other]!, checked[other]!, `${a(first.type)}, as the first value is`);
    return checked;
  }

  mistake(at: Expression, found: Core, expected: string): ExpressionError {
    const text = this.text.slice(at.from, at.to).replace(/\s+/g, ' ');
    return new ExpressionError(this.text, at, `${text} (${a(found.type)})`, expected);
  }

  private call(node: Expression & { kind: 'call' }): Core {
    const known = Object.hasOwn(FUNCTIONS, node.name) ? FUNCTIONS[node.name] : undefined;
    if (!known) {
      const names = Object.keys(FUNCTIONS);
      const near = didYouMean(node.name, names);
      const at = { from: node.from, to: node.from + node.name.length };
      throw new ExpressionError(
        this.text,
        at,
        `the unknown function ${node.name}`,
        near ? `a known function.${near}` : `one of ${names.join(', ')}`,
      );
    }
    const count = node.args.length;
    if (count < known.least || count > known.most) {
      const values = count === 1 ? '1 value' : `${count} values`;
      throw new ExpressionError(this.text, node, `${node.name} with ${values}`, known.signature);
    }
    return known.check(node.args, this, node);
  }

  private unary(node: Expression & { kind: 'unary' }): Core {
    if (node.operator === 'not')
      return core('not', 'boolean', [this.of(node.operand, ['boolean'], 'true or false after not')]);
    const operand = this.of(node.operand, ['number', 'duration'], 'a number or a duration after -');
    return core('negate', operand.type, [operand], operand.whole);
  }

  private binary(node: Expression & { kind: 'binary' }): Core {
    const { operator } = node;
    if (operator === 'and' || operator === 'or') {
      const expected = `true or false on both sides of ${operator}`;
      const left = this.of(node.left, ['boolean'], expected);
      return core(operator, 'boolean', [left, this.of(node.right, ['boolean'], expected)]);
    }
    if (operator === '+' || operator === '-') return this.sum(node, operator);
    if (operator === '*' || operator === '/' || operator === '%') return this.product(node, operator);
    return this.comparison(node, operator);
  }

  private sum(node: Expression & { kind: 'binary' }, operator: '+' | '-'): Core {
    const left = this.node(node.left);
    const right = this.node(node.right);
    const op = operator === '+' ? 'add' : 'subtract';
    if (left.type === right.type && (left.type === 'number' || left.type === 'duration'))
      return core(op, left.type, [left, right], left.whole && right.whole);
    if (isTime(left) && right.type === 'duration') return shifted(op, left, right);
    if (operator === '+' && left.type === 'duration' && isTime(right)) return shifted(op, right, left);
    if (operator === '-' && isTime(left) && isTime(right)) {
      if (left.type === 'date' && right.type === 'date') return core('subtract', 'number', [left, right], true);
      return days(core('subtract', 'duration', [seconds(left), seconds(right)]), 'number');
    }
    if (isTime(left) && right.type === 'number')
      throw this.mistake(node.right, right, `a duration, such as ${right.value ?? 14} days`);
    const fits: Record<Type, string> = {
      number: 'a number',
      duration: operator === '+' ? 'a duration, a date or a timestamp' : 'a duration',
      date: operator === '+' ? 'a duration' : 'a duration, a date or a timestamp',
      timestamp: operator === '+' ? 'a duration' : 'a duration, a date or a timestamp',
      string: '',
      boolean: '',
    };
    if (fits[left.type] === '')
      throw this.mistake(node.left, left, `a number, a duration, a date or a timestamp before ${operator}`);
    throw this.mistake(node.right, right, `${fits[left.type]} after ${a(left.type)} ${operator}`);
  }

  private product(node: Expression & { kind: 'binary' }, operator: '*' | '/' | '%'): Core {
    const types: readonly Type[] = operator === '%' ? ['number'] : ['number', 'duration'];
    const expected = `${operator === '%' ? 'a number' : 'a number or a duration'} on both sides of ${operator}`;
    const left = this.of(node.left, types, expected);
    const right = this.of(node.right, types, expected);
    if (operator === '%') return core('modulo', 'number', [left, right], left.whole && right.whole);
    if (operator === '*') {
      if (left.type === 'duration' && right.type === 'duration')
        throw this.mistake(node.right, right, 'a number: two durations cannot be multiplied');
      const type = left.type === 'duration' ? 'duration' : right.type;
      return core('multiply', type, [left, right], left.whole && right.whole);
    }
    if (left.type === 'number' && right.type === 'duration')
      throw this.mistake(node.right, right, 'a number: only a duration can be divided by a duration');
    const type = right.type === 'duration' ? 'number' : left.type;
    const quotient = core('divide', type, [left, right]);
    const safe = right.op === 'constant' && right.value !== 0;
    return safe ? quotient : core('finite', type, [quotient]);
  }

  private comparison(node: Expression & { kind: 'binary' }, operator: '=' | '!=' | '<' | '<=' | '>' | '>='): Core {
    let left = this.node(node.left);
    let right = this.node(node.right);
    if (isTime(right)) left = this.literalTime(node.left, left);
    if (isTime(left)) right = this.literalTime(node.right, right);
    if (isTime(left) && isTime(right)) [left, right] = alignTimes([left, right]) as [Core, Core];
    if (left.type !== right.type) {
      const hint = isTime(left) ? `, or a text such as '2017-03-01'` : '';
      throw this.mistake(node.right, right, `${a(left.type)}${hint}, to compare with ${a(left.type)}`);
    }
    const isEquality = operator === '=' || operator === '!=';
    if (!isEquality && (left.type === 'string' || left.type === 'boolean'))
      throw this.mistake(node, left, `= or !=: ${left.type}s have no order`);
    if (left.type === 'string') {
      for (const [at, side] of [
        [node.left, left],
        [node.right, right],
      ] as const)
        if (side.value === '') throw this.mistake(at, side, 'is_missing(...): an empty text is a missing one');
      return core(operator === '=' ? 'textEqual' : 'textNotEqual', 'boolean', [left, right]);
    }
    return core(COMPARISONS[operator], 'boolean', [left, right]);
  }

  private literalTime(node: Expression, found: Core): Core {
    if (found.op !== 'constant' || typeof found.value !== 'string') return found;
    const date = parseDate(found.value);
    if (date !== undefined) return constant(date, 'date', true);
    const timestamp = parseTimestamp(found.value);
    if (timestamp !== undefined) return constant(timestamp, 'timestamp');
    throw this.mistake(node, found, `a date such as '2017-03-01' or a time such as '2017-03-01T12:00:00Z'`);
  }
}

const COMPARISONS = {
  '=': 'equal',
  '!=': 'notEqual',
  '<': 'less',
  '<=': 'lessOrEqual',
  '>': 'greater',
  '>=': 'greaterOrEqual',
} as const;

export function isTime({ type }: Core): boolean {
  return type === 'date' || type === 'timestamp';
}

/** A timestamp as it is, a date as its midnight. */
function seconds(time: Core): Core {
  return time.type === 'date' ? core('multiply', 'timestamp', [time, constant(DAY_SECONDS, 'number', true)]) : time;
}

/** Seconds as days, not rounded. */
function days(of: Core, type: Type): Core {
  return core('divide', type, [of, constant(DAY_SECONDS, 'number', true)]);
}

function alignTimes(times: Core[]): Core[] {
  return times.every(({ type }) => type === 'date') ? times : times.map(seconds);
}

function shifted(op: 'add' | 'subtract', time: Core, by: Core): Core {
  if (time.type === 'date' && by.whole) return core(op, 'date', [time, days(by, 'duration')], true);
  return core(op, 'timestamp', [seconds(time), by]);
}

/** With its article, for messages. */
export function a(type: Type): string {
  return type === 'string' ? 'a text' : `a ${type}`;
}

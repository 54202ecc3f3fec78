import { didYouMean } from '../../schemas/index.ts';
import { tokens, type Token } from './tokens.ts';
import { ExpressionError, type BinaryOperator, type Expression } from './types.ts';

const UNIT_SECONDS: Record<string, number> = { second: 1, minute: 60, hour: 3600, day: 86_400, week: 604_800 };
const UNITS = Object.keys(UNIT_SECONDS).flatMap((unit) => [unit, `${unit}s`]);

/** How tightly an operator holds its operands. Comparisons do not chain: a < b < c is a mistake. */
const BINDING: Record<string, number> = {
  or: 1,
  and: 2,
  '=': 4,
  '==': 4,
  '!=': 4,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
  '%': 6,
};
const NOT_BINDING = 3;
const COMPARISON_BINDING = 4;
const MINUS_BINDING = 7;

/** Recursion in parser, checker and compiler is as deep as the expression, so its size is limited. */
const MAX_LENGTH = 2000;
const MAX_DEPTH = 100;

/**
 * Parses an expression of model.yaml: a Pratt parser.
 *
 * Loosest first: or; and; not; = (or ==) != < <= > >=; + -; * / %; unary minus; a name, a number, a string in ' or "
 * (doubled inside itself), true, false, a duration such as `14 days`, a call, parentheses.
 *
 * @throws {ExpressionError} with the column of the mistake
 * @example parse('arrival_date + 14 days')
 */
export function parse(text: string): Expression {
  if (text.length > MAX_LENGTH)
    throw new ExpressionError(
      `${text.slice(0, 40)}…`,
      { from: 0, to: 1 },
      `an expression of ${text.length} characters`,
      `at most ${MAX_LENGTH}: split it into several derived columns`,
    );
  return new Parser(text).all();
}

class Parser {
  private readonly text: string;
  private readonly tokens: Token[];
  private position = 0;
  private depth = 0;

  constructor(text: string) {
    this.text = text;
    this.tokens = tokens(text);
  }

  all(): Expression {
    const expression = this.expression(0);
    const rest = this.peek();
    if (rest.kind !== 'end') throw this.unexpected(rest, 'an operator or the end');
    return expression;
  }

  private expression(minBinding: number): Expression {
    if (++this.depth > MAX_DEPTH)
      throw this.unexpected(this.peek(), `at most ${MAX_DEPTH} levels of nesting: split it into derived columns`);
    let left = this.prefix();
    for (;;) {
      const token = this.peek();
      const binding = isOperator(token) ? BINDING[token.text]! : 0;
      if (binding === 0 || binding <= minBinding) break;
      this.position++;
      const right = this.expression(binding);
      const next = this.peek();
      if (binding === COMPARISON_BINDING && isOperator(next) && BINDING[next.text] === COMPARISON_BINDING)
        throw this.unexpected(next, 'one comparison at a time: join two with and');
      const operator = (token.text === '==' ? '=' : token.text) as BinaryOperator;
      left = { kind: 'binary', operator, left, right, from: left.from, to: right.to };
    }
    this.depth--;
    return left;
  }

  private prefix(): Expression {
    const token = this.peek();
    this.position++;
    const { from, to } = token;
    if (token.kind === 'number') return this.numberOrDuration(token.value, from, to);
    if (token.kind === 'string') return { kind: 'string', value: token.value, from, to };
    if (token.text === '(') {
      const inner = this.expression(0);
      const end = this.expect(')', 'an operator or )');
      return { ...inner, from, to: end.to };
    }
    if (token.text === '-') {
      const operand = this.expression(MINUS_BINDING);
      return { kind: 'unary', operator: '-', operand, from, to: operand.to };
    }
    if (token.kind !== 'name' || token.text === 'and' || token.text === 'or') {
      this.position--;
      throw this.unexpected(token, 'a name, a number, a string, a call or (');
    }
    if (token.text === 'not') {
      const operand = this.expression(NOT_BINDING);
      return { kind: 'unary', operator: 'not', operand, from, to: operand.to };
    }
    if (token.text === 'true' || token.text === 'false')
      return { kind: 'boolean', value: token.text === 'true', from, to };
    if (this.peek().text === '(' && this.peek().kind === 'operator') return this.call(token.text, from);
    return { kind: 'name', name: token.text, from, to };
  }

  private numberOrDuration(value: number, from: number, to: number): Expression {
    const unit = this.peek();
    if (unit.kind !== 'name' || isOperator(unit)) return { kind: 'number', value, from, to };
    const seconds = UNITS.includes(unit.text) ? UNIT_SECONDS[unit.text.replace(/s$/, '')]! : undefined;
    if (seconds === undefined)
      throw this.unexpected(
        unit,
        `an operator, or a unit of time: seconds, minutes, hours, days or weeks.${didYouMean(unit.text, UNITS)}`,
      );
    this.position++;
    return { kind: 'duration', seconds: value * seconds, from, to: unit.to };
  }

  private call(name: string, from: number): Expression {
    this.position++;
    const args: Expression[] = [];
    while (this.peek().text !== ')' || this.peek().kind !== 'operator') {
      if (args.length > 0) this.expect(',', 'an operator, a comma or )');
      args.push(this.expression(0));
    }
    const end = this.peek();
    this.position++;
    return { kind: 'call', name, args, from, to: end.to };
  }

  private expect(text: string, expected: string): Token {
    const token = this.peek();
    if (token.kind !== 'operator' || token.text !== text) throw this.unexpected(token, expected);
    this.position++;
    return token;
  }

  /** The end token is never stepped over, so there is always one. */
  private peek(): Token {
    return this.tokens[Math.min(this.position, this.tokens.length - 1)]!;
  }

  private unexpected(token: Token, expected: string): ExpressionError {
    return new ExpressionError(this.text, token, token.text, expected);
  }
}

function isOperator(token: Token): boolean {
  return (token.kind === 'operator' || token.kind === 'name') && Object.hasOwn(BINDING, token.text);
}

import { UserError } from '../../schemas/index.ts';

/** What an expression can be. A date is days since 1970-01-01, a timestamp and a duration are seconds, in UTC. */
export type Type = 'number' | 'string' | 'boolean' | 'date' | 'timestamp' | 'duration';

export type BinaryOperator = '+' | '-' | '*' | '/' | '%' | '=' | '!=' | '<' | '<=' | '>' | '>=' | 'and' | 'or';

/** A parsed expression. Every node knows its text: characters [from, to). */
export type Expression = { from: number; to: number } & (
  | { kind: 'number'; value: number }
  | { kind: 'string'; value: string }
  | { kind: 'boolean'; value: boolean }
  | { kind: 'duration'; seconds: number }
  | { kind: 'name'; name: string }
  | { kind: 'call'; name: string; args: Expression[] }
  | { kind: 'unary'; operator: '-' | 'not'; operand: Expression }
  | { kind: 'binary'; operator: BinaryOperator; left: Expression; right: Expression }
);

/** A mistake in an expression, with its place: the message shows the text and a caret under the place. */
export class ExpressionError extends UserError {
  readonly column: number;
  readonly found: string;
  readonly expected: string;

  /**
   * @param text      the whole expression
   * @param at        where the mistake is: characters [from, to) of the text
   * @param found     what is there
   * @param expected  what would be right, and what to do
   */
  constructor(text: string, at: { from: number; to: number }, found: string, expected: string) {
    const column = at.from + 1;
    const oneLine = text.replace(/\s/g, ' ');
    super(
      'BadExpression',
      `column ${column}: ${found}; expected ${expected}\n  ${oneLine}\n  ${' '.repeat(at.from)}${'^'.repeat(Math.max(1, at.to - at.from))}`,
    );
    this.column = column;
    this.found = `${found} at column ${column} of ${oneLine}`;
    this.expected = expected;
  }
}

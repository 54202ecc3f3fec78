import { UserError, type GraphSpec, type Issue } from '../schemas/index.ts';
import { a, Checker, ExpressionError, inputsOf, type Core } from './expression/index.ts';

/** Names that the graph's outputs have. */
const OUTPUT_NAMES: readonly string[] = ['features', 'scores'];

/** A column that the trainer sees, or a derived one on its way there. */
export interface GraphColumn {
  name: string;
  expression: Core;
  impute: boolean;
}

/** A checked graph description: what each feature is made of, in the order of the matrix. */
export interface GraphColumns {
  features: GraphColumn[];
  derived: GraphColumn[];
  maturesAt: Core;
  /** Raw inputs that anything reads, in the order of the description; predicted_at last, if anything reads it. */
  inputs: string[];
}

/**
 * What is wrong with a description's expressions and names; empty if nothing is.
 * `at` is derived.<name>, label.maturesAt or inputs.<name>.
 */
export function checkGraphSpec(graph: GraphSpec): Issue[] {
  return mistakesIn(graph).map(({ issue }) => issue);
}

/** @throws {UserError} where {@link checkGraphSpec} finds issues; shows each expression with a caret under the place */
export function graphColumns(graph: GraphSpec): GraphColumns {
  const mistakes = mistakesIn(graph);
  if (mistakes.length > 0)
    throw new UserError(
      'BadExpression',
      mistakes.map(({ issue, text }) => `${issue.at}: ${text}`).join('\n'),
      mistakes.map(({ issue }) => issue),
    );
  const checker = new Checker(graph);
  const derived = Object.keys(graph.derived).map((name) => ({ name, expression: checker.derived(name), impute: true }));
  const raw = Object.entries(graph.inputs)
    .filter(([, input]) => input.feature)
    .map(([name, input]) => ({
      name,
      expression: checker.text(name),
      impute: 'impute' in input && input.impute !== 'none',
    }));
  const maturesAt = checker.text(graph.maturesAt);
  const features = [...raw, ...derived];
  const read = new Set([...features.map(({ expression }) => expression), maturesAt].flatMap(inputsOf));
  const inputs = [...Object.keys(graph.inputs), 'predicted_at'].filter((name) => read.has(name));
  return { features, derived, maturesAt, inputs };
}

/** Inputs of the graph, in its order: those that a feature or `maturesAt` reads, predicted_at last if it is among them. */
export function graphInputs(graph: GraphSpec): string[] {
  return graphColumns(graph).inputs;
}

/** Whether the graph takes predicted_at beside the raw inputs. */
export function usesPredictedAt(graph: GraphSpec): boolean {
  return graphInputs(graph).includes('predicted_at');
}

function mistakesIn(graph: GraphSpec): { issue: Issue; text: string }[] {
  const mistakes: { issue: Issue; text: string }[] = [];
  const seen = new Set<unknown>();
  const checker = new Checker(graph);
  const attempt = (at: string, check: () => void): void => {
    try {
      check();
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      const origin = checker.originOf(error);
      const place = origin === undefined ? at : `derived.${origin}`;
      if (!seen.has(error))
        mistakes.push({
          issue: { at: place, found: error.found, expected: error.expected },
          text: error.message,
        });
      seen.add(error);
    }
  };
  for (const name of Object.keys(graph.inputs))
    if (OUTPUT_NAMES.includes(name) || name in Object.prototype) {
      const expected = 'another name: this one is taken';
      mistakes.push({ issue: { at: `inputs.${name}`, found: name, expected }, text: `${name}; expected ${expected}` });
    }
  for (const [name, text] of Object.entries(graph.derived))
    attempt(`derived.${name}`, () => mustBeFeature(text, checker.derived(name)));
  attempt('label.maturesAt', () => mustBeTime(graph.maturesAt, checker.text(graph.maturesAt)));
  return mistakes;
}

function mustBeFeature(text: string, expression: Core): void {
  mustReadSomething(text, expression);
  const { type } = expression;
  if (type === 'date' || type === 'timestamp')
    throw wrong(text, a(type), `a number, a truth or a text: a ${type} is no feature by itself, but its month is`);
  if (type === 'duration') throw wrong(text, a(type), 'a number: divide it by a duration, such as 1 day');
}

function mustBeTime(text: string, expression: Core): void {
  mustReadSomething(text, expression);
  if (expression.type !== 'date' && expression.type !== 'timestamp')
    throw wrong(text, a(expression.type), 'a date or a timestamp, such as predicted_at + 30 days');
}

function mustReadSomething(text: string, expression: Core): void {
  if (inputsOf(expression).length === 0)
    throw wrong(text, 'the same value for every row', 'an expression over at least one input or predicted_at');
}

function wrong(text: string, found: string, expected: string): ExpressionError {
  return new ExpressionError(text, { from: 0, to: text.length }, found, expected);
}

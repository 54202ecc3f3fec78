import { ExpressionError } from './types.ts';

export type Token = { from: number; to: number; text: string } & (
  { kind: 'number'; value: number } | { kind: 'string'; value: string } | { kind: 'name' | 'operator' | 'end' }
);

const PATTERN =
  /\s*(?:(?<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?<name>[A-Za-z_][A-Za-z0-9_]*)|(?<string>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?<operator>==|!=|<=|>=|[-+*/%=<>(),]))/uy;

/**
 * Cuts an expression into tokens; the last one is the end.
 *
 * @throws {ExpressionError} at a character that begins no token, a string without its end, or a number beyond a double
 */
export function tokens(text: string): Token[] {
  const found: Token[] = [];
  PATTERN.lastIndex = 0;
  let at = 0;
  while (text.slice(at).trim() !== '') {
    PATTERN.lastIndex = at;
    const match = PATTERN.exec(text);
    if (!match?.groups) throw unreadable(text, at + text.slice(at).search(/\S/));
    const to = PATTERN.lastIndex;
    const { number, name, string, operator } = match.groups;
    const raw = number ?? name ?? string ?? operator!;
    const place = { from: to - raw.length, to, text: raw };
    if (number !== undefined) {
      const value = Number(number);
      if (!Number.isFinite(value)) throw new ExpressionError(text, place, number, 'a number below 1.8e308');
      found.push({ ...place, kind: 'number', value });
    } else if (string !== undefined) {
      const quote = string[0]!;
      found.push({ ...place, kind: 'string', value: string.slice(1, -1).replaceAll(quote + quote, quote) });
    } else found.push({ ...place, kind: name === undefined ? 'operator' : 'name' });
    at = to;
  }
  found.push({ kind: 'end', from: text.length, to: text.length, text: 'the end' });
  return found;
}

function unreadable(text: string, from: number): ExpressionError {
  const character = String.fromCodePoint(text.codePointAt(from)!);
  const place = { from, to: from + character.length };
  if (character === "'" || character === '"')
    return new ExpressionError(text, place, 'a string without its end', `a closing ${character}`);
  return new ExpressionError(
    text,
    place,
    `the character ${character}`,
    'names, numbers, strings, parentheses, or one of + - * / % = != < <= > >= and or not',
  );
}

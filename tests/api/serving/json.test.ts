import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJson } from '../../../api/serving/index.ts';

describe('parseJson', () => {
  it.each([
    ['', 1, 1, 'the end of the text', 'a value'],
    ['{', 1, 2, 'the end of the text', 'a field name in double quotes, or }'],
    ['{"a": }', 1, 7, '}', 'a value'],
    ['{"a" 1}', 1, 6, '1', ': after "a"'],
    ['{"a": 1,}', 1, 9, '}', 'a field name in double quotes'],
    ['{"a": 1 "b": 2}', 1, 9, '"', ', or }'],
    ["{'a': 1}", 1, 2, "'", 'a field name in double quotes, or }'],
    ['[1, 2', 1, 6, 'the end of the text', ', or ]'],
    ['{"a": NaN}', 1, 7, 'N', 'a value'],
    ['{"a": 01}', 1, 7, '0', 'a value'],
    ['{\n  "a": 1,\n  "b": tru\n}', 3, 8, 't', 'a value'],
    ['{"a": "x\n"}', 1, 9, '\\n', 'a closing double quote'],
    ['{"a": "\\x"}', 1, 8, '\\', 'an escape such as \\n or \\u00e9'],
    ['["\\ud800"]', 1, 3, '\\ud800 alone', 'both halves of a surrogate pair, such as \\ud83d\\ude00'],
    ['["\\ude00\\ud83d"]', 1, 3, '\\ude00 alone', 'both halves of a surrogate pair, such as \\ud83d\\ude00'],
    ['{} {}', 1, 4, '{', 'the end of the text'],
    ['{"a": 1, "\\u0061": 2}', 1, 10, '"\\u0061" again', 'each field once'],
    ['['.repeat(100_000), 1, 17, 'one more level', 'at most 16 levels of nesting'],
  ])('%j is refused with its place', (text, line, column, found, expected) => {
    expect(parseJson(text)).toEqual({ ok: false, line, column, found, expected });
  });

  it('both halves of a surrogate pair are a character', () => {
    expect(parseJson('"\\ud83d\\uDE00"')).toEqual({ ok: true, value: '😀' });
  });

  it('a key called __proto__ is a field like any other', () => {
    const parsed = parseJson('{"__proto__": {"admin": true}}');
    expect(parsed.ok && Object.keys(parsed.value as object)).toEqual(['__proto__']);
  });

  it('what JSON.parse takes it takes, with the same value', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => {
        expect(parseJson(text)).toEqual({ ok: true, value: JSON.parse(text) as unknown });
      }),
    );
  });

  it('finds every key that is repeated, whatever the space around it and whatever looks like a key', () => {
    const space = fc.constantFrom('', ' ', '\n\t');
    const key = fc.constantFrom('a', 'b', 'a":', '\\u0061', '__proto__');
    const member = fc.tuple(space, key, space, fc.constantFrom('1', '"x\\":"', '["a", "b"]', '{"a": 1}'));
    fc.assert(
      fc.property(fc.array(member, { maxLength: 4 }), (members) => {
        const names = members.map(([, name]) => (name === '\\u0061' ? 'a' : name));
        const text = `{${members
          .map(([before, name, after, value]) => `${before}"${name === 'a":' ? 'a\\":' : name}"${after}:${value}`)
          .join(',')}}`;
        expect(parseJson(text).ok).toBe(new Set(names).size === names.length);
      }),
      { numRuns: 1000 },
    );
  });

  it('what JSON.parse refuses it refuses', () => {
    const nearJson = fc
      .tuple(fc.json({ maxDepth: 3 }), fc.nat(), fc.constantFrom('', ',', '"', '}', ']', '\\', '0', 'e', '\u0000', ' '))
      .map(([text, at, put]) => text.slice(0, at % (text.length + 1)) + put + text.slice((at % (text.length + 1)) + 1));
    fc.assert(
      fc.property(nearJson, (text) => {
        const parsed = parseJson(text);
        fc.pre(parsed.ok || parsed.expected !== 'each field once'); // which JSON.parse lets pass, whatever follows
        expect(parsed.ok).toBe(parses(text));
      }),
      { numRuns: 2000 },
    );
  });
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

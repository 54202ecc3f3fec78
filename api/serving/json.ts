/** Deeper than any request of ours: a batch is an object in an array in an object. */
const MAX_DEPTH = 16;

export type ParsedJson =
  { ok: true; value: unknown } | { ok: false; line: number; column: number; found: string; expected: string };

/**
 * JSON, with the place of the first mistake.
 *
 * JSON.parse decides nothing here on its own: it gives a position for some mistakes only, takes the last of two
 * equal keys without a word, makes half a character of a lone surrogate, which DuckDB cannot read in the log, and
 * builds nesting that later recursion would die of. So a text is walked, in O(characters), and refused where a key is
 * repeated, half of a surrogate pair stands alone or nesting is deeper than 16; unless it is plain to see that there is
 * nothing to find.
 *
 * @example parseJson('{"a": }') // { ok: false, line: 1, column: 7, found: '}', expected: 'a value' }
 */
export function parseJson(text: string): ParsedJson {
  const plain = parsePlain(text);
  if (plain) return plain;
  const mistake = new Walk(text).mistake();
  if (mistake === undefined) return { ok: true, value: JSON.parse(text) as unknown };
  const before = text.slice(0, mistake.at);
  return {
    ok: false,
    line: before.split('\n').length,
    column: mistake.at - before.lastIndexOf('\n'),
    found: mistake.found ?? (mistake.at >= text.length ? 'the end of the text' : printable(text, mistake.at)),
    expected: mistake.expected,
  };
}

const MAYBE_SURROGATE = /\\u[dD]/;

/** The value, where nothing is wrong with the text and that can be told fast: as nearly every request's is. */
function parsePlain(text: string): { ok: true; value: unknown } | undefined {
  if (MAYBE_SURROGATE.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const keys = countKeys(value, 0);
    return keys !== undefined && keys === countColonsOfKeys(text) ? { ok: true, value } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Colons after a double quote, with or without space between. Every key is followed by one, so a text with as many of
 * these as there are keys repeats none.
 */
function countColonsOfKeys(text: string): number {
  let found = 0;
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) {
    let before = at - 1;
    while (isSpace(text.charCodeAt(before))) before--;
    if (text.charCodeAt(before) === QUOTE) found++;
  }
  return found;
}

const isSpace = (code: number): boolean => code === 32 || code === 10 || code === 13 || code === 9;

/** Undefined where it is nested too deep. */
function countKeys(value: unknown, depth: number): number | undefined {
  if (typeof value !== 'object' || value === null) return 0;
  if (depth === MAX_DEPTH) return undefined;
  let keys = 0;
  if (Array.isArray(value)) {
    for (const one of value) {
      const inside = countKeys(one, depth + 1);
      if (inside === undefined) return undefined;
      keys += inside;
    }
    return keys;
  }
  // What JSON.parse makes inherits nothing that `in` would list, and no list is made of what there is.
  for (const key in value) {
    const inside = countKeys(value[key as never], depth + 1);
    if (inside === undefined) return undefined;
    keys += 1 + inside;
  }
  return keys;
}

function printable(text: string, at: number): string {
  const character = String.fromCodePoint(text.codePointAt(at)!);
  return character < ' ' ? JSON.stringify(character).slice(1, -1) : character;
}

interface Mistake {
  at: number;
  expected: string;
  found?: string;
}

const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;
const QUOTE = 34;
const BACKSLASH = 92;
const HIGH = 'u[dD][89abAB][0-9a-fA-F]{2}';
const LOW = 'u[dD][c-fC-F][0-9a-fA-F]{2}';
/** A pair of surrogates is one. */
const ESCAPE = new RegExp(String.raw`\\(?:["\\/bfnrt]|${HIGH}\\${LOW}|(?!${HIGH}|${LOW})u[0-9a-fA-F]{4})`, 'y');
const SURROGATE = new RegExp(String.raw`\\(?:${HIGH}|${LOW})`, 'y');

class Walk {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  mistake(): Mistake | undefined {
    const mistake = this.value(0);
    if (mistake) return mistake;
    this.space();
    return this.at < this.text.length ? { at: this.at, expected: 'the end of the text' } : undefined;
  }

  private space(): void {
    while (isSpace(this.text.charCodeAt(this.at))) this.at++;
  }

  private value(depth: number): Mistake | undefined {
    this.space();
    const character = this.text[this.at];
    if (character === '{' || character === '[') {
      if (depth === MAX_DEPTH)
        return { at: this.at, expected: `at most ${MAX_DEPTH} levels of nesting`, found: 'one more level' };
      return character === '{' ? this.object(depth) : this.array(depth);
    }
    if (character === '"') return this.string();
    SCALAR.lastIndex = this.at;
    if (!SCALAR.test(this.text)) return { at: this.at, expected: 'a value' };
    this.at = SCALAR.lastIndex;
    return undefined;
  }

  private object(depth: number): Mistake | undefined {
    const keys = new Set<string>();
    this.at++;
    this.space();
    if (this.skip('}')) return undefined;
    for (;;) {
      this.space();
      const from = this.at;
      if (this.text[from] !== '"')
        return {
          at: from,
          expected: keys.size === 0 ? 'a field name in double quotes, or }' : 'a field name in double quotes',
        };
      const mistake = this.string();
      if (mistake) return mistake;
      const quoted = this.text.slice(from, this.at);
      const key = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
      if (keys.has(key)) return { at: from, expected: 'each field once', found: `${shorten(quoted)} again` };
      keys.add(key);
      this.space();
      if (!this.skip(':')) return { at: this.at, expected: `: after ${shorten(quoted)}` };
      const inside = this.value(depth + 1);
      if (inside) return inside;
      this.space();
      if (this.skip('}')) return undefined;
      if (!this.skip(',')) return { at: this.at, expected: ', or }' };
    }
  }

  private array(depth: number): Mistake | undefined {
    this.at++;
    this.space();
    if (this.skip(']')) return undefined;
    for (;;) {
      const inside = this.value(depth + 1);
      if (inside) return inside;
      this.space();
      if (this.skip(']')) return undefined;
      if (!this.skip(',')) return { at: this.at, expected: ', or ]' };
    }
  }

  private string(): Mistake | undefined {
    for (this.at++; ;) {
      const code = this.text.charCodeAt(this.at);
      if (code === QUOTE) {
        this.at++;
        return undefined;
      }
      if (code === BACKSLASH) {
        ESCAPE.lastIndex = this.at;
        if (!ESCAPE.test(this.text)) return this.badEscape();
        this.at = ESCAPE.lastIndex;
      } else if (code >= 32) this.at++;
      else return { at: this.at, expected: 'a closing double quote' };
    }
  }

  private badEscape(): Mistake {
    SURROGATE.lastIndex = this.at;
    const half = SURROGATE.exec(this.text)?.[0];
    if (half === undefined) return { at: this.at, expected: 'an escape such as \\n or \\u00e9' };
    return { at: this.at, expected: 'both halves of a surrogate pair, such as \\ud83d\\ude00', found: `${half} alone` };
  }

  private skip(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }
}

const shorten = (text: string): string => (text.length > 60 ? `${text.slice(0, 57)}...` : text);

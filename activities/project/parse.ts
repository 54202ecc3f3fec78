import { isMap, isPair, isScalar, LineCounter, parseDocument, type Document, type YAMLError } from 'yaml';
import type * as z from 'zod';
import { didYouMean, ModelSpec, UserError, type Issue } from '../../schemas/index.ts';
import { keysAt } from './known-keys.ts';

const MOST_BYTES = 1_000_000;
const MOST_ALIASES = 100;
const MOST_ISSUES = 20;

/** A mistake, and where in the text it stands. */
interface Mistake {
  path: string;
  offset: number;
  found: string;
  expected: string;
}

/**
 * Reads model.yaml: every mistake at once (at most 20), each with its line and column, what was found and what was
 * expected. Defaults are filled in.
 *
 * @param file  what to call it in messages
 * @throws {UserError} `BadModelSpec`, with one issue for each mistake: `at` is `model.yaml:12:5 inputs.lead_time.min`
 */
export function parseModelSpec(text: string, file: string): ModelSpec {
  const lines = new LineCounter();
  if (Buffer.byteLength(text) > MOST_BYTES)
    throw refuse(file, lines, [
      { path: '', offset: 0, found: `${Buffer.byteLength(text)} bytes`, expected: `at most ${MOST_BYTES} bytes` },
    ]);
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  // A line indented too far is reported as a colon too many as well; only that it goes on in the next line is of use.
  const goesOn = document.errors.some(({ code }) => code === 'MULTILINE_IMPLICIT_KEY');
  const wrong = [...document.errors, ...document.warnings].filter(
    ({ code }) => !(goesOn && code === 'BLOCK_AS_IMPLICIT_KEY'),
  );
  if (wrong.length > 0)
    throw refuse(
      file,
      lines,
      wrong.map((error) => syntaxMistake(error, text)),
    );
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    throw refuse(file, lines, [
      {
        path: '',
        offset: Math.max(0, text.indexOf('*')),
        found: 'aliases (*name) that unfold to very many values',
        expected: `at most ${MOST_ALIASES} uses of what is anchored`,
      },
    ]);
  }
  const parsed = ModelSpec.safeParse(value ?? undefined);
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.flatMap((issue) => mistakesOf(issue, [], value, document));
  throw refuse(file, lines, mistakes);
}

function refuse(file: string, lines: LineCounter, mistakes: Mistake[]): UserError {
  // What stumbles over a mistake may stumble twice: the first word on each place is enough.
  const sorted = mistakes
    .filter((one, i) => mistakes.findIndex(({ offset, path }) => offset === one.offset && path === one.path) === i)
    .sort((a, b) => a.offset - b.offset);
  const issues: Issue[] = sorted.slice(0, MOST_ISSUES).map(({ path, offset, found, expected }) => {
    const { line, col } = lines.linePos(offset);
    return { at: `${file}:${line}:${col}${path && ` ${path}`}`, found, expected };
  });
  const listed = issues.map(({ at, found, expected }) => `\n${at}\n  found:    ${found}\n  expected: ${expected}`);
  const more = sorted.length - issues.length;
  return new UserError(
    'BadModelSpec',
    `${file} has ${sorted.length === 1 ? 'a mistake' : `${sorted.length} mistakes`}.\n${listed.join('\n')}\n\n` +
      `${more > 0 ? `And ${more} more.\n` : ''}Next: correct ${file}, and apply the project again.`,
    issues,
  );
}

const SYNTAX: Partial<Record<YAMLError['code'], [found: string, expected: string]>> = {
  TAB_AS_INDENT: ['a tab', 'spaces: YAML is not indented by tabs'],
  DUPLICATE_KEY: ['a key that is already there', 'each key once in its map'],
  MULTILINE_IMPLICIT_KEY: [
    'a value that goes on in the next line',
    'a key, a colon and a space on one line, and the next key in the same column',
  ],
  BLOCK_AS_IMPLICIT_KEY: [
    'two colons in one line',
    'one key and its value on a line; quotes around a text with a colon',
  ],
  MULTIPLE_DOCS: ['a second document after ---', 'one document'],
  ALIAS_PROPS: ['an alias with a tag or an anchor', 'a plain alias, such as *name'],
  MULTIPLE_ANCHORS: ['two anchors on one value', 'at most one anchor'],
  TAG_RESOLVE_FAILED: ['a tag that is not known', 'plain texts, numbers, true, false, lists and maps'],
};

function syntaxMistake({ code, message, pos }: YAMLError, text: string): Mistake {
  const said = message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, '');
  const line = text.slice(pos[0]).split('\n')[0]!.trim();
  const [found, expected] = SYNTAX[code] ?? [line === '' ? 'the end of a line' : shorten(line), `valid YAML: ${said}`];
  return {
    path: '',
    offset: pos[0],
    found: SYNTAX[code] && line !== '' ? `${found}: ${shorten(line)}` : found,
    expected,
  };
}

/** One zod issue is one mistake, or several: unknown keys are one each, a union is what its nearest branch says. */
function mistakesOf(issue: z.core.$ZodIssue, above: PropertyKey[], root: unknown, document: Document): Mistake[] {
  const path = [...above, ...issue.path];
  const mistake = (expected: string, at = path, found = foundAt(root, at)): Mistake => ({
    path: inDots(at),
    offset: offsetOf(document, at, at !== path || issue.code === 'invalid_key'),
    found,
    expected,
  });
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(key, path, root, mistake));
    case 'invalid_key':
      return [
        mistake(
          issue.issues.map(({ message }) => message).join('; '),
          path,
          `the name ${shorten(String(path.at(-1)))}`,
        ),
      ];
    case 'invalid_union': {
      if ('options' in issue && Array.isArray(issue.options)) return [mistake(oneOf(issue.options, at(root, path)))];
      const branches = issue.errors;
      const strangers = branches.map((branch) =>
        branch.flatMap((b) => (b.code === 'unrecognized_keys' && b.path.length === 0 ? b.keys : [])),
      );
      const known = (key: string) => strangers.some((keys) => !keys.includes(key));
      const strange = (strangers[0] ?? []).filter((key) => !known(key));
      if (strange.length > 0) return strange.map((key) => unknownKey(key, path, root, mistake));
      const scalars = branches.flatMap((branch) =>
        branch.filter((b) => b.code === 'invalid_type' && b.path.length === 0),
      );
      if (scalars.length > 0 && scalars.length === branches.length)
        return [
          mistake(
            [...new Set(scalars.map((b) => typeInWords((b as z.core.$ZodIssueInvalidType).expected)))].join(' or '),
          ),
        ];
      const nearest = [...branches].sort((a, b) => a.length - b.length)[0] ?? [];
      return nearest.flatMap((inner) => mistakesOf(inner, path, root, document));
    }
    case 'invalid_type':
      return [mistake(typeInWords(issue.expected))];
    case 'invalid_value':
      return [mistake(oneOf(issue.values, at(root, path)))];
    case 'too_small':
      return [mistake(bound(issue.origin, Number(issue.minimum), issue.inclusive ? 'at least' : 'more than'))];
    case 'too_big':
      return [mistake(bound(issue.origin, Number(issue.maximum), issue.inclusive ? 'at most' : 'less than'))];
    case 'custom':
    case 'invalid_format':
    case 'invalid_element':
    case 'not_multiple_of':
      return [mistake(issue.message)];
  }
}

function unknownKey(
  key: string,
  path: PropertyKey[],
  root: unknown,
  mistake: (expected: string, at: PropertyKey[], found: string) => Mistake,
): Mistake {
  const known = keysAt(ModelSpec, path, root);
  const place = path.length === 0 ? 'of a model' : `of ${inDots(path)}`;
  const expected =
    known.length > 0 ? `one of the keys ${place}: ${known.join(', ')}.${didYouMean(key, known)}` : `no such key`;
  return mistake(expected, [...path, key], `the key ${shorten(key)}`);
}

const TYPES: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of keys and values',
  record: 'a map of names and values',
};

function typeInWords(expected: string): string {
  return TYPES[expected] ?? expected;
}

function oneOf(values: readonly unknown[], found: unknown): string {
  const texts = values.map(String);
  if (texts.length === 1) return texts[0]!;
  return `one of ${texts.join(', ')}${typeof found === 'string' ? `.${didYouMean(found, texts)}` : ''}`;
}

function bound(origin: string, limit: number, relation: string): string {
  if (origin === 'string') return limit === 1 ? 'a text that is not empty' : `${relation} ${limit} characters`;
  if (origin === 'array') return `${relation} ${limit} ${limit === 1 ? 'item' : 'items'}`;
  return `a number, ${relation} ${limit}`;
}

function at(root: unknown, path: readonly PropertyKey[]): unknown {
  let place = root;
  for (const step of path) {
    if (typeof place !== 'object' || place === null || !Object.hasOwn(place, step)) return undefined;
    place = (place as Record<PropertyKey, unknown>)[step];
  }
  return place;
}

function foundAt(root: unknown, path: readonly PropertyKey[]): string {
  const value = at(root, path);
  if (value === undefined) return 'nothing';
  if (value === null) return 'an empty value';
  if (typeof value === 'string') return value === '' ? 'an empty text' : `the text ${shorten(value)}`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty map' : 'a map';
  return JSON.stringify(value);
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 60)}…` : line;
}

/** inputs.lead_time.min, expectations[2].column */
function inDots(path: readonly PropertyKey[]): string {
  return path
    .map((step, i) => (typeof step === 'number' ? `[${step}]` : i === 0 ? String(step) : `.${String(step)}`))
    .join('');
}

/** Where a value stands, or its key; for what is not there, the nearest thing above it that is. */
function offsetOf(document: Document, path: readonly PropertyKey[], atKey: boolean): number {
  for (let length = path.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1]!;
    if (isMap(parent)) {
      const pair = parent.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(last),
      );
      const key = pair && isScalar(pair.key) ? pair.key.range : undefined;
      const value = pair?.value as { range?: [number, number, number] | null } | null | undefined;
      // A map begins under its key: the key says better which one is meant.
      const range = atKey || length < path.length || isMap(pair?.value) ? (key ?? value?.range) : (value?.range ?? key);
      if (range) return range[0];
    } else {
      const node = document.getIn(path.slice(0, length), true) as
        { range?: [number, number, number] | null } | undefined;
      if (node?.range) return node.range[0];
    }
  }
  return 0;
}

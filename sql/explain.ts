import { homedir } from 'node:os';
import { UserError, type Issue } from '../schemas/index.ts';

/** What a person needs to put something right, in one layout for all errors of this folder. */
export interface Explanation {
  /** What happened, and where. */
  what: string;
  found?: string;
  expected: string;
  next: string;
  issues?: Issue[];
}

export function explained(type: string, { what, found, expected, next, issues }: Explanation): UserError {
  const lines = [
    what,
    ...(found === undefined ? [] : [`  found:    ${found}`]),
    `  expected: ${expected}`,
    `  next:     ${next}`,
  ];
  return new UserError(type, lines.join('\n'), issues);
}

/** DuckDB's own words, and the line that it points at, without its stack or the machine's paths. */
export interface DuckDBMessage {
  text: string;
  line?: number;
}

/**
 * @param hide        paths of this machine and what to call them instead
 * @param linesAbove  lines that we put above the person's SQL
 */
export function messageOf(error: unknown, hide: ReadonlyMap<string, string>, linesAbove = 0): DuckDBMessage {
  let text = error instanceof Error ? error.message : String(error);
  text = text.replace(/^Failed to extract statements: /, '');
  for (const [path, name] of hide) text = text.replaceAll(path, name);
  text = text.replaceAll(homedir(), '~');
  const pointed = /^LINE (\d+): (.*)\n( *)\^/m.exec(text);
  if (!pointed) return { text: text.trim() };
  const line = Number(pointed[1]) - linesAbove;
  // The caret stands under a text that begins after "LINE n: ", whose width changes with n.
  const shift = String(line).length - pointed[1]!.length;
  const caret = ' '.repeat(Math.max(0, pointed[3]!.length + shift));
  const [before, after] = [text.slice(0, pointed.index), text.slice(pointed.index + pointed[0].length)];
  return { text: `${before}LINE ${line}: ${pointed[2]}\n${caret}^${after}`.trim(), line };
}

/**
 * The same without a word that may come from the data: the kind of error, the place, and the line of SQL. A value that
 * cannot be cast stands in DuckDB's message as it is.
 */
export function withoutValues({ text, line }: DuckDBMessage): DuckDBMessage {
  const kind = /^[A-Z][A-Za-z ]* Error/.exec(text)?.[0] ?? 'an error of DuckDB';
  const places = [
    /CSV Error on Line: \d+/,
    /Expected Number of Columns: \d+ Found: \d+/,
    /at byte \d+ in line \d+/,
    /record\/value \d+/,
  ].flatMap((place) => place.exec(text)?.[0] ?? []);
  const pointed = line === undefined ? undefined : /LINE \d+: [^\n]*\n *\^/.exec(text)?.[0];
  const told = `${[kind, ...places].join(', ')} (the rest is not shown: the data are personal)`;
  return { text: pointed === undefined ? told : `${told}\n${pointed}`, ...(line !== undefined && { line }) };
}

/** Machines run out of room: that is nobody's SQL, and no retry helps. Undefined where it is something else. */
export function outOfRoom(error: unknown): UserError | undefined {
  const text = error instanceof Error ? error.message : String(error);
  if (/No space left|File too large|quota exceeded|max_temp_directory_size/i.test(text))
    return explained('DiskFull', {
      what: 'DuckDB could not write: the disk is full, or a limit on file sizes was reached.',
      found: text
        .split('\n')[0]!
        .replaceAll(/(["'`])[^"'`]*\/([^"'`/]+)\1/g, '$1$2$1')
        .slice(0, 200),
      expected: 'room for the training rows and for what DuckDB spills while it sorts',
      next: 'free some space, or set GAUNTLET_HOME to a folder on a larger disk, and start the run again',
    });
  if (/^Out of Memory Error/i.test(text))
    return explained('OutOfMemory', {
      what: 'DuckDB reached its memory limit, and could not go on by spilling to disk.',
      found: text.split('\n')[0]!.slice(0, 200),
      expected: 'a query that fits',
      next: 'let rows.sql select fewer columns or rows, or join after it has grouped; then apply the project again',
    });
  return undefined;
}

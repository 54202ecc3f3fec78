import type { Project } from '../../schemas/index.ts';

type Applicable = Pick<Project, 'files' | 'spec'>;

/**
 * What differs between two projects, one readable line each: values of model.yaml by dotted path
 * (`training.maxDepth: 6 -> 8`), then files (`rows.sql changed`, `bookings.parquet: new`).
 */
export function projectChanges(before: Applicable | undefined, after: Applicable): string[] {
  if (!before)
    return [
      'first project of this model',
      ...Object.entries(after.files).map(([path, { bytes }]) => `${path}: new (${bytesInWords(bytes)})`),
    ];
  const values = valueChanges(before.spec, after.spec);
  const files: string[] = [];
  for (const path of [...new Set([...Object.keys(before.files), ...Object.keys(after.files)])].sort()) {
    const [was, is] = [before.files[path], after.files[path]];
    if (!was && is) files.push(`${path}: new (${bytesInWords(is.bytes)})`);
    else if (was && !is) files.push(`${path}: removed`);
    else if (was?.sha256 !== is?.sha256) {
      if (path !== 'model.yaml') files.push(`${path} changed`);
      else if (values.length === 0) files.push('model.yaml: only its wording, no value changed');
    }
  }
  return [...values, ...files];
}

function valueChanges(before: unknown, after: unknown): string[] {
  const [was, is] = [flatten(before), flatten(after)];
  const lines: string[] = [];
  for (const path of new Set([...was.keys(), ...is.keys()])) {
    const [a, b] = [was.get(path), is.get(path)];
    if (a === b) continue;
    if (a === undefined) lines.push(`${path}: new, ${shorten(b!)}`);
    else if (b === undefined) lines.push(`${path}: removed (was ${shorten(a)})`);
    else lines.push(`${path}: ${shorten(a)} -> ${shorten(b)}`);
  }
  return lines;
}

/** Leaves by dotted path, as text. A list of plain values is one leaf: its order is part of what it says. */
function flatten(value: unknown, path = '', into = new Map<string, string>()): Map<string, string> {
  if (Array.isArray(value) && value.some((item) => typeof item === 'object' && item !== null))
    value.forEach((item, i) => flatten(item, `${path}[${i}]`, into));
  else if (typeof value === 'object' && value !== null && !Array.isArray(value))
    for (const [key, item] of Object.entries(value)) flatten(item, path ? `${path}.${key}` : key, into);
  else if (value !== undefined) into.set(path, typeof value === 'string' ? value : JSON.stringify(value));
  return into;
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 80 ? `${line.slice(0, 60)}… (${line.length} characters)` : line;
}

export function bytesInWords(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes / 1000, 0];
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

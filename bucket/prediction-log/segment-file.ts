import { readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileOf, openFileOf, parseFile, type SegmentName } from './segment.ts';
import { rmdirIfEmpty, syncFolder } from './spool.ts';

/** A segment in the spool. */
export interface SegmentFile {
  name: SegmentName;
  rows: number;
  bytes: number;
  /** When its oldest record was appended. */
  sinceMs: number;
  path: string;
}

const NEWLINE = 10;

/** Whole or absent under the segment's name, and synced. */
export async function writeSegmentFile(folder: string, name: SegmentName, lines: Uint8Array): Promise<string> {
  const path = join(folder, fileOf(name));
  const unfinished = join(folder, openFileOf(name.boot, name.n));
  try {
    await writeFile(unfinished, lines, { flush: true });
    await rename(unfinished, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    throw error;
  }
  return path;
}

/** With its folder, where that was taken over from a dead life and is empty now. */
export async function removeSegmentFile(path: string): Promise<void> {
  await rm(path, { force: true });
  if (dirname(path).includes('~')) await rmdirIfEmpty(dirname(path));
}

/** Segments in a folder that a dead life left. Lines that were still being written when it died are cut off and counted. */
export async function segmentFilesIn(
  folder: string,
  now: () => number,
): Promise<{ segments: SegmentFile[]; torn: number }> {
  const segments: SegmentFile[] = [];
  let torn = 0;
  for (const file of (await readdir(folder)).sort()) {
    const parsed = parseFile(file);
    if (!parsed) continue;
    const found = join(folder, file);
    const content = await readFile(found);
    const bytes = content.lastIndexOf(NEWLINE) + 1;
    if (bytes < content.length) torn++;
    if (bytes === 0) {
      await rm(found);
      continue;
    }
    if (bytes < content.length) await truncate(found, bytes);
    const name = { ...parsed, ms: parsed.ms ?? now() };
    const path = join(folder, fileOf(name));
    const sinceMs = parsed.ms ?? (await stat(found)).birthtimeMs;
    // Under its segment's name, so that another life after this one goes on with the same.
    if (path !== found) await rename(found, path);
    let rows = 0;
    for (let at = content.indexOf(NEWLINE); at >= 0; at = content.indexOf(NEWLINE, at + 1)) rows++;
    segments.push({ name, rows, bytes, sinceMs, path });
  }
  return { segments, torn };
}

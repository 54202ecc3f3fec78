import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = 'api.json';

/** Notes where this machine's API listens, so that commands find it on whichever port was free. */
export function writeApiAddress(home: string, port: number): void {
  mkdirSync(home, { recursive: true });
  const path = join(home, FILE);
  writeFileSync(`${path}.${process.pid}`, JSON.stringify({ port, pid: process.pid }));
  renameSync(`${path}.${process.pid}`, path);
}

/** Takes the note away, where it is this process's own. */
export function removeApiAddress(home: string): void {
  if (readNote(home)?.pid === process.pid) rmSync(join(home, FILE), { force: true });
}

/** URL of the API that was started from this home; undefined where none is noted, or its process is gone. */
export function readApiAddress(home: string): string | undefined {
  const note = readNote(home);
  return note && isAlive(note.pid) ? `http://127.0.0.1:${note.port}` : undefined;
}

function readNote(home: string): { port: number; pid: number } | undefined {
  try {
    const note: unknown = JSON.parse(readFileSync(join(home, FILE), 'utf8'));
    const { port, pid } = note as { port: unknown; pid: unknown };
    return typeof port === 'number' && typeof pid === 'number' ? { port, pid } : undefined;
  } catch {
    return undefined; // Not there, or half of another program's: the same as no note.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

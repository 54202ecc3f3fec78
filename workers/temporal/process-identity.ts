import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A running process as the operating system tells it. `born` tells it from a later process with the same id. */
export interface ProcessIdentity {
  born: string;
  command: string;
}

/** What runs under this process id; undefined if nothing does, or only a zombie that nobody has reaped. */
export function processIdentity(pid: number): ProcessIdentity | undefined {
  return process.platform === 'linux' ? fromProc(pid) : fromPs(pid);
}

function fromProc(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name stands in parentheses and may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
    // A process that is on its way out has lost its command line before it is a zombie.
    return command === '' ? undefined : { born: fields[19] ?? '', command };
  } catch {
    return undefined;
  }
}

function fromPs(pid: number): ProcessIdentity | undefined {
  try {
    const column = (name: string) =>
      execFileSync('ps', ['-ww', '-o', `${name}=`, '-p', String(pid)], { encoding: 'utf8', timeout: 5_000 }).trim();
    return column('state').startsWith('Z') ? undefined : { born: column('lstart'), command: column('args') };
  } catch {
    return undefined;
  }
}

/** A process id that cannot be mistaken for a later process. */
export interface ProcessMark {
  pid: number;
  born: string;
}

export const ownMark = (): ProcessMark => ({ pid: process.pid, born: processIdentity(process.pid)?.born ?? '' });

export const isRunning = (mark: ProcessMark): boolean => processIdentity(mark.pid)?.born === mark.born;

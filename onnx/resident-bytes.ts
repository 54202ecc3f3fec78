import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** How often to look: `ps` is a process of its own, so it is asked less often than /proc. */
export const RESIDENT_LOOK_MS = process.platform === 'linux' ? 100 : 1000;

/** Memory of a process that lies in RAM; undefined: it is gone, or nobody can say. */
export function residentBytes(pid: number): number | undefined | Promise<number | undefined> {
  return process.platform === 'linux' ? fromProc(pid) : fromPs(pid);
}

/** Of status, not statm: kilobytes need no page size. Synchronous, because a thread pool that is busy must not hide a leak. */
function fromProc(pid: number): number | undefined {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

function fromPs(pid: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    execFile('ps', ['-o', 'rss=', '-p', String(pid)], { timeout: 5000 }, (error, stdout) => {
      const kilobytes = Number.parseInt(stdout, 10);
      resolve(error || Number.isNaN(kilobytes) ? undefined : kilobytes * 1024);
    });
  });
}

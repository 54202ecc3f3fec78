import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { isBoot } from './segment.ts';

/** Tells a process from a later one with the same id, and from one of another machine or container. */
const Mark = z.object({ place: z.string(), pid: z.int(), born: z.string() });
type Mark = z.infer<typeof Mark>;

const OWNER = 'owner.json';
const PROBE_BYTES = 64 * 1024;
const BEAT_MS = 30_000;
/** Of a process that cannot be seen from here, this long without a sign means that it is gone. */
const SILENT_MS = 4 * BEAT_MS;
/** Longer than a folder takes to be made. */
const ABANDONED_MS = 60 * 60_000;

/**
 * The spool's folders under a home: `<boot>` of each life, with its mark in it, and `<boot>~<other>` of a dead life, which
 * the life `<other>` has taken over. A folder is taken over by renaming it, so of several one gets it.
 */
export class Spool {
  readonly boot: string;
  readonly folder: string;
  readonly #root: string;
  readonly #heart: NodeJS.Timeout;

  /** @param beat  called every half minute: lives that died meanwhile may be taken over */
  constructor(home: string, boot: string, beat: () => void) {
    this.boot = boot;
    this.#root = join(home, 'spool');
    this.folder = join(this.#root, boot);
    this.#heart = setInterval(() => {
      const now = new Date();
      // Without its folder it has nothing to protect.
      utimes(join(this.folder, OWNER), now, now).catch(() => undefined);
      beat();
    }, BEAT_MS).unref();
  }

  /** Makes this life's folder where it is not there. It never stands without its mark. */
  async make(): Promise<void> {
    if (await isThere(this.folder)) return;
    const temporary = join(this.#root, `.${this.boot}`);
    await mkdir(temporary, { recursive: true });
    try {
      await writeFile(join(temporary, OWNER), JSON.stringify(ownMark()));
      await rename(temporary, this.folder);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
    await syncFolder(this.#root);
  }

  /** Whether the disk takes more than a few bytes. @throws what it says */
  async probe(): Promise<void> {
    await this.make();
    const path = join(this.folder, 'probe');
    try {
      await writeFile(path, new Uint8Array(PROBE_BYTES), { flush: true });
    } finally {
      await rm(path, { force: true });
    }
  }

  /** Takes over the folders of dead lives, and gives their paths. */
  async takeOver(): Promise<string[]> {
    const taken: string[] = [];
    for (const name of await readdir(this.#root).catch(() => [])) {
      const path = join(this.#root, name);
      const [boot, holder = boot] = name.split('~');
      if (name.startsWith('.')) {
        const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
        if (Date.now() - mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
      } else if (isBoot(boot!) && holder !== this.boot && !(await isAlive(join(this.#root, holder!, OWNER)))) {
        const mine = join(this.#root, `${boot}~${this.boot}`);
        try {
          await rename(path, mine);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue; // another was faster
          throw error;
        }
        await rm(join(mine, OWNER), { force: true });
        taken.push(mine);
      }
    }
    return taken;
  }

  /** What is still in this life's folder is free to be taken over. */
  async release(): Promise<void> {
    clearInterval(this.#heart);
    await rm(join(this.folder, OWNER), { force: true });
    await rmdirIfEmpty(this.folder);
  }
}

async function isAlive(ownerFile: string): Promise<boolean> {
  let mark: Mark | undefined;
  let seenMs: number;
  try {
    seenMs = (await stat(ownerFile)).mtimeMs;
    mark = Mark.safeParse(JSON.parse(await readFile(ownerFile, 'utf8'))).data;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    if (!(error instanceof SyntaxError)) throw error;
    seenMs = (await stat(ownerFile)).mtimeMs;
  }
  if (mark?.place !== ownPlace()) return Date.now() - seenMs < SILENT_MS;
  return bornOf(mark.pid) === mark.born;
}

const ownMark = (): Mark => ({ place: ownPlace(), pid: process.pid, born: bornOf(process.pid) ?? '' });

/** Where a process id means what it means here: one boot of one kernel, and its space of ids. */
function ownPlace(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname();
  }
}

/** When the process began; undefined where there is none, or only a zombie that nobody has reaped. */
function bornOf(pid: number): string | undefined {
  try {
    if (process.platform === 'linux') {
      const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The program's name stands in parentheses and may itself hold spaces and parentheses.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
    }
    const options = { encoding: 'utf8', timeout: 5_000 } as const;
    const [state = '', ...born] = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], options)
      .trim()
      .split(/\s+/);
    return state.startsWith('Z') ? undefined : born.join(' ');
  } catch {
    return undefined;
  }
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

export async function rmdirIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

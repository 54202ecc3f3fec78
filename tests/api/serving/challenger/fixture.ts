import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pino from 'pino';
import { expect } from 'vitest';
import {
  Challenger,
  type ChallengerModel,
  type ChallengerOptions,
  type Scored,
} from '../../../../api/serving/challenger/index.ts';
import type { Columns, ModelVersion } from '../../../../schemas/index.ts';
import { oddVersion, type OddGraph } from './odd-graphs.ts';

export const NOW = Date.UTC(2017, 5, 1);

/** How long to wait for what must become so, and how often to look. */
export const SOON = { timeout: 50_000, interval: 5 };

type Lines = Record<string, unknown>[];

/** Challengers of one test, and the files of their models. */
export class Bench {
  private folder: string | undefined;
  private readonly started: Challenger[] = [];

  challenger(o: Partial<ChallengerOptions> = {}): { challenger: Challenger; lines: Lines } {
    const lines: Lines = [];
    const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const challenger = new Challenger({ limitMb: 1024, log, now: () => NOW, ...o });
    this.started.push(challenger);
    return { challenger, lines };
  }

  async file(version: ModelVersion, bytes: Uint8Array): Promise<ChallengerModel> {
    this.folder ??= await mkdtemp(join(tmpdir(), 'gauntlet-challenger-'));
    const file = join(this.folder, `${version.model}-${version.n}.onnx`);
    await writeFile(file, bytes);
    return { model: version.model, version, file };
  }

  odd(graph: OddGraph, model = 'odd', n = 1): Promise<ChallengerModel> {
    return this.file(oddVersion(graph, model, n), graph.bytes);
  }

  async clean(): Promise<void> {
    await Promise.all(this.started.splice(0).map((challenger) => challenger.stop()));
    if (this.folder !== undefined) await rm(this.folder, { recursive: true });
    this.folder = undefined;
  }
}

export const loaded = (challenger: Challenger, { model, version }: ChallengerModel): Promise<void> =>
  expect.poll(() => challenger.loaded(model, version.n), SOON).toBe(true);

export const table = (columns: Record<string, number[]>): Columns => ({
  rows: Object.values(columns)[0]!.length,
  columns: Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, Float64Array.from(values)])),
});

export const at = (rows: number): Float64Array => new Float64Array(rows).fill(NOW / 1000);

/** One row for an odd graph. */
export const ask = (
  challenger: Challenger,
  { model, version }: ChallengerModel,
  row: Record<string, number>,
  deadlineMs = 20_000,
): Promise<Scored> =>
  challenger.score(
    model,
    version.n,
    table(Object.fromEntries(Object.entries(row).map(([k, v]) => [k, [v]]))),
    at(1),
    deadlineMs,
  );

/** What a row of an odd graph is answered with. */
export const answer = (x: number) => ({
  ok: true,
  outputs: [{ scores: [Math.fround(x)], maturesAt: NOW / 1000 }],
  graphMs: expect.any(Number) as number,
});

/** How many of them somebody still holds. */
export async function alive(things: readonly WeakRef<object>[]): Promise<number> {
  setFlagsFromString('--expose-gc');
  // A WeakRef keeps what it was made of, or gave, until the turn is over.
  await turn();
  (runInNewContext('gc') as () => void)();
  return things.filter((one) => one.deref()).length;
}

/** Of the child that runs now. */
export function pidOf(lines: Lines): number {
  return lines.findLast(({ msg }) => msg === 'the challenger process runs')!['pid'] as number;
}

/** A dead process that nobody has waited for is gone, though it still has its number. */
export async function isGone(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return true;
  }
  return (await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ') Z')).includes(') Z');
}

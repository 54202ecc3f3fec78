/**
 * Predictions a second with validation, routing, prediction log and metrics all on, against a bare Hono echo of the same
 * JSON: pairs of runs, one after the other, so that what else the machine does falls on both.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Serving } from '../schemas/index.ts';
import { load, median, requireWrk, startServer, type Measured, type Server } from './support/load.ts';
import { ROW, writeBench } from './support/model.ts';

const LATER = '2100-01-01T00:00:00.000Z';
const canary = { version: 2, weight: 0.1, salt: 'bench', until: LATER };
const shadows = [{ version: 3, until: LATER }];
const SETUPS: Record<string, Partial<Serving>> = {
  champion: {},
  'with a 10 % canary': { canary },
  'with a 10 % canary and a shadow': { canary, shadows },
};

export async function main(args: string[]): Promise<Record<string, unknown>> {
  const pairs = Number(args[0] ?? 5);
  const seconds = Number(args[1] ?? 4);
  await requireWrk();
  const rows: string[][] = [];
  const figures: Record<string, unknown> = {};
  let profile: [string, number][] = [];
  const echo = await startServer('echo');
  try {
    for (const [name, serving] of Object.entries(SETUPS)) {
      const folder = await mkdtemp(join(tmpdir(), 'gauntlet-bench-'));
      const bucket = `file:${join(folder, 'bucket')}`;
      await writeBench(bucket, folder, serving);
      const ours = await startServer('ours', bucket, folder);
      try {
        for (const connections of [1, 16, 64]) {
          const runs: Record<'ours' | 'echo', Run>[] = [];
          const droppedBefore = await shadowRowsDropped(ours);
          for (let pair = 0; pair <= pairs; pair++) {
            const o = { connections, seconds: pair === 0 ? 2 : seconds };
            const run = { echo: await measure(echo, o), ours: await measure(ours, o) };
            if (pair > 0) runs.push(run); // the first warms both up
          }
          const of = (what: (run: Record<'ours' | 'echo', Run>) => number) => median(runs.map(what));
          const measured = {
            requestsPerSecond: Math.round(of((run) => run.ours.requestsPerSecond)),
            p99Ms: round(of((run) => run.ours.p99Ms)),
            ratioToEcho: round(of((run) => run.ours.requestsPerSecond / run.echo.requestsPerSecond)),
            cpuUsPerRequest: round(of((run) => run.ours.cpuUs)),
            cpuRatioToEcho: round(of((run) => run.echo.cpuUs / run.ours.cpuUs)),
            failed: runs.reduce((sum, run) => sum + run.ours.failed, 0),
            shadowRowsDropped: (await shadowRowsDropped(ours)) - droppedBefore,
          };
          const echoPerSecond = Math.round(of((run) => run.echo.requestsPerSecond));
          rows.push([
            name,
            String(connections),
            String(measured.requestsPerSecond),
            String(echoPerSecond),
            String(measured.ratioToEcho),
            String(measured.p99Ms),
            String(measured.cpuUsPerRequest),
            String(measured.cpuRatioToEcho),
            String(measured.failed),
            String(measured.shadowRowsDropped),
          ]);
          figures[`${name}, ${connections}`] = measured;
          if (connections === 64 && name === 'champion') {
            const busy = load(ours.port, ROW, { connections, seconds: 5 });
            profile = await ours.profile(3_000);
            await busy;
          }
        }
      } finally {
        await ours.stop();
        await rm(folder, { recursive: true, force: true });
      }
    }
  } finally {
    await echo.stop();
  }
  table(
    ['setup', 'connections', 'requests/s', 'echo/s', 'ratio', 'p99 ms', 'CPU us', 'CPU ratio', 'failed', 'dropped'],
    rows,
  );
  process.stdout.write('\nWhere the time goes at 64 connections, champion only (percent of what was not idle):\n');
  for (const [name, percent] of profile.slice(0, Number(args[2] ?? 5)))
    process.stdout.write(`  ${percent.toFixed(1).padStart(5)}  ${name}\n`);
  const main64 = figures['champion, 64'] as Record<string, number>;
  return { ...main64, setups: figures };
}

interface Run extends Measured {
  /** Of the server's process, for a request: what a busy machine changes least. */
  cpuUs: number;
}

async function measure(server: Server, o: { connections: number; seconds: number }): Promise<Run> {
  const before = await server.cpuUs();
  const measured = await load(server.port, ROW, o);
  return { ...measured, cpuUs: ((await server.cpuUs()) - before) / measured.requests };
}

/** Rows that no shadow scored, for whatever reason: a figure with many of them is of less work than it says. */
async function shadowRowsDropped({ port }: Server): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return [...text.matchAll(/^gauntlet_shadow_dropped_total\{.*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0);
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

function table(head: string[], rows: string[][]): void {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  for (const row of [head, ...rows])
    process.stdout.write(
      `${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}\n`,
    );
}

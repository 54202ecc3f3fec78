/**
 * What a canary that does harm costs those whom the champion answers: the p99 of all answers with a canary of 10 % that
 * hangs, eats memory or gives NaN, against the same without one; pairs of runs, median of the ratios. And what the hop to
 * the challenger process costs a canary that is well.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { greedy, slow, sometimesNaN } from '../tests/api/serving/challenger/odd-graphs.ts';
import { load, median, requireWrk, startServer, type Measured } from './support/load.ts';
import { registerGraph, ROW, serveBench, writeBench } from './support/model.ts';

const LATER = '2100-01-01T00:00:00.000Z';
const CONNECTIONS = 16;

export async function main(args: string[]): Promise<Record<string, unknown>> {
  const pairs = Number(args[0] ?? 5);
  const seconds = Number(args[1] ?? 6);
  await requireWrk();
  const harms = {
    'hangs for 5 s': { graph: await slow(), row: { ms: 5_000 } },
    'eats memory': { graph: greedy(), row: { mb: 1e6 } },
    'NaN for every row': { graph: sometimesNaN(0.01), row: { x: 100 } },
  };
  const figures: Record<string, number> = {};
  let failed = 0;
  for (const [name, { graph, row }] of Object.entries(harms)) {
    const ratios: number[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      const run = (withCanary: boolean) =>
        measure(withCanary ? graph.bytes : undefined, { ...ROW, x: 1, ...row }, seconds);
      // Which goes first changes, so that a machine that warms up or slows down favours neither.
      const first = await run(pair % 2 === 0);
      const second = await run(pair % 2 !== 0);
      const [harmed, calm] = pair % 2 === 0 ? [first, second] : [second, first];
      failed += harmed.failed + calm.failed;
      ratios.push(harmed.p99Ms / calm.p99Ms);
      process.stdout.write(
        `${name}: p99 ${harmed.p99Ms.toFixed(1)} ms with the canary, ${calm.p99Ms.toFixed(1)} ms without, ${harmed.failed} failed\n`,
      );
    }
    figures[name] = Math.round(median(ratios) * 1000) / 1000;
  }
  const hopMs = await hop();
  process.stdout.write('\nRatio of the p99, with such a canary to without (median), goal at most 1.5:\n');
  for (const [name, ratio] of Object.entries(figures)) process.stdout.write(`  ${name.padEnd(20)} ${ratio}\n`);
  process.stdout.write(`The hop: a lone request takes ${hopMs.toFixed(2)} ms longer by a healthy canary (median)\n`);
  return { ratios: figures, failed, hopMs };
}

async function measure(canary: Uint8Array | undefined, body: object, seconds: number): Promise<Measured> {
  return withServer(async (port) => {
    await load(port, { ...ROW }, { connections: CONNECTIONS, seconds: 1 });
    return load(port, body, { connections: CONNECTIONS, seconds });
  }, canary);
}

async function hop(): Promise<number> {
  const lone = { connections: 1, seconds: 3 };
  const alone = await withServer((port) => load(port, ROW, lone));
  const canary = await withServer((port) => load(port, ROW, lone), 'healthy');
  return canary.p50Ms - alone.p50Ms;
}

async function withServer<T>(work: (port: number) => Promise<T>, canary?: Uint8Array | 'healthy'): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'gauntlet-bench-'));
  try {
    const bucket = `file:${join(folder, 'bucket')}`;
    const stores = await writeBench(bucket, folder);
    if (canary === 'healthy')
      await serveBench(stores, { champion: 1, canary: { version: 2, weight: 1, salt: 'bench', until: LATER } });
    else if (canary) {
      const { n } = await registerGraph(stores, canary, 'canary', [{ ...ROW, x: 1 }]);
      await serveBench(stores, { champion: 1, canary: { version: n, weight: 0.1, salt: 'bench', until: LATER } });
    }
    const server = await startServer('ours', bucket, folder);
    try {
      return await work(server.port);
    } finally {
      await server.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

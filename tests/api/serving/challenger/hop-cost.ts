/**
 * node --import tsx tests/api/serving/challenger/hop-cost.ts
 *
 * What a canary's way through the child costs beside a run in process: microseconds per request, one after the other
 * and with 64 in flight; the processor time of this process per request; and how long a child takes to be there again.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { Challenger } from '../../../../api/serving/challenger/index.ts';
import { openVersion } from '../../../../api/serving/open-version.ts';
import { buildGraph, decodeRows } from '../../../../onnx/index.ts';
import type { RawRow } from '../../../../schemas/index.ts';
import { bookings } from '../fixture.ts';
import { oddVersion } from './odd-graphs.ts';

const REQUESTS = 20_000;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const bytes = buildGraph(bookings.graph, bookings.preprocessing, bookings.model);
const version = {
  ...oddVersion({ bytes, inputs: bookings.graph.inputs, warmUpRows: bookings.warmUpRows }, 'bookings', 1),
  task: bookings.graph.task,
};
const decoded = decodeRows(version.inputs, bookings.warmUpRows.slice(0, 1) satisfies RawRow[]);
if (!decoded.ok) throw new Error('the row does not fit');
const row = decoded.columns;
const predictedAt = Float64Array.of(0);

const folder = await mkdtemp(join(tmpdir(), 'gauntlet-hop-'));
const file = join(folder, 'model.onnx');
await writeFile(file, bytes);
const challenger = new Challenger({ limitMb: 1024, log: pino({ level: 'silent' }) });
const from = performance.now();
challenger.want([{ model: 'bookings', version, file }]);
while (!challenger.loaded('bookings', 1)) await new Promise((resolve) => setTimeout(resolve, 1));
say(`started and loaded       ${(performance.now() - from).toFixed(0)} ms`);
const onnx = await openVersion(version, bytes, 0);

async function measure(name: string, inFlight: number, ask: () => Promise<unknown>): Promise<void> {
  let left = REQUESTS;
  const lane = async (): Promise<void> => {
    while (left-- > 0) await ask();
  };
  const runs: { us: number; cpuUs: number }[] = [];
  for (let i = 0; i < 5; i++) {
    left = REQUESTS;
    const cpu = process.cpuUsage();
    const start = performance.now();
    await Promise.all(Array.from({ length: inFlight }, lane));
    const { user, system } = process.cpuUsage(cpu);
    runs.push({ us: ((performance.now() - start) * 1000) / REQUESTS, cpuUs: (user + system) / REQUESTS });
  }
  const { us, cpuUs } = runs.sort((a, b) => a.us - b.us)[2]!;
  say(`${name.padEnd(24)} ${us.toFixed(1)} us per request, ${cpuUs.toFixed(1)} us of this process's processor`);
}

const score = async () => {
  const scored = await challenger.score('bookings', 1, row, predictedAt, 5_000);
  if (!scored.ok) throw new Error(scored.detail);
};
await measure('in process, alone', 1, () => onnx.predict(row, predictedAt));
await measure('child, alone', 1, score);
await measure('child, 64 in flight', 64, score);
say(`child's memory           ${(challenger.counts().rssBytes / 2 ** 20).toFixed(0)} MB`);

await onnx.close();
await challenger.stop();
await rm(folder, { recursive: true });

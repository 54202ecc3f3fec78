import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Scored } from '../../../../api/serving/challenger/index.ts';
import { openVersion } from '../../../../api/serving/open-version.ts';
import { buildGraph, decodeRows } from '../../../../onnx/index.ts';
import type { Columns, RawRow } from '../../../../schemas/index.ts';
import { randomNumbers } from '../../../onnx/support/graphs.ts';
import { bookings, flowers, type Made } from '../fixture.ts';
import { answer, ask, at, Bench, isGone, loaded, NOW, pidOf, SOON, table } from './fixture.ts';
import { oddVersion, slow, sometimesNaN, throws } from './odd-graphs.ts';

// Each test starts processes, and some wait for a few of them to die.
vi.setConfig({ testTimeout: 120_000 });

const bench = new Bench();
afterEach(() => bench.clean());

/** A made model as a version, with its bytes. */
function versionOf({ graph, preprocessing, model, warmUpRows, classes }: Made) {
  const bytes = buildGraph(graph, preprocessing, model);
  const odd = oddVersion({ bytes, inputs: graph.inputs, warmUpRows }, 'made', 1);
  return { bytes, version: { ...odd, task: graph.task, classes, entity: 'booking_id' } };
}

function bookingRows(count: number): RawRow[] {
  const random = randomNumbers(3);
  const hotels = ['City Hotel', 'Resort Hotel'];
  return Array.from({ length: count }, () => ({
    lead_time: Math.floor(random() * 300),
    adr: random() < 0.1 ? null : random() * 400,
    hotel: hotels[Math.floor(random() * 2)]!,
    ...(random() < 0.7 && { agent: String(Math.floor(random() * 12)) }),
    is_repeated_guest: random() < 0.2,
    arrival_date: new Date(Date.UTC(2016, 0, 1 + Math.floor(random() * 500))).toISOString().slice(0, 10),
  }));
}

const outputsOf = (scored: Scored) => {
  if (!scored.ok) throw new Error(`${scored.why}: ${scored.detail}`);
  return scored.outputs;
};

describe('Challenger', () => {
  it('answers to the bit what the model answers in process, alone, together, and in long tables', async () => {
    for (const [made, rows] of [
      [bookings, bookingRows(400)],
      [flowers, Array.from({ length: 400 }, (_, i) => ({ petal: i / 7 - 20 }))],
    ] as const) {
      const { bytes, version } = versionOf(made);
      const { challenger } = bench.challenger();
      const model = await bench.file(version, bytes);
      challenger.want([model]);
      await loaded(challenger, model);
      const onnx = await openVersion(version, bytes, NOW);
      const decode = (some: RawRow[]): Columns => {
        const decoded = decodeRows(version.inputs, some);
        if (!decoded.ok) throw new Error(JSON.stringify(decoded.issues));
        return decoded.columns;
      };
      const expected = await onnx.predict(decode(rows), at(rows.length));
      const score = (some: RawRow[]) => challenger.score('made', 1, decode(some), at(some.length), 20_000);
      expect(outputsOf(await score(rows))).toEqual(expected);
      const together = await Promise.all(rows.map((row) => score([row])));
      expect(together.map((scored) => outputsOf(scored)[0])).toEqual(expected);
      for (const i of [0, 17, 399]) expect(outputsOf(await score([rows[i]!]))).toEqual([expected[i]]);
      await onnx.close();
    }
  });

  it('gives every request its own answer when many come at once', async () => {
    const { challenger } = bench.challenger();
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const asked = Array.from({ length: 1000 }, (_, x) => ask(challenger, model, { x, ms: x % 100 === 0 ? 2 : 0 }));
    expect(await Promise.all(asked)).toEqual(asked.map((_, x) => answer(x)));
    expect(challenger.counts()).toMatchObject({ late: 0, restarts: { crashed: 0, hung: 0, memory: 0 } });
  });

  it('a row whose answer is not finite fails alone', async () => {
    const { challenger } = bench.challenger();
    const model = await bench.odd(sometimesNaN(0.01));
    challenger.want([model]);
    await loaded(challenger, model);
    const xs = Array.from({ length: 500 }, (_, i) => i + 1);
    const scored = await challenger.score('odd', 1, table({ x: xs }), at(500), 20_000);
    const failed = outputsOf(scored).flatMap((output, i) => ('failed' in output ? [[xs[i], output.failed]] : []));
    expect(failed).toEqual([100, 200, 300, 400, 500].map((x) => [x, 'the score is NaN, not a finite number']));
  });

  it('a row that makes the run throw fails its own request, not those that run beside it', async () => {
    const { challenger, lines } = bench.challenger();
    const model = await bench.odd(throws());
    challenger.want([model]);
    await loaded(challenger, model);
    // The first runs alone, and the others together after it.
    const asked = Array.from({ length: 20 }, (_, x) => ask(challenger, model, { x, throw: x === 9 ? 1 : 0 }));
    const expected = asked.map((_, x) => answer(x) as unknown);
    expected[9] = { ok: false, why: 'threw', detail: expect.stringContaining('out of data bounds') };
    expect(await Promise.all(asked)).toEqual(expected);
    await expect
      .poll(() => lines.map(({ stderr }) => String(stderr)).join('\n'), SOON)
      .toContain('Non-zero status code returned while running Gather');
    expect(challenger.counts().restarts.crashed).toBe(0);
  });

  it('says that a column is missing as a run in process would', async () => {
    const { challenger } = bench.challenger();
    const model = await bench.odd(throws());
    challenger.want([model]);
    await loaded(challenger, model);
    const detail = 'onnx: the graph takes throw, which was not given';
    expect(await ask(challenger, model, { x: 1 })).toEqual({ ok: false, why: 'threw', detail });
    const said = await new Promise((resolve) =>
      challenger.shadow('odd', 1, table({ x: [1] }), at(1), (result) => resolve(result)),
    );
    expect(said).toEqual({ ok: false, why: 'threw', detail });
  });

  it('says why a version cannot be loaded, tries again, and loads others meanwhile', async () => {
    const { challenger } = bench.challenger();
    const good = await bench.odd(sometimesNaN(0.01), 'good');
    const bad = await bench.odd(sometimesNaN(0.01), 'bad');
    const missing = { ...good, model: 'missing', file: `${good.file}.not-there` };
    const { bytes } = sometimesNaN(0.01);
    await writeFile(bad.file, bytes.slice(1));
    challenger.want([bad, missing, good]);
    await loaded(challenger, good);
    await expect
      .poll(() => challenger.failures().find(({ model }) => model === 'bad')?.attempts, SOON)
      .toBeGreaterThan(2);
    expect(challenger.failures()).toEqual([
      {
        model: 'bad',
        version: 1,
        because: expect.stringMatching(/^The model's bytes have the hash [0-9a-f]{64}, not [0-9a-f]{64}/),
        attempts: expect.any(Number),
        since: '2017-06-01T00:00:00.000Z',
      },
      expect.objectContaining({ model: 'missing', because: expect.stringContaining('ENOENT') }),
    ]);
    expect(await ask(challenger, bad, { x: 1 })).toMatchObject({ ok: false, why: 'not-loaded' });
    expect(challenger.shadow('bad', 1, table({ x: [1, 2] }), at(2), () => undefined)).toEqual({
      dropped: 'not-loaded',
    });
    expect(challenger.counts().shadowDropped['not-loaded']).toBe(2);
    await writeFile(bad.file, bytes);
    await loaded(challenger, bad);
    expect(challenger.failures().map(({ model }) => model)).toEqual(['missing']);
    challenger.want([good, bad]);
    expect(challenger.failures()).toEqual([]);
  });

  it('lives as long as something is wanted, and answers what it took before', async () => {
    const { challenger, lines } = bench.challenger();
    const model = await bench.odd(await slow());
    expect(challenger.counts().alive).toBe(false);
    challenger.want([model]);
    await loaded(challenger, model);
    await expect.poll(() => challenger.counts().rssBytes, SOON).toBeGreaterThan(20e6);
    const pid = pidOf(lines);
    const [first, second] = [ask(challenger, model, { x: 1, ms: 100 }), ask(challenger, model, { x: 2, ms: 0 })];
    challenger.want([]);
    expect(challenger.loaded('odd', 1)).toBe(false);
    expect(await ask(challenger, model, { x: 3, ms: 0 })).toMatchObject({ ok: false, why: 'not-loaded' });
    expect([await first, await second]).toEqual([answer(1), answer(2)]);
    await expect.poll(() => isGone(pid), SOON).toBe(true);
    expect(challenger.counts()).toMatchObject({ alive: false, restarts: { crashed: 0 } });
    challenger.want([model]);
    await loaded(challenger, model);
    expect(await ask(challenger, model, { x: 4, ms: 0 })).toEqual(answer(4));
    expect(pidOf(lines)).not.toBe(pid);
  });

  it('unloads one version and goes on with another', async () => {
    const { challenger, lines } = bench.challenger();
    const graph = await slow();
    const [one, two] = [await bench.odd(graph, 'odd', 1), await bench.odd(graph, 'odd', 2)];
    challenger.want([one, two]);
    await loaded(challenger, one);
    await loaded(challenger, two);
    const pid = pidOf(lines);
    challenger.want([two]);
    expect(await ask(challenger, two, { x: 5, ms: 0 })).toEqual(answer(5));
    challenger.want([two, one]);
    await loaded(challenger, one);
    expect(await ask(challenger, one, { x: 6, ms: 0 })).toEqual(answer(6));
    expect(pidOf(lines)).toBe(pid);
  });

  it('stop ends the child; what waited has died', async () => {
    const { challenger, lines } = bench.challenger();
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const asked = ask(challenger, model, { x: 1, ms: 60_000 });
    await challenger.stop();
    expect(await asked).toMatchObject({ ok: false, why: 'died' });
    expect(await isGone(pidOf(lines))).toBe(true);
    challenger.want([model]);
    expect(challenger.counts().alive).toBe(false);
  });
});

describe('shadows', () => {
  it('wait in a bounded queue, dropped when it is full; a canary goes before all of them', async () => {
    const { challenger } = bench.challenger({ maxShadowRows: 100, hangMs: 60_000 });
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const said: number[] = [];
    const shadow = (x: number, ms = 0) =>
      challenger.shadow('odd', 1, table({ x: [x, x], ms: [ms, ms] }), at(2), (result, { latencyMs, graphMs }) => {
        expect(outputsOf(result)).toEqual([...answer(x).outputs, ...answer(x).outputs]);
        expect(latencyMs).toBeGreaterThanOrEqual(graphMs);
        said.push(x);
      });
    // One in the child, 50 that wait, and no room for another.
    expect(shadow(0, 100)).toBe('taken');
    await expect.poll(() => challenger.counts().shadowQueueRows, { ...SOON, interval: 1 }).toBe(0);
    for (let x = 1; x <= 50; x++) expect(shadow(x)).toBe('taken');
    expect(challenger.counts().shadowQueueRows).toBe(100);
    expect(shadow(51)).toEqual({ dropped: 'queue-full' });
    expect(challenger.counts().shadowDropped['queue-full']).toBe(2);
    expect(await ask(challenger, model, { x: 7, ms: 0 })).toEqual(answer(7));
    expect(said).toEqual([0]);
    await expect.poll(() => said.length, SOON).toBe(51);
    expect(said).toEqual(Array.from({ length: 51 }, (_, x) => x));
    expect(challenger.counts().shadowQueueRows).toBe(0);
    expect(shadow(52)).toBe('taken');
    await expect.poll(() => said.at(-1), SOON).toBe(52);
  });

  it('go together when they come within a few milliseconds: more of a fast graph than of a slow one', async () => {
    const { challenger } = bench.challenger();
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    /** Of each request, how long the run took in which its row was. */
    const runs = async (requests: number, ms: number): Promise<number[]> => {
      const graphMs: number[] = [];
      for (let i = 0; i < requests; i++)
        challenger.shadow('odd', 1, table({ x: [i], ms: [ms] }), at(1), (_, timing) => graphMs.push(timing.graphMs));
      await expect.poll(() => graphMs.length, SOON).toBe(requests);
      return graphMs;
    };
    // What came with the first of these has begun to wait before.
    expect(new Set(await runs(20, 40)).size).toBe(1);
    expect(new Set(await runs(64, 40)).size).toBe(2);
    await expect
      .poll(async () => {
        await runs(32, 0);
        return new Set(await runs(64, 0)).size;
      }, SOON)
      .toBe(1);
  });

  it('are scored though nobody wants the version any more, and dropped with the child', async () => {
    const { challenger } = bench.challenger();
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const said: boolean[] = [];
    const shadow = () => challenger.shadow('odd', 1, table({ x: [1], ms: [0] }), at(1), ({ ok }) => said.push(ok));
    expect(shadow()).toBe('taken');
    challenger.want([]);
    await expect.poll(() => said, SOON).toEqual([true]);
    challenger.want([model]);
    await loaded(challenger, model);
    expect(shadow()).toBe('taken');
    await challenger.stop();
    await sleep(20);
    expect(said).toEqual([true]);
    expect(challenger.counts()).toMatchObject({ shadowQueueRows: 0, shadowDropped: { restarting: 1 } });
  });

  it('are dropped while a run seems to hang', async () => {
    const { challenger } = bench.challenger({ hangMs: 60_000 });
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const shadow = (ms: number) => challenger.shadow('odd', 1, table({ x: [1], ms: [ms] }), at(1), () => undefined);
    expect(shadow(1_000)).toBe('taken');
    await expect.poll(() => shadow(0), SOON).toEqual({ dropped: 'busy' });
    await expect.poll(() => shadow(0), SOON).toBe('taken');
    expect(challenger.counts().restarts.hung).toBe(0);
  });

  it('one whose listener throws disturbs nobody', async () => {
    const { challenger, lines } = bench.challenger();
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    challenger.shadow('odd', 1, table({ x: [1], ms: [0] }), at(1), () => {
      throw new Error('the log is full');
    });
    const said = () => lines.find(({ msg }) => msg === 'what a shadow said could not be used');
    await expect.poll(said, SOON).toMatchObject({ err: { message: 'the log is full' } });
    expect(await ask(challenger, model, { x: 2, ms: 0 })).toEqual(answer(2));
  });
});

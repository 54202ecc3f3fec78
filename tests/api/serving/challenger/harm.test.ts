import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openVersion } from '../../../../api/serving/open-version.ts';
import { alive, answer, ask, at, Bench, isGone, loaded, NOW, pidOf, SOON, table } from './fixture.ts';
import { greedy, oddVersion, slow, sometimesNaN } from './odd-graphs.ts';

// Each test starts processes, and some wait for a few of them to die.
vi.setConfig({ testTimeout: 120_000 });

const bench = new Bench();
afterEach(() => bench.clean());

const NONE = { crashed: 0, hung: 0, memory: 0 };

describe('a canary that is late', () => {
  it('is given up at the deadline; its answer is ignored when it comes, and the next is right', async () => {
    const { challenger } = bench.challenger({ hangMs: 60_000 });
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const late = ask(challenger, model, { x: 1, ms: 1_000 }, 50);
    // Waits behind it, and is late without having been begun.
    const never = ask(challenger, model, { x: 2, ms: 0 }, 40);
    expect(await never).toEqual({ ok: false, why: 'late', detail: 'no answer within 40 ms' });
    expect(await late).toEqual({ ok: false, why: 'late', detail: 'no answer within 50 ms' });
    expect(challenger.counts()).toMatchObject({ late: 2, abandoned: 1 });
    const next = [3, 4, 5].map((x) => ask(challenger, model, { x, ms: 0 }));
    expect(await Promise.all(next)).toEqual([answer(3), answer(4), answer(5)]);
    expect(challenger.counts()).toMatchObject({ late: 2, abandoned: 1, restarts: NONE });
  });

  it('is late at once when too many wait already', async () => {
    const { challenger } = bench.challenger({ maxCanaryRows: 2 });
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const asked = [1, 2, 3, 4].map((x) => ask(challenger, model, { x, ms: x === 1 ? 100 : 0 }));
    expect(await asked[3]).toEqual({ ok: false, why: 'late', detail: '2 rows wait for a canary already' });
    expect(await Promise.all(asked.slice(0, 3))).toEqual([answer(1), answer(2), answer(3)]);
  });
});

describe('a run that hangs', () => {
  /** Two models in one child, the first of which hangs where a row says so. */
  const harmfulAndInnocent = async (hangMs: number) => {
    const { challenger } = bench.challenger({ hangMs });
    const harmful = await bench.odd(await slow(), 'harmful');
    const innocent = await bench.odd(sometimesNaN(0.01), 'innocent');
    challenger.want([harmful, innocent]);
    await Promise.all([loaded(challenger, harmful), loaded(challenger, innocent)]);
    return { challenger, harmful, innocent };
  };

  it('takes 5 s: late for its request, then killed and replaced; this process goes on', async () => {
    const { challenger, lines } = bench.challenger();
    const graph = await slow();
    const model = await bench.odd(graph);
    const champion = await openVersion(oddVersion(graph, 'odd', 1), graph.bytes, NOW);
    challenger.want([model]);
    await loaded(challenger, model);
    const pid = pidOf(lines);
    expect(await ask(challenger, model, { x: 1, ms: 5_000 }, 50)).toMatchObject({ why: 'late' });
    const behind = ask(challenger, model, { x: 2, ms: 0 });
    let answered = 0;
    while (challenger.counts().restarts.hung === 0) {
      const outputs = await champion.predict(table({ x: [answered], ms: [0] }), at(1));
      expect(outputs).toEqual([{ scores: [answered], maturesAt: NOW / 1000 }]);
      answered++;
    }
    await champion.close();
    expect(answered).toBeGreaterThan(100);
    expect(await behind).toEqual({
      ok: false,
      why: 'died',
      detail: 'the challenger process ended: it gave no answer for 2000 ms',
    });
    expect(challenger.loaded('odd', 1)).toBe(false);
    await loaded(challenger, model);
    expect(await isGone(pid)).toBe(true);
    expect(await ask(challenger, model, { x: 3, ms: 0 })).toEqual(answer(3));
    expect(challenger.counts().restarts).toEqual({ ...NONE, hung: 1 });
    expect(lines.find(({ msg }) => msg === 'the challenger process ended')).toMatchObject({
      death: 'hung',
      challengers: ['odd@1'],
      waitMs: 100,
    });
  });

  it('charges nobody else: a canary of another model that waits behind it is not asked, rather than late or dead', async () => {
    const { challenger, harmful, innocent } = await harmfulAndInnocent(500);
    const hanging = ask(challenger, harmful, { x: 1, ms: 60_000 }, 5_000);
    const late = ask(challenger, innocent, { x: 2 }, 50);
    const behind = ask(challenger, innocent, { x: 3 }, 5_000);
    expect(await late).toMatchObject({ ok: false, why: 'not-loaded' });
    expect(await hanging).toMatchObject({ ok: false, why: 'died' });
    expect(await behind).toMatchObject({ ok: false, why: 'not-loaded' });
  });

  it('keeps nothing of the requests that were late behind it, though one still waits', async () => {
    const { challenger, harmful, innocent } = await harmfulAndInnocent(60_000);
    expect(await ask(challenger, harmful, { x: 1, ms: 60_000 }, 50)).toMatchObject({ why: 'late' });
    const patient = ask(challenger, innocent, { x: 2 }, 60_000);
    const rows: WeakRef<object>[] = [];
    const askOnce = (x: number) => {
      const own = table({ x: [x] });
      rows.push(new WeakRef(own));
      return challenger.score('innocent', 1, own, at(1), 5);
    };
    for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 50 }, (_, k) => askOnce(50 * i + k)));
    expect(challenger.counts().late).toBe(1_001);
    expect(await alive(rows)).toBeLessThanOrEqual(10);
    await challenger.stop();
    expect(await patient).toMatchObject({ ok: false });
  });

  it('has ten times its deadline where that is more than 2 s', async () => {
    const { challenger } = bench.challenger();
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const late = ask(challenger, model, { x: 1, ms: 3_000 }, 1_500);
    const behind = ask(challenger, model, { x: 2, ms: 0 });
    expect(await late).toMatchObject({ why: 'late' });
    expect(await behind).toEqual(answer(2));
    expect(challenger.counts().restarts).toEqual(NONE);
  });

  it('waits longer for a new child each time', async () => {
    const { challenger, lines } = bench.challenger({ hangMs: 50 });
    const model = await bench.odd(await slow());
    challenger.want([model]);
    for (const x of [1, 2, 3]) {
      await loaded(challenger, model);
      expect(await ask(challenger, model, { x, ms: 60_000 })).toMatchObject({ why: 'died' });
    }
    const waits = lines.filter(({ msg }) => msg === 'the challenger process ended').map(({ waitMs }) => waitMs);
    expect(waits).toEqual([100, 200, 400]);
  });

  it('takes the shadows in the child and those behind it with it, counted', async () => {
    const { challenger } = bench.challenger({ hangMs: 200 });
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    let said = 0;
    const shadow = (ms: number) => challenger.shadow('odd', 1, table({ x: [1, 2], ms: [ms, 0] }), at(2), () => said++);
    for (const ms of [60_000, 0, 0]) expect(shadow(ms)).toBe('taken');
    await expect.poll(() => challenger.counts().restarts.hung, SOON).toBe(1);
    expect(challenger.counts()).toMatchObject({ shadowQueueRows: 0, alive: false });
    expect(shadow(0)).toEqual({ dropped: 'restarting' });
    expect(challenger.counts().shadowDropped).toMatchObject({ restarting: 8, busy: 0, paused: 0 });
    await loaded(challenger, model);
    expect(said).toBe(0);
    // What it does to the process it does to the canaries beside it, so it gets nothing for a while; they go on.
    expect(shadow(0)).toEqual({ dropped: 'paused' });
    expect(await ask(challenger, model, { x: 3, ms: 0 })).toEqual(answer(3));
  });
});

describe('a run that eats memory', () => {
  it('is killed above the limit, and answers again', async () => {
    const { challenger, lines } = bench.challenger({ limitMb: 400 });
    const model = await bench.odd(greedy());
    challenger.want([model]);
    await loaded(challenger, model);
    const pid = pidOf(lines);
    expect(await ask(challenger, model, { x: 1, mb: 20 })).toEqual(answer(1));
    const died = await ask(challenger, model, { x: 2, mb: 1e6 });
    expect(died).toEqual({
      ok: false,
      why: 'died',
      detail: expect.stringMatching(/ended: it took \d+ MB of memory; GAUNTLET_CHALLENGER_MB allows 400$/),
    });
    expect(challenger.counts().restarts).toEqual({ ...NONE, memory: 1 });
    await loaded(challenger, model);
    expect(await isGone(pid)).toBe(true);
    expect(await ask(challenger, model, { x: 3, mb: 0 })).toEqual(answer(3));
  });

  it('in a load: the version is a failure, and the others are loaded again', async () => {
    const { challenger } = bench.challenger({ limitMb: 400 });
    const deadly = await bench.odd({ ...greedy(), warmUpRows: [{ x: 1, mb: 1e6 }] }, 'deadly');
    const good = await bench.odd(sometimesNaN(0.01), 'good');
    challenger.want([deadly, good]);
    await loaded(challenger, good);
    expect(challenger.failures()).toMatchObject([
      {
        model: 'deadly',
        attempts: 1,
        because: expect.stringMatching(/^its process ended while it was loaded: it took \d+ MB/),
      },
    ]);
    expect(await ask(challenger, good, { x: 1 })).toEqual(answer(1));
  });
});

describe('a child that is killed by hand', () => {
  it('costs what it was at, at once, and is replaced', async () => {
    const { challenger, lines } = bench.challenger();
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const pid = pidOf(lines);
    const asked = [60_000, 0, 0].map((ms, x) => ask(challenger, model, { x, ms }));
    process.kill(pid, 'SIGKILL');
    const detail = 'the challenger process ended: it was killed by SIGKILL';
    for (const one of asked) expect(await one).toEqual({ ok: false, why: 'died', detail });
    expect(challenger.counts()).toMatchObject({ alive: false, restarts: { ...NONE, crashed: 1 } });
    await loaded(challenger, model);
    expect(pidOf(lines)).not.toBe(pid);
    expect(await ask(challenger, model, { x: 7, ms: 0 })).toEqual(answer(7));
  });

  it('does not mind the signals of its group: its parent says when it ends', async () => {
    const { challenger, lines } = bench.challenger();
    const model = await bench.odd(await slow());
    challenger.want([model]);
    await loaded(challenger, model);
    const pid = pidOf(lines);
    const asked = ask(challenger, model, { x: 1, ms: 200 });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal);
    expect(await asked).toEqual(answer(1));
    expect(await ask(challenger, model, { x: 2, ms: 0 })).toEqual(answer(2));
    expect(pidOf(lines)).toBe(pid);
  });
});

describe('a parent that is killed', () => {
  const parents: ChildProcess[] = [];
  const children: number[] = [];
  afterEach(async () => {
    for (const parent of parents.splice(0)) parent.kill('SIGKILL');
    // Where the test has failed, one is left.
    for (const pid of children.splice(0)) if (!(await isGone(pid))) process.kill(pid, 'SIGKILL');
  });

  const program = fileURLToPath(new URL('./parent-program.ts', import.meta.url));

  async function startParent() {
    const model = await bench.odd(await slow());
    const description = `${model.file}.json`;
    await writeFile(description, JSON.stringify(model));
    const parent = spawn(process.execPath, ['--inspect=127.0.0.1:0', '--import', 'tsx', program, description], {
      env: { ...process.env, NODE_OPTIONS: '--inspect=127.0.0.1:0 --no-deprecation' },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const lines: Record<string, unknown>[] = [];
    createInterface({ input: parent.stdout }).on('line', (line) => lines.push(JSON.parse(line)));
    parents.push(parent);
    const said = (what: string) => expect.poll(() => lines.some((line) => line['said'] === what), SOON).toBe(true);
    await said('loaded');
    children.push(pidOf(lines));
    return { parent, lines, said, pid: pidOf(lines) };
  }

  it('leaves no child that waits for work, and no inspector was inherited', async () => {
    const { parent, lines, pid } = await startParent();
    expect(await isGone(pid)).toBe(false);
    parent.kill('SIGKILL');
    await expect.poll(() => isGone(pid), SOON).toBe(true);
    expect(lines.filter(({ stderr }) => stderr !== undefined)).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('leaves no child in the middle of a run', async () => {
    const { parent, said, pid } = await startParent();
    parent.stdin.write('600000\n');
    await said('sent');
    // It is in the run, and will not read its channel again, once it has used the processor for a while.
    const ticks = async () => (await readFile(`/proc/${pid}/stat`, 'latin1')).split(') ')[1]!.split(' ')[11]!;
    const before = Number(await ticks());
    await expect.poll(async () => Number(await ticks()) - before, SOON).toBeGreaterThan(50);
    parent.kill('SIGKILL');
    await expect.poll(() => isGone(pid), SOON).toBe(true);
  });
});

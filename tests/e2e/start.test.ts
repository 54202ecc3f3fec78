import { spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROW, writeBench } from '../../bench/support/model.ts';
import { anyFree } from '../../workers/temporal/ports.ts';
import { devServerOf, endProcessesOf, prepareMachine, processesOf, startGauntlet, type Machine } from './process.ts';
import type { Started } from './process.ts';
import { writeSmallProject } from './small-project.ts';

const END = /^Ctrl-C stops everything/;
const TRAIN_SMALL = ['up', '--train', 'small'];

describe('the start command, with nothing prepared', () => {
  let machine: Machine;
  let running: Started;
  let port: number;
  let probability: number;

  beforeAll(async () => {
    machine = await prepareMachine();
    await writeSmallProject(join(machine.models, 'small'));
    port = await anyFree();
    running = startGauntlet(TRAIN_SMALL, { ...machine.env, PORT: String(port) });
  });
  afterAll(async () => {
    await endProcessesOf(machine.folder);
    await machine.remove();
  });

  const status = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status;

  /** Runs the printed line as it is, in a shell, and then once more for its status. */
  const ask = (started: Started) => {
    const line = started.lines.find((one) => one.startsWith('curl '))!;
    const answered = spawnSync('bash', ['-c', line], { encoding: 'utf8' });
    const again = spawnSync('bash', ['-c', `${line} -s -o ${join(machine.folder, 'answer')} -w '%{http_code}'`], {
      encoding: 'utf8',
    });
    return {
      line,
      status: Number(again.stdout),
      answer: JSON.parse(answered.stdout) as { probability: number; version: number; prediction: boolean },
    };
  };

  it('answers /health long before there is a model, and says that it is not ready', async () => {
    const alive = async () => (await status('/health').catch(() => 0)) === 200;
    while (!(await alive())) {
      expect(running.child.exitCode, running.errors).toBeNull();
      await new Promise((done) => setTimeout(done, 20));
    }
    expect(running.lines).not.toContainEqual(expect.stringMatching(/^API: http/));
    expect(await status('/ready')).toBe(503);
  });

  it('says each step in one line, in order, and ends with links and a curl line', async () => {
    await running.said(END);
    const steps = [
      /^Bucket: file:/,
      /^temporal: \d+\.\d+\.\d+ on PATH$/,
      /^Temporal: dev server started at 127\.0\.0\.1:\d+, UI at http:\/\/localhost:\d+/,
      /^Workers: pipeline and training/,
      new RegExp(`^API: http://127\\.0\\.0\\.1:${port}$`),
      /^Project small: applied, number 1, [0-9a-f]{12}$/,
      /^small: training, as workflow train-small$/,
      /^project +project 1 /,
      /^ingest +visits [0-9a-f]{12}: 1,500 rows/,
      /^expectations +2 of 2 hold/,
      /^rows +1,500 rows sealed/,
      /^split +.*train .*valid .*test /,
      /^preprocess +\d+ features/,
      /^train +60 of at most 60 trees kept.*loss/,
      /^baseline +linear/,
      /^evaluate +test, .*linear baseline/,
      /^gate +pass: /,
      /^refit +on all matured rows/,
      /^export +model\.onnx [0-9a-f]{12}/,
      /^register +.*version 1/,
      /^promote +rollout-small started/,
      /^small: version 1 serves, revision 1$/,
      new RegExp(`^API docs +http://127\\.0\\.0\\.1:${port}/docs$`),
      /^Temporal UI +http:\/\/localhost:\d+\/namespaces\/default\/workflows$/,
      /^Its training http:\/\/localhost:\d+\/namespaces\/default\/workflows\/train-small\/[0-9a-f-]+\/history$/,
      /^A prediction of small, version 1:$/,
      /^curl /,
      END,
    ];
    const at = steps.map((step) => running.lines.findIndex((line) => step.test(line)));
    steps.forEach((step, i) => expect(at[i], `${step} in\n${running.lines.join('\n')}`).toBeGreaterThanOrEqual(0));
    expect(at).toEqual(at.toSorted((a, b) => a - b));
    // On stderr there is nothing but how far the long steps are.
    for (const line of running.errors.split('\n')) expect(line).toMatch(/^$|^ *\d+ % /);
  });

  it('is ready then, its links open, and the curl line gives a prediction as it stands', async () => {
    expect(await status('/ready')).toBe(200);
    expect(await status('/docs')).toBe(200);
    const ui = running.lines
      .find((line) => line.startsWith('Its training'))!
      .split(' ')
      .at(-1)!;
    expect((await fetch(ui)).status).toBe(200);
    const { status: code, answer } = ask(running);
    expect(code).toBe(200);
    expect(answer).toMatchObject({ version: 1 });
    expect(answer.probability).toBeGreaterThan(0);
    expect(answer.probability).toBeLessThan(1);
    probability = answer.probability;
  });

  it('refuses a port that was asked for and is taken, and leaves nothing running', async () => {
    const second = await prepareMachine();
    try {
      const other = join(second.folder, 'other');
      const refused = startGauntlet(['up', '--home', other], { ...second.env, PORT: String(port) });
      expect(await refused.ended).toBe(1);
      expect(refused.errors).toContain(`Port ${port} is taken by another program.`);
      expect(refused.errors).toContain('choose another port with PORT');
      expect(await processesOf(second.folder)).toEqual([]);
      // The bucket goes with the home that was named.
      expect([existsSync(join(other, 'bucket')), existsSync(join(second.home, 'bucket'))]).toEqual([true, false]);
    } finally {
      await second.remove();
    }
  });

  it('takes the dev server over where it was killed, trains nothing, and serves the same', async () => {
    const server = await devServerOf(machine.home);
    running.kill('SIGKILL');
    expect(await running.ended).toBe('SIGKILL');
    running = startGauntlet(TRAIN_SMALL, { ...machine.env, PORT: String(port) });
    await running.said(END);
    expect(await devServerOf(machine.home)).toMatchObject({ pid: server.pid, port: server.port });
    expect(running.lines).toContainEqual(expect.stringMatching(/^Temporal: .*already running/));
    expect(running.lines).toContainEqual('small: version 1 serves since revision 1, nothing to train');
    expect(ask(running)).toMatchObject({ status: 200, answer: { version: 1, probability } });
  });

  it('stops on Ctrl-C within 30 seconds with exit code 0, and nothing of it goes on', async () => {
    const server = await devServerOf(machine.home);
    expect(await processesOf(machine.folder)).toEqual(expect.arrayContaining([server.pid, running.child.pid]));
    const from = Date.now();
    running.kill('SIGINT');
    expect(await running.ended).toBe(0);
    expect(Date.now() - from).toBeLessThan(30_000);
    expect(running.lines.at(-1)).toBe('Stopped.');
    expect(await processesOf(machine.folder)).toEqual([]);
    expect(existsSync(join(machine.home, 'temporal.json'))).toBe(false);
    expect(existsSync(join(machine.home, 'api.json'))).toBe(false);
    expect((await readdir(machine.home)).filter((name) => name.startsWith('scratch-'))).toEqual([]);
  });

  it('says so where port 3000 is taken, uses another, and comes up again without training', async () => {
    const taken = await take(3000);
    try {
      running = startGauntlet(TRAIN_SMALL, machine.env);
      await running.said(END);
      expect(running.lines).toContain('API: port 3000 is taken, trying 3001');
      const url = running.lines.find((line) => line.startsWith('API: http'))!.slice('API: '.length);
      expect(url).not.toMatch(/:3000$/);
      expect((await fetch(`${url}/ready`)).status).toBe(200);
      expect(running.lines).toContain('small: version 1 serves since revision 1, nothing to train');
      expect(running.lines).toContainEqual(expect.stringMatching(/^Project small: as applied before, number 1/));
      // The workflow that trained it is still to be seen: the dev server kept its state.
      expect(ask(running)).toMatchObject({ status: 200, answer: { version: 1, probability } });
      const described = await fetch(`${url}/v1/trainings/train-small`);
      expect(await described.json()).toMatchObject({
        status: 'completed',
        result: { outcome: 'registered', version: 1 },
      });
    } finally {
      running.kill('SIGINT');
      await new Promise((done) => (taken ? taken.close(done) : done(undefined)));
    }
    expect(await running.ended).toBe(0);
    expect(await processesOf(machine.folder)).toEqual([]);
  });
});

/** Listens on a port; undefined where somebody else does already, which serves as well. */
function take(port: number): Promise<Server | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(undefined));
    server.listen(port, '127.0.0.1', () => done(server));
  });
}

describe('while Temporal is awaited', () => {
  let machine: Machine;
  /** Takes connections and never says a word. */
  let silent: Server;
  let temporalPort: number;

  beforeAll(async () => {
    machine = await prepareMachine();
    const home = machine.env['GAUNTLET_HOME']!;
    await writeBench(machine.env['GAUNTLET_BUCKET'] ?? `file:${join(home, 'bucket')}`, home);
    silent = createServer(() => {});
    await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done));
    temporalPort = (silent.address() as { port: number }).port;
  });
  afterAll(async () => {
    silent?.close();
    await endProcessesOf(machine.folder);
    await machine.remove();
  });

  it('predictions are answered, and what needs it says that it is not there yet', async () => {
    const port = await anyFree();
    const started = startGauntlet(['up'], {
      ...machine.env,
      PORT: String(port),
      TEMPORAL_ADDRESS: `127.0.0.1:${temporalPort}`,
    });
    const ask = (path: string, body: object) =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }).catch(() => undefined);
    let answered: Response | undefined;
    while (answered?.status !== 200) {
      expect(started.child.exitCode, started.errors).toBeNull();
      answered = await ask('/v1/models/bench/predict', ROW);
    }
    const training = await ask('/v1/models/bench/train', {});
    expect([training!.status, await training!.text()]).toEqual([503, expect.stringContaining('still starting')]);
    // Ready is not up: who stops it now must not find that something of Temporal's keeps it alive.
    const from = Date.now();
    started.kill('SIGTERM');
    await started.ended;
    expect(Date.now() - from).toBeLessThan(30_000);
  });
});

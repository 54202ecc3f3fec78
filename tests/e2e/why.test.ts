import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createControl } from '../../api/control.ts';
import type { Why } from '../../api/control/why/shapes.ts';
import { run } from '../../cli/run.ts';
import { silent } from '../api/control/records.ts';
import { post, startServing, until } from '../api/serving/fixture.ts';
import { startInProcess, type InProcess } from './in-process.ts';
import { writeSmallProject } from './small-project.ts';

const VISIT = { visit_id: 'V-1', pages: 39, spent: 12.5, channel: 'mail', visited_on: '2025-02-03' };

/** A model that is really trained, by the pipeline; asked over the command line. */
describe('gauntlet why', () => {
  let gauntlet: InProcess;
  let serving: Awaited<ReturnType<typeof startServing>>;
  let server: Server;
  let api: string;

  beforeAll(async () => {
    gauntlet = await startInProcess();
    const { stores, env, folder } = gauntlet;
    await gauntlet.apply(await writeSmallProject(join(folder, 'project')));
    const trained = await gauntlet.train({ model: 'small', promote: true });
    if (trained.outcome !== 'registered') throw new Error(trained.because);
    await env.client.workflow.getHandle('rollout-small').result();
    serving = await startServing(stores);
    await until(() => serving.ready().ready);
    const control = createControl({
      stores,
      temporal: async () => env.client,
      log: silent,
      flushLog: () => serving.predictionLog.flush(),
      home: folder,
    });
    const answer = getRequestListener(control.fetch);
    server = createServer((request, response) => void answer(request, response));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server?.close();
    await serving?.stop();
    await gauntlet?.stop();
  });

  async function command(...args: string[]) {
    let [out, err] = ['', ''];
    const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += text), true));
    const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += text), true));
    try {
      return { code: await run([...args, '--api', api]), out, err };
    } finally {
      stdout.mockRestore();
      stderr.mockRestore();
      process.exitCode = undefined;
    }
  }

  async function ask(): Promise<string> {
    const response = await post(serving.app, '/v1/models/small/predict', VISIT);
    expect(response.status).toBe(200);
    return ((await response.json()) as { requestId: string }).requestId;
  }

  it('walks from an answer to the very file that it was trained on, one step a line', async () => {
    const id = await ask();
    const label = { requestId: id, value: true, labelId: 'bought-it' };
    expect((await post(serving.app, '/v1/models/small/feedback', label)).status).toBe(202);
    const { code, out } = await command('why', id);
    expect(code).toBe(0);
    const run = (await gauntlet.stores.runs.list('small'))[0]!;
    const csv = await readFile(join(gauntlet.folder, 'project', 'visits.csv'));
    const hash = createHash('sha256').update(csv).digest('hex');
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => /^ {2}-> (\w+)/.exec(line)?.[1])).toEqual([
      undefined,
      'answer',
      'route',
      'revision',
      'look',
      'version',
      'run',
      'dataset',
      'project',
      'labels',
    ]);
    const says = [
      new RegExp(`^${id}  At .* version 1 of small said true \\(score 0\\.\\d+\\); the outcome was true\\.$`),
      /Asked about V-1 with pages 39, spent 12\.5, channel "mail", visited_on "2025-02-03", it said true .* log\/raw\//,
      /Unit .* fell to the champion, version 1, as all units do\./,
      /Revision 1 of .* serves version 1 as the champion: by .* \(rollout-small, run .*\.  serving\/0{11}1\.json$/,
      /The gate of its training, at .*: pass, because .*  looks\/small\/.*-gate\.json$/,
      /Version 1 of small is gradientBoosting, made of what was known at 2025-01-01.*  versions\/small\/1\.json$/,
      new RegExp(
        `Run ${run.id} trained it, .* 2 of 2 expectations passed, logLoss 0\\.\\d+ on the test rows \\(linear baseline .*  runs/small/${run.id}\\.json$`,
      ),
      new RegExp(
        `Dataset visits is visits\\.csv \\(${hash.slice(0, 12)}\\): 1500 rows, .*  datasets/visits/${hash}\\.json$`,
      ),
      /Project 1 .* owner tests: model\.yaml, rows\.sql, visits\.csv\.  projects\/small\/1\.json$/,
      /The outcome was true \(known at .*; label bought-it by feedback\)\.$/,
    ];
    lines.forEach((line, i) => expect(line).toMatch(says[i]!));
  });

  it('is JSON with --json, whose last link holds the bytes of the source', async () => {
    const { out } = await command('why', await ask(), '--json');
    const dataset = (JSON.parse(out) as Why).steps.find((step) => step.step === 'dataset')!;
    const bytes = await gauntlet.stores.bucket.read(dataset.objects[0]!);
    expect(Buffer.from(bytes!)).toEqual(await readFile(join(gauntlet.folder, 'project', 'visits.csv')));
  });

  it('fails in words where there is no such answer or row, and is wrong usage where the row is none', async () => {
    expect(await command('why', 'nobody')).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(
        /^No answer with the request id nobody is in the prediction log\. Looked in .* --around/,
      ),
    });
    expect(await command('why', 'nobody', '--around', 'noon')).toMatchObject({
      code: 1,
      err: expect.stringContaining('around'),
    });
    expect(await command('why', await ask(), '--row', '1')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no row 1'),
    });
    expect((await command('why', 'nobody', '--row', '-1')).code).toBe(2);
    expect((await command('why', 'nobody', '--row', 'x')).code).toBe(2);
  });

  it('and gauntlet history name the same revision', async () => {
    const why = JSON.parse((await command('why', await ask(), '--json')).out) as Why;
    const history = await command('history', 'small', '--at', new Date().toISOString());
    const { n, record } = why.steps.find((step) => step.step === 'revision')!;
    expect(history.out).toContain(`version 1 of small served everybody (revision ${n} of ${record!.committedAt}`);
  });
});

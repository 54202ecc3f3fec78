import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UserError } from '../../schemas/index.ts';
import { anyFree } from '../../workers/temporal/ports.ts';
import { expectGoldenError } from '../golden/errors.ts';
import { startDevServer } from '../servers/temporal.ts';
import { COMMAND, endProcessesOf, prepareMachine, Started, type Machine } from './process.ts';
import { writeSmallProject } from './small-project.ts';

/** Kibibytes that the process may write into one file: fewer than the project's data have. */
const LIMIT = 200;

describe.runIf(process.platform === 'linux')('a disk that is full, for a real process', () => {
  let machine: Machine;
  let temporal: Awaited<ReturnType<typeof startDevServer>>;
  let running: Started;
  let port: number;
  beforeAll(async () => {
    machine = await prepareMachine();
    temporal = await startDevServer();
    await writeSmallProject(join(machine.models, 'small'), { rows: 10_000 });
    port = await anyFree();
    const env = { ...machine.env, PORT: String(port), TEMPORAL_ADDRESS: temporal.address };
    const limited = `ulimit -f ${LIMIT}; exec "$@"`;
    running = new Started('bash', ['-c', limited, 'bash', process.execPath, COMMAND, 'up', '--train', 'small'], env);
  });
  afterAll(async () => {
    await endProcessesOf(machine.folder);
    await temporal.stop();
    await machine.remove();
  });

  it('is told in full, leaves no key, and the API goes on answering', async () => {
    const start = await running.said(/^Project in .*not applied\. /);
    await running.said(/^Ctrl-C stops everything/);
    const from = running.lines.indexOf(start);
    const to = running.lines.findIndex((line) => line.startsWith('small: '));
    const text = running.lines.slice(from, to).join('\n');
    const told = () => {
      throw new UserError('DiskFull', text);
    };
    await expectGoldenError('up-disk-full', told, { [machine.folder]: '<machine>' });
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    const left = await readdir(join(machine.home, 'bucket'), { recursive: true, withFileTypes: true });
    // model.yaml and rows.sql went in before, by their hashes; no record names them.
    const files = left.filter((entry) => entry.isFile()).map(({ parentPath }) => parentPath.split('/').at(-1));
    expect(new Set(files)).toEqual(new Set(['objects']));
    running.kill('SIGINT');
    expect(await running.ended).toBe(0);
  });
});

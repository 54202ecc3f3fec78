import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../api/client.ts';
import { followTraining } from '../../cli/follow.ts';
import { UserError, type Project } from '../../schemas/index.ts';
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
    // Small data, of which rows.sql makes more rows than there is room for.
    await writeSmallProject(join(machine.models, 'wide'), {
      name: 'wide',
      sql: `SELECT visit_id * 1000 + i AS entity, visited_on AS predicted_at, bought AS label, visited_on + 7 AS known_at,
       pages, hash(visit_id * 1000 + i) / 1e17 AS spent, channel, visited_on
FROM visits, range(50) AS copies(i)
`,
    });
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

  const keysOf = async () => {
    const bucket = join(machine.home, 'bucket');
    const left = await readdir(bucket, { recursive: true, withFileTypes: true });
    const files = left.filter((entry) => entry.isFile());
    return files.map(({ parentPath, name }) => relative(bucket, join(parentPath, name))).sort();
  };

  it('is told in full, leaves no key, and the API goes on answering', async () => {
    const start = await running.said(/^Project in .*not applied\. /);
    await running.said(/^Ctrl-C stops everything/);
    const from = running.lines.indexOf(start);
    const to = running.lines.findIndex((line) => line.startsWith('Project wide: '));
    const text = running.lines.slice(from, to).join('\n');
    const told = () => {
      throw new UserError('DiskFull', text);
    };
    await expectGoldenError('up-disk-full', told, { [machine.folder]: '<machine>' });
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    expect((await keysOf()).filter((key) => key.includes('small'))).toEqual([]);
    const { files } = JSON.parse(await readFile(join(machine.home, 'bucket/projects/wide/1.json'), 'utf8')) as Project;
    // Of the project that had no room, nothing is there: what is there belongs to the other.
    const objects = Object.values(files).map(({ sha256 }) => `objects/${sha256}`);
    expect(await keysOf()).toEqual([...objects, 'projects/wide/1.json'].sort());
  });

  it('is told in full where the training rows have no room, and leaves no record', async () => {
    const before = await keysOf();
    const client = createClient(`http://127.0.0.1:${port}`);
    await client.train('wide', {});
    const { failure } = await followTraining(client, 'train-wide', () => {});
    const told = () => {
      throw new UserError(failure!.type, failure!.message);
    };
    await expectGoldenError('pipeline-disk-full', told, { [machine.folder]: '<machine>' });
    const left = (await keysOf()).filter((key) => !before.includes(key));
    expect(left.filter((key) => !/^(objects|datasets)\//.test(key))).toEqual([]);
    expect((await readdir(machine.home)).filter((name) => name.startsWith('scratch-'))).toEqual([]);
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
  });

  it('stops as ever', async () => {
    running.kill('SIGINT');
    expect(await running.ended).toBe(0);
  });
});

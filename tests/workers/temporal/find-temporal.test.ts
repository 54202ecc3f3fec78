import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connect, findTemporal } from '../../../workers/temporal/index.ts';
import type { TemporalServer } from '../../../workers/temporal/index.ts';
import { processIdentity } from '../../../workers/temporal/process-identity.ts';
import { temporalBinary } from '../../servers/temporal.ts';

let binary: string;
const cleanUps: (() => unknown)[] = [];

beforeAll(async () => {
  binary = await temporalBinary();
});

afterEach(async () => {
  while (cleanUps.length > 0) await cleanUps.pop()!();
});

/** A home whose PATH holds the Temporal CLI and nothing else; ports are remembered, so the usual ones stay untouched. */
async function newHome(): Promise<{
  home: string;
  env: NodeJS.ProcessEnv;
  lines: string[];
  find: () => Promise<TemporalServer>;
}> {
  const home = mkdtempSync(join(tmpdir(), 'gauntlet-home-'));
  cleanUps.push(() => rmSync(home, { recursive: true, force: true }));
  const bin = join(home, 'bin');
  mkdirSync(bin);
  symlinkSync(binary, join(bin, 'temporal'));
  writeFileSync(
    join(home, 'temporal-ports.json'),
    JSON.stringify({ port: await freePort(), uiPort: await freePort() }),
  );
  const env = { PATH: bin, HOME: home };
  const lines: string[] = [];
  const find = async () => {
    const server = await findTemporal({ home, env, say: (line) => lines.push(line) });
    cleanUps.push(() => server.stop());
    return server;
  };
  return { home, env, lines, find };
}

async function freePort(): Promise<number> {
  const server = await occupy(0);
  await server.close();
  return server.port;
}

async function occupy(port: number): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer();
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

const record = (home: string): { pid: number; users: object[] } =>
  JSON.parse(readFileSync(join(home, 'temporal.json'), 'utf8'));

describe('the dev server of a home', () => {
  it('is started, adopted by a second finder, and ends with the last of them', async () => {
    const { home, lines, find } = await newHome();
    const first = await find();
    const { pid } = record(home);
    expect(first).toMatchObject({ started: true, namespace: 'default' });
    expect(processIdentity(pid)?.command).toContain(join(home, 'temporal.db'));

    const second = await find();
    expect(second).toMatchObject({ started: false, address: first.address, uiUrl: first.uiUrl });
    expect(lines.at(-1)).toContain('already running');

    await first.stop();
    expect(processIdentity(pid)).toBeDefined();
    await second.stop();
    expect(processIdentity(pid)).toBeUndefined();
    expect(existsSync(join(home, 'temporal.json'))).toBe(false);
  });

  it('ends although a user of it was killed and never left', async () => {
    const { home, find } = await newHome();
    const server = await find();
    const now = record(home);
    const killed = { pid: now.pid, born: 'long ago', id: 'killed' };
    writeFileSync(join(home, 'temporal.json'), JSON.stringify({ ...now, users: [...now.users, killed] }));
    await server.stop();
    expect(processIdentity(now.pid)).toBeUndefined();
  });

  it('is started once when several look for it at the same time', async () => {
    const { find } = await newHome();
    const servers = await Promise.all([find(), find(), find()]);
    expect(servers.filter((s) => s.started)).toHaveLength(1);
    expect(new Set(servers.map((s) => s.address)).size).toBe(1);
  });

  it('keeps its workflows, its ports and 90 days of history through kill -9 and a new start', async () => {
    const { home, lines, find } = await newHome();
    const before = await find();
    const { client, close } = await connect(before, {});
    await client.workflow.start('echo', { taskQueue: 'nobody', workflowId: 'waits', args: [{ text: 'still here' }] });
    await close();
    const { pid } = record(home);
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => processIdentity(pid)).toBeUndefined();

    const after = await find();
    expect(after).toMatchObject({ started: true, address: before.address, uiUrl: before.uiUrl });
    expect(lines.join('\n')).not.toContain('taken');
    const again = await connect(after, {});
    const description = await again.client.workflow.getHandle('waits').describe();
    expect(description.status.name).toBe('RUNNING');
    const { config } = await again.connection.workflowService.describeNamespace({ namespace: 'default' });
    expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(2160 * 3600);
    await again.close();
  });

  it('is in a process group of its own, so that Ctrl-C in the terminal does not reach it', async () => {
    const { home, find } = await newHome();
    await find();
    const { pid } = record(home);
    expect(() => process.kill(-pid, 0)).not.toThrow();
  });

  it('says that a port is taken, and uses another', async () => {
    const { home, lines, find } = await newHome();
    const taken = await occupy(0);
    cleanUps.push(taken.close);
    writeFileSync(join(home, 'temporal-ports.json'), JSON.stringify({ port: taken.port, uiPort: await freePort() }));
    const server = await find();
    expect(server.address).not.toBe(`127.0.0.1:${taken.port}`);
    expect(lines.join('\n')).toContain(`port ${taken.port} is taken`);
  });

  it('is not believed where the record names a process that is something else', async () => {
    const { home, find } = await newHome();
    const self = { pid: process.pid, born: processIdentity(process.pid)!.born };
    writeFileSync(
      join(home, 'temporal.json'),
      JSON.stringify({ ...self, port: 1, uiPort: 2, binary, startedAt: new Date().toISOString(), users: [] }),
    );
    expect(await find()).toMatchObject({ started: true });
  });

  it('that cannot start is told with the end of its log', async () => {
    const { home, find } = await newHome();
    writeFileSync(join(home, 'temporal.db'), 'this is no database, and long enough to be taken for one by nobody');
    await expect(find()).rejects.toMatchObject({
      type: 'TemporalDidNotStart',
      message: expect.stringMatching(/did not come up[^]*database[^]*move/),
    });
    expect(existsSync(join(home, 'temporal.json'))).toBe(false);
  });
});

describe('a server that was named', () => {
  const find = (env: NodeJS.ProcessEnv) => findTemporal({ home: join(tmpdir(), 'never-made'), env, say: () => {} });

  it('and does not answer is an error with address and reason, never another server', async () => {
    const port = await freePort();
    await expect(find({ TEMPORAL_ADDRESS: `127.0.0.1:${port}` })).rejects.toMatchObject({
      type: 'TemporalUnreachable',
      message: `No Temporal server answers at 127.0.0.1:${port}: nothing listens there (connection refused). Start it or correct TEMPORAL_ADDRESS (or the profile that names it); unset it, and Gauntlet brings up a server of its own.`,
    });
    expect(existsSync(join(tmpdir(), 'never-made'))).toBe(false);
  });

  it('and is some other program is told so', async () => {
    const other = await occupy(0);
    cleanUps.push(other.close);
    await expect(find({ TEMPORAL_ADDRESS: `127.0.0.1:${other.port}` })).rejects.toThrow(
      /does not answer as a Temporal server/,
    );
  });

  it('on a host that does not exist is told so', async () => {
    await expect(find({ TEMPORAL_ADDRESS: 'no-such-host.invalid' })).rejects.toThrow(
      /there is no host no-such-host\.invalid\./,
    );
  });

  it('is used, and left running by stop', async () => {
    const own = await (await newHome()).find();
    const lines: string[] = [];
    const named = await findTemporal({
      home: join(tmpdir(), 'never-made'),
      env: { TEMPORAL_ADDRESS: own.address },
      say: (line) => lines.push(line),
    });
    expect(named).toMatchObject({ address: own.address, started: false });
    expect(lines).toEqual([`Temporal: using the server at ${own.address}, namespace default, as the environment says`]);
    await named.stop();
    await (await connect(own, {})).close();
  });

  it('may be named by a profile in a config file', async () => {
    const { home, find: findOwn } = await newHome();
    const own = await findOwn();
    const file = join(home, 'temporal.toml');
    writeFileSync(file, `[profile.default]\naddress = "${own.address}"\n[profile.empty]\nnamespace = "x"\n`);
    expect(await find({ TEMPORAL_CONFIG_FILE: file })).toMatchObject({ address: own.address, started: false });
    await expect(find({ TEMPORAL_CONFIG_FILE: file, TEMPORAL_PROFILE: 'empty' })).rejects.toThrow(/names no address/);
    await expect(find({ TEMPORAL_CONFIG_FILE: file, TEMPORAL_PROFILE: 'prod' })).rejects.toThrow(
      /Profile 'prod' not found/,
    );
    await expect(find({ TEMPORAL_CONFIG_FILE: `${file}.gone` })).rejects.toThrow(/there is no such file/);
  });

  it('that lacks the namespace is told with the command that creates it', async () => {
    const own = await (await newHome()).find();
    await expect(find({ TEMPORAL_ADDRESS: own.address, TEMPORAL_NAMESPACE: 'nowhere' })).rejects.toThrow(
      `temporal operator namespace create --address ${own.address} --namespace nowhere`,
    );
  });
});

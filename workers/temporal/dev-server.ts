import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { msToTs } from '@temporalio/common/lib/time.js';
import * as z from 'zod';
import { SEARCH_ATTRIBUTES, UserError } from '../../schemas/index.ts';
import { openConnection } from './connect.ts';
import { withLock } from './lock.ts';
import { anyFree, answers, isFree, nextFree } from './ports.ts';
import { isRunning, ownMark, processIdentity } from './process-identity.ts';
import { settingsFor } from './settings.ts';

/** A Temporal server that can be used. */
export interface TemporalServer {
  address: string;
  namespace: string;
  /** Where its UI is, if we know. */
  uiUrl?: string;
  /** Whether this call started it; false if it ran already. */
  started: boolean;
  /** Ends a dev server of this home, once nobody else uses it; leaves any other server alone. */
  stop: () => Promise<void>;
}

/** `<home>/temporal.json`: the dev server that runs for this home, and who uses it. */
const DevServerRecord = z.object({
  pid: z.int(),
  born: z.string(),
  port: z.int(),
  uiPort: z.int(),
  binary: z.string(),
  startedAt: z.string(),
  users: z.array(z.object({ pid: z.int(), born: z.string(), id: z.string() })),
});
type DevServerRecord = z.infer<typeof DevServerRecord>;

const Ports = z.object({ port: z.int(), uiPort: z.int() });
type Ports = z.infer<typeof Ports>;

const DEFAULT_PORTS: Ports = { port: 7233, uiPort: 8233 };
const RETENTION = '90 days'; // the dev server's own default is one day

const files = (home: string) => ({
  record: join(home, 'temporal.json'),
  ports: join(home, 'temporal-ports.json'), // outlives the server, so that links to the UI stay valid
  database: join(home, 'temporal.db'),
  log: join(home, 'logs', 'temporal.log'),
});

/** Held by whoever starts, adopts or stops this home's dev server. */
export const withHomeLock = <T>(home: string, say: (line: string) => void, work: () => Promise<T>): Promise<T> =>
  withLock(join(home, 'temporal.lock'), work, {
    onWait: (pid) => say(`Temporal: waiting for process ${pid}, which is bringing it up or down`),
  });

export interface StartDevServer {
  home: string;
  binary: string;
  namespace?: string;
  /** Any free ports rather than the usual ones: for tests, which run side by side. */
  anyPorts?: boolean;
  env?: NodeJS.ProcessEnv;
  say: (line: string) => void;
}

/**
 * The dev server of this home that is still running, if there is one: its process lives, is a Temporal server with
 * this home's database, and answers. Call it under `withHomeLock`.
 */
export async function adoptDevServer(home: string, namespace = 'default'): Promise<TemporalServer | undefined> {
  const record = readRecord(home);
  if (!record || !isOurs(record, home)) return undefined;
  if (!(await comesUp(record.port, 10_000, () => isOurs(record, home)))) {
    await end(record, home); // alive and mute: in the way of a healthy one
    return undefined;
  }
  return use(record, home, namespace, false);
}

/** Address of this home's dev server while its process lives; asks and changes nothing. */
export function devServerAddress(home: string): string | undefined {
  const record = readRecord(home);
  return record && isOurs(record, home) ? `127.0.0.1:${record.port}` : undefined;
}

/**
 * Starts a dev server with its state in `<home>/temporal.db` and waits until it answers. It is in a process group of
 * its own: Ctrl-C in the terminal reaches us alone, and our workers drain before it stops. Call it under `withHomeLock`.
 *
 * @throws {UserError} `TemporalDidNotStart` with the end of its log
 */
export async function startDevServer(o: StartDevServer): Promise<TemporalServer> {
  const { home, binary, say, namespace = 'default' } = o;
  const at = files(home);
  mkdirSync(join(home, 'logs'), { recursive: true });
  let ports = o.anyPorts ? { port: await anyFree(), uiPort: await anyFree() } : await choosePorts(home, say);
  for (let attempt = 1; ; attempt++) {
    const record = launch(o, ports, namespace);
    if (await comesUp(record.port, 60_000, () => isOurs(record, home))) {
      await keepHistory(record, namespace);
      writeWhole(at.ports, ports);
      say(`Temporal: dev server started at 127.0.0.1:${ports.port}, UI at ${uiUrl(ports)}, state in ${at.database}`);
      return use(record, home, namespace, true);
    }
    await end(record, home);
    const log = tail(at.log);
    // Between our look at a port and the server's, another program may have taken it.
    if (attempt < 3 && /address already in use|can't set .*port/i.test(log)) {
      say(`Temporal: port ${ports.port} or ${ports.uiPort} has just been taken; trying others`);
      ports = { port: await anyFree(), uiPort: await anyFree() };
      continue;
    }
    throw new UserError(
      'TemporalDidNotStart',
      `The Temporal dev server (${binary}) did not come up. The end of ${at.log}:\n${log || '(empty)'}\nIf it speaks of the database, move ${at.database} away: that forgets running workflows, and nothing in the bucket.`,
    );
  }
}

function launch(o: StartDevServer, ports: Ports, namespace: string): DevServerRecord {
  const at = files(o.home);
  const log = openSync(at.log, 'w');
  const child = spawn(
    o.binary,
    [
      'server',
      'start-dev',
      `--db-filename=${at.database}`,
      '--ip=127.0.0.1',
      `--port=${ports.port}`,
      `--ui-port=${ports.uiPort}`,
      `--namespace=${namespace}`,
      ...Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => `--search-attribute=${name}=${type}`),
      // Without it, priorities and fairness keys do nothing, and say nothing.
      '--dynamic-config-value=matching.enableFairness=true',
      '--log-level=error',
    ],
    { detached: true, stdio: ['ignore', log, log], env: o.env ?? process.env },
  );
  closeSync(log);
  child.once('error', () => {}); // no process id then: told below, as a server that did not come up
  child.unref();
  const pid = child.pid ?? 0;
  const record = {
    pid,
    born: processIdentity(pid)?.born ?? '',
    ...ports,
    binary: o.binary,
    startedAt: new Date().toISOString(),
    users: [],
  };
  // Before waiting: if we are killed now, the next start finds this server rather than a locked database.
  writeWhole(at.record, record);
  return record;
}

async function choosePorts(home: string, say: (line: string) => void): Promise<Ports> {
  const wanted = readJson(files(home).ports, Ports) ?? DEFAULT_PORTS;
  const choose = async (port: number, what: string, beside?: number) => {
    if (port !== beside && (await isFree(port))) return port;
    let other = await nextFree(port + 1);
    if (other === beside) other = await nextFree(other + 1);
    say(`Temporal: port ${port} is taken; ${what} will be on ${other}`);
    return other;
  };
  const port = await choose(wanted.port, 'the server');
  return { port, uiPort: await choose(wanted.uiPort, 'its UI', port) };
}

/** Whether the server answers before the time is up; false at once when its process is gone. */
async function comesUp(port: number, timeoutMs: number, isAlive: () => boolean): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isAlive() && Date.now() < deadline) {
    if (await answers('127.0.0.1', port)) {
      try {
        // The port opens before the service is ready: connecting asks for the system's information.
        const connection = await openConnection(local(port));
        await connection.close();
        return isAlive();
      } catch {
        // not yet
      }
    }
    await sleep(30);
  }
  return false;
}

const local = (port: number, namespace = 'default') => ({
  ...settingsFor({ address: `127.0.0.1:${port}`, namespace }, {}),
});

async function keepHistory(record: Ports, namespace: string): Promise<void> {
  const connection = await openConnection(local(record.port));
  try {
    const deadline = Date.now() + 20_000;
    for (;;) {
      try {
        await connection.workflowService.updateNamespace({
          namespace,
          config: { workflowExecutionRetentionTtl: msToTs(RETENTION) },
        });
        return;
      } catch (err) {
        if (Date.now() > deadline) throw err; // a namespace that was just created is not at once known everywhere
        await sleep(100);
      }
    }
  } finally {
    await connection.close();
  }
}

/** Enters us as a user; `stop` leaves, and the last to leave ends the server. Users that were killed do not count. */
function use(record: DevServerRecord, home: string, namespace: string, started: boolean): TemporalServer {
  const me = { ...ownMark(), id: randomUUID() };
  writeWhole(files(home).record, { ...record, users: [...record.users.filter(isRunning), me] });
  let stopped: Promise<void> | undefined;
  const leave = () =>
    withHomeLock(
      home,
      () => {},
      async () => {
        const now = readRecord(home);
        if (!now || now.pid !== record.pid || now.born !== record.born) return;
        const others = now.users.filter((user) => user.id !== me.id && isRunning(user));
        if (others.length > 0) writeWhole(files(home).record, { ...now, users: others });
        else await end(now, home);
      },
    );
  return {
    address: `127.0.0.1:${record.port}`,
    namespace,
    uiUrl: uiUrl(record),
    started,
    stop: () => (stopped ??= leave()),
  };
}

/** Ends the server's process: asked first, then killed. Its record goes with it. */
async function end(record: DevServerRecord, home: string): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', 10_000],
    ['SIGKILL', 5_000],
  ] as const) {
    if (!isOurs(record, home)) break;
    process.kill(record.pid, signal);
    const deadline = Date.now() + waitMs;
    while (isOurs(record, home) && Date.now() < deadline) await sleep(20);
  }
  rmSync(files(home).record, { force: true });
}

/** The process id may have gone to another program since: its start time and command line say whose it is. */
function isOurs(record: DevServerRecord, home: string): boolean {
  if (record.pid <= 0) return false;
  const now = processIdentity(record.pid);
  return (
    now?.born === record.born && now.command.includes('server start-dev') && now.command.includes(files(home).database)
  );
}

const uiUrl = (ports: Ports): string => `http://localhost:${ports.uiPort}`;

const readRecord = (home: string): DevServerRecord | undefined => readJson(files(home).record, DevServerRecord);

/** A file that is absent or damaged says nothing. */
function readJson<T>(file: string, schema: z.ZodType<T>): T | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return schema.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

function writeWhole(file: string, value: unknown): void {
  const temp = `${file}.${randomUUID()}`;
  writeFileSync(temp, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(temp, file);
}

function tail(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').slice(-8).join('\n') : '';
}

import { execFile, fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Measured {
  requests: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Answers that were not 2xx, and connections that broke. */
  failed: number;
}

/** A load client that costs so little that the server is what is measured. */
export async function requireWrk(): Promise<void> {
  try {
    await run('wrk', ['--version']).catch((error: { code?: unknown }) => {
      if (error.code === 'ENOENT') throw error;
    });
  } catch {
    throw new Error('This bench needs the load client wrk on PATH: apt install wrk, or brew install wrk.');
  }
}

/** Asks POST /predict without a pause. A client of 64 connections runs in one thread. */
export async function load(port: number, body: object, o: { connections: number; seconds: number }): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'gauntlet-wrk-'));
  try {
    const script = join(folder, 'post.lua');
    writeFileSync(script, LUA(JSON.stringify(body)));
    const { stdout } = await run(
      'wrk',
      [
        '-t1',
        `-c${o.connections}`,
        `-d${o.seconds}s`,
        '--timeout',
        '30s',
        '-s',
        script,
        `http://127.0.0.1:${port}/predict`,
      ],
      { timeout: (o.seconds + 60) * 1000 },
    );
    const figures = /^FIGURES (.*)$/m.exec(stdout)?.[1];
    if (figures === undefined) throw new Error(`wrk said nothing that can be read:\n${stdout}`);
    const [requests, seconds, p50Ms, p99Ms, failed] = figures.split(' ').map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    return { requests, requestsPerSecond: requests / seconds, p50Ms, p99Ms, failed };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const LUA = (body: string): string => `
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = [[${body}]]
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("FIGURES %d %f %f %f %d\\n", summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
`;

export interface Server {
  port: number;
  /** Processor time of this process so far, in microseconds. */
  cpuUs(): Promise<number>;
  profile(ms: number): Promise<[name: string, percent: number][]>;
  stop(): Promise<void>;
}

/** Starts bench/support/server.ts, and waits until it can answer. */
export async function startServer(kind: 'echo' | 'ours', ...args: string[]): Promise<Server> {
  const child = fork(fileURLToPath(new URL('server.ts', import.meta.url)), [kind, ...args], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [{ port }] = await Promise.all([message<{ port: number }>(child, 'port'), message(child, 'ready')]);
  return {
    port,
    async cpuUs() {
      child.send({ cpu: true });
      const { cpu } = await message<{ cpu: NodeJS.CpuUsage }>(child, 'cpu');
      return cpu.user + cpu.system;
    },
    async profile(ms) {
      child.send({ profileMs: ms });
      return (await message<{ profile: [string, number][] }>(child, 'profile')).profile;
    },
    async stop() {
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      await ended;
    },
  };
}

function message<T>(child: ChildProcess, key: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const exited = (code: number | null) => reject(new Error(`the server ended with ${code} before it said ${key}`));
    const heard = (said: unknown) => {
      if (typeof said !== 'object' || said === null || !(key in said)) return;
      child.off('message', heard);
      child.off('exit', exited);
      resolve(said as T);
    };
    child.on('message', heard);
    child.once('exit', exited);
  });
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

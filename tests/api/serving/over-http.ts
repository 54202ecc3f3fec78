import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { dispatch } from '../../../api/dispatch.ts';
import { listen, type CONNECTION_LIMITS, type Listening } from '../../../api/listen.ts';
import { problemNotFound } from '../../../api/problem.ts';
import type { ServingOptions } from '../../../api/serving.ts';
import { Hono } from 'hono';
import pino from 'pino';
import { startServing } from './fixture.ts';

export interface OverHttp {
  serving: Awaited<ReturnType<typeof startServing>>;
  listening: Listening;
  url: string;
  port: number;
  /** What the connections say of themselves; the app's own lines are the serving's. */
  lines: Record<string, unknown>[];
  stop(): Promise<void>;
}

/** The serving app behind the server and the dispatch of production. */
export async function serveOverHttp(
  stores: ServingOptions['stores'],
  options: Partial<ServingOptions> = {},
  limits: Partial<typeof CONNECTION_LIMITS> = {},
): Promise<OverHttp> {
  const serving = await startServing(stores, options);
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: 'debug' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const control = new Hono().notFound(problemNotFound);
  const listening = await listen(dispatch(serving.app, control), { host: '127.0.0.1', port: 0, log, limits });
  const { port } = listening;
  return {
    serving,
    listening,
    port,
    url: `http://127.0.0.1:${port}`,
    lines,
    async stop() {
      await listening.close();
      await serving.stop();
    },
  };
}

/** A connection of which every byte is ours. */
export class RawConnection {
  readonly socket: Socket;
  received = '';
  readonly closed: Promise<unknown>;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => (this.received += chunk.toString('latin1')));
    this.socket.on('error', () => undefined); // a reset is an end as well
    this.closed = once(this.socket, 'close').catch(() => undefined);
  }

  send(text: string | Uint8Array): void {
    if (this.socket.writable) this.socket.write(text);
  }

  get statuses(): number[] {
    return [...this.received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
  }
}

/** A request as it goes over the line. */
export function requestText(path: string, body: string, headers: Record<string, string> = {}): string {
  const lines = Object.entries({
    host: 'x',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

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
  const listening = await listen(dispatch(serving, control), { host: '127.0.0.1', port: 0, log, limits });
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

const HANGS_MS = 60_000;

/**
 * Everything that is said on a connection to these bytes.
 *
 * @param o.end  say that nothing more comes: for bytes whose own end may be lost. A client that says so while its answer
 *               is made has left, as node sees it.
 */
export function exchange(port: number, sent: Uint8Array, o: { end?: true } = {}): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    const hangs = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no end of the answer to ${JSON.stringify(Buffer.from(sent).toString('latin1', 0, 2_000))}`));
    }, HANGS_MS);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => undefined); // what was refused before it was read ends with a reset
    socket.on('close', () => {
      clearTimeout(hangs);
      resolve(Buffer.concat(chunks));
    });
    if (o.end) socket.end(sent);
    else socket.write(sent);
  });
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

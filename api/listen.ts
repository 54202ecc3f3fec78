import { once } from 'node:events';
import { createServer, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as TcpServer, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener, RequestError } from '@hono/node-server';
import type { Logger } from 'pino';
import { UserError } from '../schemas/index.ts';
import type { App } from './dispatch.ts';
import { problemOf, problemParts, type ProblemFields } from './problem.ts';
import { uuidv7 } from './request-id.ts';

/** How long a connection may take over what. One that takes longer is cut; it costs the others nothing but its socket. */
export const CONNECTION_LIMITS = {
  /** A few hundred bytes of headers: who needs longer is broken, or holds connections on purpose. */
  headersMs: 10_000,
  /** Headers and body: the largest body, 10 MB of labels, at 170 kB/s. */
  requestMs: 60_000,
  /** Of an answer, from us to whoever is slow to read it: the largest, 1.5 MB, at 25 kB/s. Up to two sweeps more. */
  answerMs: 60_000,
  /** Longer than load balancers keep idle connections (60 s), so that they close them and not we, with a request under way. */
  keepAliveMs: 75_000,
  /** At the end: clients that are at work get an answer that closes their connection, instead of a closed connection. */
  lingerMs: 500,
  /** At the end: for requests under way. The prediction log takes up to 20 s after it, workers 15 s. */
  finishMs: 10_000,
  /** Between looks for who took too long. */
  sweepMs: 1_000,
};

export interface ListenOptions {
  host: string;
  /** 0: any. Taken: an error. Absent: 3000, or the next free one. */
  port?: number | undefined;
  log: Logger;
  /** Told of a port that is taken. */
  say?: (line: string) => void;
  limits?: Partial<typeof CONNECTION_LIMITS>;
}

export interface Listening {
  port: number;
  /** Accepts nothing more, and ends when what was accepted is answered. */
  close(): Promise<void>;
}

const DEFAULT_PORT = 3000;

/**
 * The API's HTTP server: whatever cannot be read as a request is answered as a problem too.
 *
 * @throws {UserError} PortTaken, CannotListen
 */
export async function listen(app: App, o: ListenOptions): Promise<Listening> {
  const limits = { ...CONNECTION_LIMITS, ...o.limits };
  const server = createServer({
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: limits.sweepMs,
    // Node's own refusal says nothing; ours is below.
    requireHostHeader: false,
  });
  const connections = new Connections(server, limits, o.log);
  const toApp = getRequestListener((request, env) => app.fetch(request, env), {
    // Probes that speak HTTP/1.0 name no host.
    hostname: 'localhost',
    errorHandler: (error) => failed(error, o.log),
  });
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    connections.opened(request.socket, response);
    if (request.headers.host === undefined && request.httpVersion !== '1.0') refuse(response, NO_HOST, o.log);
    else if (!app.direct?.(request, response)) void toApp(request, response);
  };
  server.on('request', serve);
  // Whatever else is expected than to go on with the body is passed over, as RFC 9110 allows.
  server.on('checkExpectation', serve);
  server.on('connect', (_, socket) => end(socket, NO_PROXY, o.log));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => connections.broken(error, socket as Socket));
  const port = await bind(server, o);
  return { port, close: () => connections.close() };
}

/** Every connection that is open, and the answer that each waits for. */
class Connections {
  readonly #server: Server;
  readonly #limits: typeof CONNECTION_LIMITS;
  readonly #log: Logger;
  /**
   * With the answers that it waits for. Not one map of all answers: each time such a map is laid out anew its old table
   * keeps the next one, and what that holds, from being collected young.
   */
  readonly #sockets = new Map<Socket, ServerResponse[]>();
  /** Answers that are written and not taken, and since when the sweeps have seen it. */
  #untaken = new Map<ServerResponse, number>();
  #closing: Promise<void> | undefined;

  constructor(server: Server, limits: typeof CONNECTION_LIMITS, log: Logger) {
    this.#server = server;
    this.#limits = limits;
    this.#log = log;
    server.on('connection', (socket: Socket) => {
      this.#sockets.set(socket, []);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.once('listening', () => {
      const sweeps = setInterval(() => this.#sweep(), limits.sweepMs).unref();
      server.once('close', () => clearInterval(sweeps));
    });
  }

  opened(socket: Socket, response: ServerResponse): void {
    if (this.#closing) response.shouldKeepAlive = false;
    const answers = this.#sockets.get(socket) ?? [];
    answers.push(response);
    response.once('close', () => answers.splice(answers.indexOf(response), 1));
  }

  /** Cuts who is too slow to take an answer. Not by a timer for each answer, which costs more than most of them. */
  #sweep(): void {
    const now = performance.now();
    const untaken = new Map<ServerResponse, number>();
    for (const [socket, [response]] of this.#sockets) {
      if (!response?.writableEnded) continue;
      const since = this.#untaken.get(response) ?? now;
      if (now - since > this.#limits.answerMs) socket.destroy();
      else untaken.set(response, since);
    }
    this.#untaken = untaken;
  }

  /** What came cannot be read on, or did not come in time. */
  broken(error: NodeJS.ErrnoException, socket: Socket): void {
    const answers = this.#sockets.get(socket) ?? [];
    if (!socket.writable || answers.some(({ headersSent }) => headersSent)) socket.destroy(error);
    // A request that is under way is logged by whoever reads its body.
    else end(socket, MISTAKES[error.code ?? ''] ?? NOT_HTTP, answers.length === 0 ? this.#log : undefined);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    for (const answers of this.#sockets.values())
      for (const response of answers) if (!response.headersSent) response.shouldKeepAlive = false;
    // Not http's own close, which cuts idle connections at once, on which the next request may already be.
    TcpServer.prototype.close.call(this.#server);
    const hurry = setTimeout(() => {
      for (const socket of this.#sockets.keys()) socket.destroy();
    }, this.#limits.finishMs);
    const closeIdle = async (): Promise<void> => {
      await sleep(this.#limits.lingerMs);
      // What has arrived while this process was busy is read first.
      await turn();
      await turn();
      for (; this.#sockets.size > 0; await sleep(50)) {
        this.#server.closeIdleConnections();
        for (const socket of this.#sockets.keys()) if (socket.bytesRead === 0) socket.destroy();
      }
    };
    await Promise.all([closed, closeIdle()]);
    clearTimeout(hurry);
    this.#server.close(); // ends its sweeps
  }
}

const unreadable = (status: ProblemFields['status'], detail: string, type = 'not-http'): ProblemFields => ({
  status,
  type,
  title: 'The request cannot be read',
  detail,
});
const NOT_HTTP = unreadable(400, 'What came is not HTTP/1.1, or its headers contradict each other.');
const NO_HOST = unreadable(400, 'The header host is missing, which HTTP/1.1 asks for.');
const MISTAKES: Record<string, ProblemFields> = {
  HPE_HEADER_OVERFLOW: unreadable(431, 'Its headers are above 16 KiB.', 'too-large'),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: unreadable(413, 'The extensions of a chunk are above 16 KiB.', 'too-large'),
  ERR_HTTP_REQUEST_TIMEOUT: unreadable(408, 'It did not arrive whole in time.', 'too-slow'),
};
const NO_PROXY: ProblemFields = {
  status: 405,
  type: 'wrong-method',
  title: 'Wrong method',
  detail: 'CONNECT is for proxies, and this is none.',
};

/** Notes it, and gives its answer. */
function refusal(fields: ProblemFields, log: Logger | undefined): ReturnType<typeof problemParts> {
  const requestId = uuidv7(Date.now());
  log?.info({ requestId, status: fields.status, type: fields.type }, 'request refused');
  return problemParts(fields, requestId);
}

/** What is thrown before the app has the request, or that it did not catch. */
function failed(error: unknown, log: Logger): Response {
  const isTheirs = error instanceof RequestError;
  const fields = isTheirs ? unreadable(400, `Its path or host is none: ${error.message}.`) : problemOf(error);
  if (!isTheirs) log.error({ err: error }, 'request failed');
  const { body, headers } = refusal(fields, log);
  return new Response(body, { status: fields.status, headers });
}

function refuse(response: ServerResponse, fields: ProblemFields, log: Logger): void {
  const { body, headers } = refusal(fields, log);
  response.writeHead(fields.status, { ...headers, connection: 'close', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/** The last words to a connection that cannot go on. */
function end(socket: Duplex, fields: ProblemFields, log: Logger | undefined): void {
  const { body, headers } = refusal(fields, log);
  const lines = Object.entries({ ...headers, connection: 'close', 'content-length': Buffer.byteLength(body) });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.end(`HTTP/1.1 ${fields.status} ${STATUS_CODES[fields.status]}\r\n${head}\r\n${body}`, () => socket.destroy());
}

async function bind(server: Server, { host, port: wanted, say }: ListenOptions): Promise<number> {
  for (let port = wanted ?? DEFAULT_PORT; ; port++) {
    const taken = await new Promise<boolean>((done, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') done(true);
        else
          reject(
            new UserError(
              'CannotListen',
              `The API cannot listen on ${host}:${port} (${error.code}). Choose another port with PORT.`,
            ),
          );
      });
      server.listen(port, host, () => done(false));
    });
    server.removeAllListeners('error');
    if (!taken) return (server.address() as AddressInfo).port;
    if (wanted !== undefined)
      throw new UserError(
        'PortTaken',
        `Port ${port} is taken by another program. Stop it, or choose another port with PORT (without PORT, a free one is found).`,
      );
    say?.(`API: port ${port} is taken, trying ${port + 1}`);
  }
}

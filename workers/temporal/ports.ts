import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** Whether a server can listen on this port of 127.0.0.1, with nobody answering there now. */
export async function isFree(port: number): Promise<boolean> {
  // Some systems let one listen on 127.0.0.1 beside a server on all addresses: ask too whether anyone answers.
  return (await listenOnce(port)) !== undefined && !(await answers('127.0.0.1', port));
}

/** The first free port from `from` on. */
export async function nextFree(from: number): Promise<number> {
  for (let port = from; port < from + 200; port++) if (await isFree(port)) return port;
  return anyFree();
}

export async function anyFree(): Promise<number> {
  const port = await listenOnce(0);
  if (port === undefined) throw new Error('the system gives no free port');
  return port;
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const given = (server.address() as AddressInfo).port;
      server.close(() => resolve(given));
    });
  });
}

/** Whether something accepts connections there; otherwise the system's reason is in `onError`. */
export function answers(host: string, port: number, onError?: (reason: string) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 });
    const end = (is: boolean, reason?: string) => {
      socket.destroy();
      if (reason) onError?.(reason);
      resolve(is);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false, 'nobody answers'));
    socket.once('error', (err: NodeJS.ErrnoException) => end(false, err.code ?? err.message));
  });
}

/** A proxy before a store that hands every request on, and loses the answers to some puts, as a network does. */
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface LossyProxy {
  endpoint: string;
  loseAnswers(count: number): void;
  /** What the store answered to each put, in order. */
  statuses(): number[];
  stop(): Promise<void>;
}

/** @param how `cut`: the connection breaks; `silent`: nothing comes until the client gives up */
export async function startLossyProxy(target: string, how: 'cut' | 'silent'): Promise<LossyProxy> {
  const { hostname, port } = new URL(target);
  let toLose = 0;
  const statuses: number[] = [];
  const server = createServer((incoming, answer) => {
    const { method, url, headers } = incoming;
    const onward = request({ hostname, port, method, path: url, headers }, (theirs) => {
      if (method === 'PUT') statuses.push(theirs.statusCode!);
      if (method === 'PUT' && toLose > 0) {
        toLose--;
        theirs.resume();
        // Only once the store is done: the put has happened.
        theirs.on('end', () => how === 'cut' && answer.destroy());
        return;
      }
      answer.writeHead(theirs.statusCode!, theirs.rawHeaders);
      theirs.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    loseAnswers: (count) => void (toLose = count),
    statuses: () => statuses,
    stop: async () => {
      const closed = once(server.close(), 'close');
      server.closeAllConnections();
      await closed;
    },
  };
}

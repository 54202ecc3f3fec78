import type { RequestListener, Server, ServerResponse } from 'node:http';

const LONGEST_MS = 5_000;

/**
 * Lets a server close while clients keep asking: what was accepted is answered, and each answer from then on says that
 * its connection ends. Without this a connection that is never idle stays open, and is cut in the middle at last.
 */
export class Closing {
  private readonly open = new Set<ServerResponse>();
  private closing = false;

  /** Around what answers, so that it knows what is under way. */
  around(listener: RequestListener): RequestListener {
    return (request, response) => {
      if (this.closing) response.shouldKeepAlive = false;
      this.open.add(response);
      response.once('close', () => this.open.delete(response));
      return listener(request, response);
    };
  }

  /** Ends when the last answer has left, or after 5 seconds. */
  async close(server: Server): Promise<void> {
    if (!server.listening) return;
    this.closing = true;
    const closed = new Promise((done) => server.close(done));
    for (const response of this.open) response.shouldKeepAlive = false;
    server.closeIdleConnections();
    const hurry = setTimeout(() => server.closeAllConnections(), LONGEST_MS);
    await closed;
    clearTimeout(hurry);
  }
}

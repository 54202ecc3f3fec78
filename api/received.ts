import type { IncomingMessage } from 'node:http';
import type { Context } from 'hono';

/** Headers of a request; the name in lower case. */
export interface WithHeaders {
  header(name: string): string | undefined;
}

/** A request that has come: through Hono, or straight from node's server. */
export interface Received extends WithHeaders {
  /**
   * The whole body.
   *
   * @throws {BodyTooLarge} above maxBytes; another error where it does not arrive whole
   */
  bytes(maxBytes: number): Promise<Uint8Array>;
}

export class BodyTooLarge extends Error {}

/** A request as a Hono app has it; its headers as node's own parser reads them, where that is what brought it. */
export function received(c: Context): Received {
  const incoming = (c.env as { incoming?: IncomingMessage } | undefined)?.incoming;
  const header = (name: string): string | undefined => (incoming ? headerOf(incoming, name) : c.req.header(name));
  return {
    header,
    async bytes(maxBytes) {
      const length = header('content-length');
      if (length === undefined) return countBytes(c.req.raw.body, maxBytes);
      if (Number(length) > maxBytes) throw new BodyTooLarge();
      // The HTTP server holds a body to its content-length, so it needs no counting.
      return new Uint8Array(await c.req.raw.arrayBuffer());
    },
  };
}

async function countBytes(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks);
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel().catch(() => undefined);
      throw new BodyTooLarge();
    }
    chunks.push(value);
  }
}

/** A request as node's server has it, with a content-length that is not too large: node holds the body to it. */
export class NodeReceived implements Received {
  readonly #request: IncomingMessage;

  constructor(request: IncomingMessage) {
    this.#request = request;
  }

  header(name: string): string | undefined {
    return headerOf(this.#request, name);
  }

  bytes(): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      this.#request
        .on('data', (chunk: Buffer) => void chunks.push(chunk))
        .on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
        .on('close', () => {
          // After an end it would change nothing, but each error would cost a walk of the stack.
          if (!this.#request.readableEnded) reject(new Error('the client left'));
        });
    });
  }
}

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { NodeReceived } from '../received.ts';
import { idFor } from '../request-id.ts';
import type { Predictions } from './predictions.ts';

/** A model's name that needs no decoding, and is no step in a path. */
const PATH = /^\/(?:predict|v1\/models\/(?!\.{1,2}\/)([\w.-]+)\/predict)$/;
/** As nearly every client names it. */
const JSON_TYPE = /^application\/json(?:; ?charset=utf-8)?$/i;
/** As the web's URLs have it; others may be none. */
const HOST = /^[a-z0-9._-]+(?::[1-9]\d{3})?$|^[a-z0-9._-]+:[1-5]\d{4}$/;

/**
 * Requests to predict past Hono, for which node's requests and responses would be made into the web's and back: nearly
 * a fifth of what one costs. Only such as nothing is special about, and that nobody refuses before their bodies are
 * read; all others have the same answer from the app.
 *
 * @returns whether it takes this one
 */
export function directly(predictions: Predictions, o: { maxBodyBytes: number; log: Logger }) {
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    const { headers } = request;
    if (
      request.method !== 'POST' ||
      !JSON_TYPE.test(headers['content-type'] ?? '') ||
      headers['content-encoding'] !== undefined ||
      !(Number(headers['content-length']) <= o.maxBodyBytes) ||
      !HOST.test(headers.host ?? '')
    )
      return false;
    const path = PATH.exec(request.url!);
    if (!path) return false;
    const received = new NodeReceived(request);
    predictions
      .answer(received, idFor(received), path[1])
      .then((said) => {
        said.headers['content-length'] = String(Buffer.byteLength(said.body));
        response.writeHead(said.status, said.headers).end(said.body);
      })
      .catch((error: unknown) => {
        o.log.error({ err: error }, 'request failed');
        response.destroy();
      });
    return true;
  };
}

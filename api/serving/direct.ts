import type { IncomingMessage, ServerResponse } from 'node:http';
import { NodeReceived } from '../received.ts';
import { idFor } from '../request-id.ts';
import type { Predictions } from './predictions.ts';

/** A model's name that needs no decoding. */
const PATH = /^\/(?:predict|v1\/models\/([\w.-]+)\/predict)$/;

/**
 * Requests to predict past Hono, for which node's requests and responses would be made into the web's and back: nearly
 * a fifth of what one costs. Only such as nothing is special about; all others have the same answer from the app.
 *
 * @returns whether it takes this one
 */
export function directly(predictions: Predictions, maxBodyBytes: number) {
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    if (request.method !== 'POST' || !(Number(request.headers['content-length']) <= maxBodyBytes)) return false;
    const path = PATH.exec(request.url!);
    if (!path) return false;
    const received = new NodeReceived(request);
    void predictions.answer(received, idFor(received), path[1]).then(({ status, headers, body }) => {
      headers['content-length'] = String(Buffer.byteLength(body));
      response.writeHead(status, headers).end(body);
    });
    return true;
  };
}

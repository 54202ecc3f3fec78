import type { IncomingMessage } from 'node:http';
import type { Context } from 'hono';

/**
 * A header of a request, as node's own parser has it: building a Headers object for each request would cost as much as
 * validating its body. Elsewhere than behind node's server, that is what is asked.
 *
 * @param name  lower case
 */
export function headerOf(c: Context, name: string): string | undefined {
  const incoming = (c.env as { incoming?: IncomingMessage } | undefined)?.incoming;
  if (!incoming) return c.req.raw.headers.get(name) ?? undefined;
  const value = incoming.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

import type { MiddlewareHandler } from 'hono';
import { problem } from './problem.ts';

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Refuses what a page of another origin sends through a person's browser: a form or an empty POST needs no permission of
 * ours, so it would reach an API that listens on this machine alone. Browsers say where a request comes from; programs,
 * which nobody can make send it, do not and are let in.
 */
export const sameOriginOnly: MiddlewareHandler = async (c, next) => {
  const { method } = c.req;
  const site = c.req.header('sec-fetch-site');
  const origin = c.req.header('origin');
  const host = c.req.header('host') ?? new URL(c.req.url).host;
  // Where the browser itself says that it is the same, a proxy may have rewritten the host.
  const fromElsewhere = site
    ? site === 'cross-site' || site === 'same-site'
    : origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host);
  if (READS.has(method) || !fromElsewhere) return next();
  return problem(c, {
    status: 403,
    type: 'other-origin',
    title: 'Another origin',
    detail: `${method} ${c.req.path} was sent by a page of ${origin ?? 'another site'}, and only pages of this server (${host}) may change anything.`,
    next: 'Use /docs on this server, npx gauntlet, or any program that is not a web page.',
  });
};

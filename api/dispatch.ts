import type { IncomingMessage, ServerResponse } from 'node:http';

/** What answers requests. */
export interface App {
  /** `env` is what node's server gives: the request as it came. */
  fetch(request: Request, env?: object): Response | Promise<Response>;
  /** Asked first where node's server brings the request: whether the app takes it as it is, and answers it. */
  direct?(request: IncomingMessage, response: ServerResponse): boolean;
}

/** Paths that the serving app answers; the control app has the rest. */
const SERVING =
  /^\/(predict|health|ready|metrics|openapi\.json)$|^\/docs(\/|$)|^\/v1\/models\/[^/]+\/(predict|feedback)$/;

/** Both apps on one port. */
export function dispatch(serving: { app: App } & Pick<App, 'direct'>, control: App): App {
  return {
    direct: serving.direct,
    fetch(request, env) {
      const path = pathOf(request.url);
      if (path === '/') return Response.redirect(new URL('/docs', request.url), 302);
      return (SERVING.test(path) ? serving.app : control).fetch(request, env);
    },
  };
}

/** A URL object for each request would cost more than routing it. */
function pathOf(url: string): string {
  const from = url.indexOf('/', url.indexOf('//') + 2);
  const query = url.indexOf('?', from);
  return from === -1 ? '/' : url.slice(from, query === -1 ? undefined : query);
}

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Hono } from 'hono';
import { problemMethod } from './problem.ts';

const swagger = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));

const ASSETS: Record<string, string> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

/** Nothing but ourselves: the page works offline and asks nobody else. Swagger UI sets styles on elements. */
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>Gauntlet API</title>
    <link rel="icon" href="docs/favicon-32x32.png" />
    <link rel="stylesheet" href="docs/swagger-ui.css" />
  </head>
  <body>
    <main id="swagger-ui"></main>
    <noscript>This page needs JavaScript; the same is in <a href="openapi.json">openapi.json</a>.</noscript>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/start.js"></script>
  </body>
</html>
`;

// validatorUrl null: by default the page would ask validator.swagger.io for a badge.
const START = `SwaggerUIBundle({ url: 'openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null });
`;

/** The API's page for people: Swagger UI from its package at /docs, over the /openapi.json beside it. */
export function docsRoutes(): Hono {
  const docs = new Hono();
  const headers = { 'content-security-policy': CSP, 'x-content-type-options': 'nosniff' };
  docs.get('/docs', (c) => c.html(PAGE, 200, headers));
  // The page's links are relative to /docs, so that it also works behind a path prefix.
  docs.get('/docs/', (c) => c.redirect('../docs'));
  docs.get('/docs/start.js', (c) =>
    c.body(START, 200, { ...headers, 'content-type': 'text/javascript; charset=utf-8' }),
  );
  for (const [name, type] of Object.entries(ASSETS))
    docs.get(`/docs/${name}`, async (c) =>
      c.body(new Uint8Array(await readFile(join(swagger, name))), 200, {
        ...headers,
        'content-type': type,
        'cache-control': 'public, max-age=3600',
      }),
    );
  docs.on(['POST', 'PUT', 'PATCH', 'DELETE'], ['/docs', '/docs/*'], problemMethod('GET'));
  return docs;
}

import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import { docsRoutes } from '../../api/docs.ts';

const app = new Hono().route('/', docsRoutes());

describe('/docs', () => {
  it('is a page whose every script, style and picture comes from this server', async () => {
    const page = await app.request('/docs');
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    const html = await page.text();
    expect(html).not.toMatch(/https?:\/\//);
    const links = [...html.matchAll(/(?:src|href)="(docs\/[^"]+)"/g)].map(([, link]) => link!);
    expect(links).toHaveLength(4);
    for (const link of links) {
      const asset = await app.request(`/${link}`);
      expect(asset.status).toBe(200);
      expect((await asset.arrayBuffer()).byteLength).toBeGreaterThan(50);
    }
  });

  it('asks no validator elsewhere', async () => {
    expect(await (await app.request('/docs/start.js')).text()).toContain('validatorUrl: null');
  });

  it('with a slash at its end leads to the page', async () => {
    const response = await app.request('/docs/');
    expect(response.status).toBe(302);
    expect(response.headers.get('location')).toBe('../docs');
  });

  it('gives no other file of the package', async () => {
    expect((await app.request('/docs/package.json')).status).toBe(404);
    expect((await app.request('/docs/..%2fpackage.json')).status).toBe(404);
  });
});

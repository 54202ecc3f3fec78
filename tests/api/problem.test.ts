import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { problemNotFound, problemOnError } from '../../api/problem.ts';
import { uuidv7 } from '../../api/request-id.ts';
import { Problem, UserError } from '../../schemas/index.ts';

function appThatThrows(error: Error) {
  const logged: { fields: object; message: string }[] = [];
  const app = new Hono();
  app.get('/', () => {
    throw error;
  });
  app.onError(problemOnError({ error: (fields, message) => void logged.push({ fields, message }) }));
  app.notFound(problemNotFound);
  return { app, logged };
}

const bodyOf = async (response: Response): Promise<Problem> => Problem.parse(await response.json());

describe('problem JSON', () => {
  it.each([
    ['NoSuchModel', 404],
    ['NoProject', 404],
    ['unknown-model', 404],
    ['DiskFull', 507],
    ['NoCredentials', 503],
    ['BucketAccessDenied', 503],
    ['NoSuchBucket', 503],
    ['CorruptObject', 500],
    ['BrokenRecord', 500],
    ['NoSuchObject', 500],
    ['NeedsStages', 409],
    ['NothingToRollBackTo', 409],
    ['InvalidSpec', 422],
  ])('a UserError %s is a %i', async (type, status) => {
    const { app, logged } = appThatThrows(
      new UserError(type, 'what happened', [{ at: 'a', found: 'b', expected: 'c' }]),
    );
    const response = await app.request('/');
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await bodyOf(response)).toMatchObject({
      status,
      detail: 'what happened',
      issues: [{ at: 'a', found: 'b', expected: 'c' }],
    });
    expect(logged).toHaveLength(status < 500 ? 0 : 1);
  });

  it('anything unforeseen is a 500 that says nothing of our insides and is logged under the request id', async () => {
    const { app, logged } = appThatThrows(new Error('password is hunter2'));
    const response = await app.request('/', { headers: { 'x-request-id': 'mine-1' } });
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).not.toContain('hunter2');
    expect(text).not.toContain('.ts');
    expect(JSON.parse(text)).toMatchObject({ instance: 'urn:gauntlet:request:mine-1' });
    expect(logged).toMatchObject([{ fields: { requestId: 'mine-1', path: '/' } }]);
  });

  it('a ZodError names each field, unknown ones too', async () => {
    const parsed = z.strictObject({ n: z.number() }).safeParse({ n: 'x', m: 1 });
    const { app } = appThatThrows(parsed.error!);
    const response = await app.request('/');
    expect(response.status).toBe(422);
    expect((await bodyOf(response)).issues?.map(({ at }) => at).sort()).toEqual(['m', 'n']);
  });

  it('an unknown path is a 404 problem', async () => {
    const { app } = appThatThrows(new Error('unused'));
    const response = await app.request('/nowhere');
    expect(response.status).toBe(404);
    expect((await bodyOf(response)).detail).toContain('/nowhere');
  });
});

describe('request ids', () => {
  it("keep the client's own when it is a plain word, and replace it when it is not", async () => {
    const { app } = appThatThrows(new UserError('x', 'y'));
    const idFor = async (given: string) =>
      (await app.request('/', { headers: { 'x-request-id': given } })).headers.get('x-request-id');
    expect(await idFor('order:42')).toBe('order:42');
    expect(await idFor('two words')).toMatch(/^[0-9a-f-]{36}$/);
    expect(await idFor('x'.repeat(129))).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('of ours are UUIDs of version 7 that begin with their time', () => {
    const id = uuidv7(Date.parse('2026-11-24T12:00:00Z'));
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(Date.parse('2026-11-24T12:00:00Z'));
    expect(uuidv7(1) < uuidv7(2)).toBe(true);
  });

  it('of ours are random but for their time, version and variant', () => {
    const made = Array.from({ length: 5_000 }, () => uuidv7(1).replaceAll('-', '').slice(12));
    expect(new Set(made).size).toBe(5_000);
    const digits = Array.from({ length: 20 }, (_, at) => new Set(made.map((id) => id[at])).size);
    expect(digits).toEqual([1, 16, 16, 16, 4, ...Array<number>(15).fill(16)]);
  });
});

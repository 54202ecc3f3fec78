import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { Problem } from '../../schemas/index.ts';
import {
  bookings,
  constant,
  flowers,
  post,
  register,
  serve,
  startServing,
  temporaryStores,
  until,
} from './serving/fixture.ts';

interface Operation {
  parameters: { name: string; in: string }[];
  requestBody: { content: { 'application/json': { schema: object; examples: Record<string, { value: unknown }> } } };
  responses: Record<string, { content: Record<string, { schema: object }> }>;
}
interface Document {
  openapi: string;
  paths: Record<string, { post: Operation }>;
  components: { schemas: Record<string, Record<string, unknown>> };
}

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let serving: Awaited<ReturnType<typeof startServing>>;

beforeAll(async () => {
  temporary = await temporaryStores();
  await register(temporary.stores, 'bookings', bookings);
  await serve(temporary.stores, 'bookings', { champion: 1 });
  serving = await startServing(temporary.stores, {
    extraPaths: () => ({
      paths: { '/v1/runs': { get: { responses: {} } } },
      components: { schemas: { Run: { type: 'object' } } },
    }),
  });
});
afterAll(async () => {
  await serving.stop();
  await temporary.remove();
});

const read = async (): Promise<Document> => (await (await serving.app.request('/openapi.json')).json()) as Document;

/** A validator of one schema of the document: the references in it stand beside it. */
function validatorOf(document: Document, schema: object): z.ZodType {
  const text = JSON.stringify({ ...schema, $defs: document.components.schemas });
  return z.fromJSONSchema(
    JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/')) as z.core.JSONSchema.BaseSchema,
  );
}

describe('/openapi.json', () => {
  it('describes the served model: types, limits, allowed values, what may be null and what must be there', async () => {
    const { openapi, components } = await read();
    expect(openapi).toBe('3.1.0');
    expect(components.schemas['bookings.Row']).toMatchObject({
      type: 'object',
      additionalProperties: false,
      required: ['lead_time', 'adr', 'hotel', 'is_repeated_guest', 'arrival_date'],
      properties: {
        booking_id: { type: ['string', 'number', 'null'], maxLength: 200 },
        lead_time: { type: 'integer', minimum: 0, maximum: 800 },
        adr: { type: ['number', 'null'], minimum: 0, maximum: 10_000 },
        hotel: { type: 'string', enum: ['City Hotel', 'Resort Hotel'] },
        agent: { type: 'string', maxLength: 20 },
        is_repeated_guest: { type: 'boolean' },
        arrival_date: { type: 'string', format: 'date', description: 'From 2010-01-01' },
      },
    });
  });

  it('says what is refused, by which key a version is forced, and how a model fails', async () => {
    const { responses } = (await read()).paths['/predict']!.post;
    const described = responses as Record<string, { description?: string }>;
    for (const status of [401, 403]) expect(described[status]!.description).toContain('x-gauntlet-force-version');
    expect(described[500]!.description).toMatch(/model-failed.*no-finite-answer/);
  });

  it('has examples that its own schema takes and the model answers, with answers that its schema takes', async () => {
    const document = await read();
    for (const path of ['/predict', '/v1/models/bookings/predict']) {
      const { requestBody, responses } = document.paths[path]!.post;
      const { schema, examples } = requestBody.content['application/json'];
      const request = validatorOf(document, schema);
      const answer = validatorOf(document, responses[200]!.content['application/json']!.schema);
      for (const { value } of Object.values(examples)) {
        request.parse(value);
        const response = await post(serving.app, path, value);
        expect(response.status).toBe(200);
        answer.parse(await response.json());
      }
      expect(request.safeParse({ ...bookings.warmUpRows[0], lead_time: 801 }).success).toBe(false);
    }
  });

  it('describes problems as they leave', async () => {
    const document = await read();
    const problem = validatorOf(
      document,
      document.paths['/predict']!.post.responses[422]!.content['application/problem+json']!.schema,
    );
    const left: unknown = await (await post(serving.app, '/predict', {})).json();
    expect(problem.parse(left)).toEqual(Problem.parse(left));
  });

  it('has no reference that leads nowhere', async () => {
    const document = await read();
    const names = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, name]) => name!);
    expect(names.length).toBeGreaterThan(0);
    const there = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
    expect(there).toEqual(expect.arrayContaining(names));
  });

  it('names the headers that a request may have, and the unit that traffic is split by', async () => {
    const terms = { unit: 'session', unitPii: false, entityPii: false, allowEventTime: true };
    await register(temporary.stores, 'sessions', constant(1), { serving: terms });
    await serve(temporary.stores, 'sessions', { champion: 1 });
    await until(() => serving.status().models.some(({ model, serving: serves }) => model === 'sessions' && serves));
    const { paths, components } = await read();
    const headers = (model: string) => paths[`/v1/models/${model}/predict`]!.post.parameters.map(({ name }) => name);
    const always = ['x-request-id', 'x-gauntlet-deadline-ms', 'x-gauntlet-force-version'];
    expect(headers('bookings')).toEqual(always);
    expect(headers('sessions')).toEqual([...always, 'x-gauntlet-event-time']);
    expect(components.schemas['sessions.Row']).toMatchObject({
      required: ['x', 'session'],
      properties: { session: { type: ['string', 'number'], minLength: 1 } },
    });
    await serve(temporary.stores, 'sessions', {});
    await until(() => !serving.status().models.some(({ model }) => model === 'sessions'));
  });

  it('has what each model takes as feedback, and its answer', async () => {
    const document = await read();
    const { requestBody, responses } = document.paths['/v1/models/bookings/feedback']!.post;
    for (const { value } of Object.values(requestBody.content['application/json'].examples)) {
      const response = await post(serving.app, '/v1/models/bookings/feedback', value);
      expect(response.status).toBe(202);
      validatorOf(document, responses[202]!.content['application/json']!.schema).parse(await response.json());
    }
  });

  it('has the fixed routes, and the paths of the other app', async () => {
    const { paths, components } = await read();
    const fixed = ['/health', '/ready', '/metrics', '/openapi.json', '/v1/runs'];
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(fixed));
    expect(components.schemas).toHaveProperty('Run');
  });

  it('changes when what serves changes', async () => {
    await register(temporary.stores, 'flowers', flowers);
    const n = await serve(temporary.stores, 'flowers', { champion: 1 });
    await until(() => serving.status().models.some(({ serving: serves }) => serves?.revision === n));
    const document = await read();
    expect(document.paths).toHaveProperty(['/v1/models/flowers/predict']);
    expect(document.paths).not.toHaveProperty(['/predict']);
    const answer = validatorOf(
      document,
      document.paths['/v1/models/flowers/predict']!.post.responses[200]!.content['application/json']!.schema,
    );
    answer.parse(await (await post(serving.app, '/v1/models/flowers/predict', { petal: 1, booking_id: 7 })).json());
    await register(temporary.stores, 'prices', constant(1));
    await serve(temporary.stores, 'prices', { champion: 1 });
    await until(
      () => serving.status().models.every(({ serving: serves }) => serves) && serving.status().models.length === 3,
    );
    expect((await read()).paths).toHaveProperty(['/v1/models/prices/predict']);
  });
});

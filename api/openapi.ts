import * as z from 'zod';
import { Problem, type Input, type ModelVersion, type RawRow } from '../schemas/index.ts';
import { exampleRows } from './example-rows.ts';
import type { Json, OpenApiPart } from './openapi-part.ts';
import { EVENT_TIME_HEADER, feedbackOpenApi, MAX_ROWS } from './serving/index.ts';

export interface OpenApiOptions {
  /** What serves now, one version a model. */
  versions: ModelVersion[];
  defaultModel?: string;
  maxBodyBytes: number;
  extra?: OpenApiPart;
}

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: Json, more: Json = {}): Json => ({ 'application/json': { schema, ...more } });

/**
 * The OpenAPI 3.1 document: a path for each model that serves, its request schema made from the version's own inputs
 * with their limits, and an example from its warm-up rows. Made anew whenever what serves changes, which routes
 * cannot be; so the routes take any model and the document says which there are.
 */
export function openApiDocument({ versions, defaultModel, maxBodyBytes, extra = {} }: OpenApiOptions): Json {
  const models = versions.toSorted((a, b) => (a.model < b.model ? -1 : 1));
  const asked = models.find(({ model }) => model === defaultModel) ?? (models.length === 1 ? models[0] : undefined);
  const paths: Json = {};
  const schemas: Json = { Problem: problemSchema() };
  for (const version of models) {
    const { model } = version;
    const feedback = feedbackOpenApi(version);
    Object.assign(paths, feedback.paths);
    Object.assign(schemas, feedback.components.schemas);
    schemas[`${model}.Row`] = rowSchema(version);
    schemas[`${model}.Rows`] = rowsSchema(model);
    schemas[`${model}.Prediction`] = predictionSchema(version, true);
    schemas[`${model}.Predictions`] = predictionsSchema(version);
    paths[`/v1/models/${model}/predict`] = {
      post: predictOperation(version, `Predict with ${model}`, `predict_${model}`, maxBodyBytes),
    };
  }
  if (asked)
    paths['/predict'] = {
      post: predictOperation(asked, `Predict with the default model, ${asked.model}`, 'predict', maxBodyBytes),
    };
  return {
    openapi: '3.1.0',
    info: {
      title: 'Gauntlet',
      version: '1',
      description:
        models.length === 0
          ? 'No model serves yet: nothing has been promoted, or nothing is loaded.'
          : `Serves ${models.map(({ model, n }) => `${model} version ${n}`).join(', ')}.`,
    },
    tags: [{ name: 'predict' }, { name: 'feedback' }, { name: 'server' }],
    paths: { ...paths, ...SERVER_PATHS, ...extra.paths },
    components: { ...extra.components, schemas: { ...extra.components?.schemas, ...schemas } },
  };
}

const READINESS: Json = {
  type: 'object',
  properties: {
    ready: { type: 'boolean' },
    because: { type: 'string', description: 'What is awaited or has failed, in words' },
    status: {
      type: 'object',
      description: 'Revision read last, and of each model what serves, what is warm and what failed to load',
    },
  },
  required: ['ready', 'because', 'status'],
};

const SERVER_PATHS: Json = {
  '/health': {
    get: {
      tags: ['server'],
      operationId: 'health',
      summary: 'The process is alive',
      responses: {
        200: {
          description: 'Alive',
          content: json({ type: 'object', properties: { status: { const: 'alive' } }, required: ['status'] }),
        },
      },
    },
  },
  '/ready': {
    get: {
      tags: ['server'],
      operationId: 'ready',
      summary: 'Every served model is loaded and warm; else why not, model by model',
      responses: {
        200: { description: 'Ready; failed loads of newer versions are listed too', content: json(READINESS) },
        503: { description: 'Not ready, and why', content: json(READINESS) },
      },
    },
  },
  '/metrics': {
    get: {
      tags: ['server'],
      operationId: 'metrics',
      summary: 'Counts and times for Prometheus; docs/serving.md says which',
      responses: {
        200: { description: "Prometheus' text format", content: { 'text/plain': { schema: { type: 'string' } } } },
      },
    },
  },
  '/openapi.json': {
    get: {
      tags: ['server'],
      operationId: 'openapi',
      summary: 'This document',
      responses: { 200: { description: 'OpenAPI 3.1' } },
    },
  },
};

function problemSchema(): Json {
  const registry = z.registry<{ id: string }>().add(Problem, { id: 'Problem' });
  const { schemas } = z.toJSONSchema(registry, { uri: (id) => `#/components/schemas/${id}`, io: 'input' });
  // A component is no document of its own.
  const { $schema: _schema, $id: _id, ...schema } = schemas['Problem']!;
  return schema;
}

function predictOperation(version: ModelVersion, summary: string, operationId: string, maxBodyBytes: number): Json {
  const { model, n } = version;
  const [first, ...others] = exampleRows(version) as [RawRow, ...RawRow[]];
  const refused = (description: string): Json => ({
    description,
    content: { 'application/problem+json': { schema: ref('Problem') } },
  });
  return {
    tags: ['predict'],
    operationId,
    summary,
    description: `Version ${n}, a ${version.task} model. One row as a flat object, or up to ${MAX_ROWS} as {"rows": [...]}.`,
    parameters: parametersOf(version),
    requestBody: {
      required: true,
      content: json(
        { oneOf: [ref(`${model}.Row`), ref(`${model}.Rows`)] },
        {
          examples: {
            one: { summary: 'One row', value: first },
            many: { summary: 'Several rows', value: { rows: [first, ...others.slice(0, 1)] } },
          },
        },
      ),
    },
    responses: {
      200: {
        description: 'The answer to one row, or to each of many',
        headers: {
          'x-request-id': { schema: { type: 'string' }, description: "The caller's, where it sent a valid one" },
          'x-gauntlet-assigned': {
            schema: { type: 'string', enum: ['champion', 'canary', 'forced', 'mixed'] },
            description: 'What was to answer; mixed: the rows of this request differ',
          },
          'x-gauntlet-version': {
            schema: { type: 'integer' },
            description: 'The version that answered, of the first row where they differ',
          },
        },
        content: json({ oneOf: [ref(`${model}.Prediction`), ref(`${model}.Predictions`)] }),
      },
      400: refused('The body is not JSON; line and column'),
      401: refused('x-gauntlet-force-version without an API key, or with one that is unknown, expired or revoked'),
      403: refused('x-gauntlet-force-version with a key that lacks scope operate'),
      404: refused('No such model; the nearest names'),
      409: refused('The version that was asked for by name is not loaded here, or no default model is named'),
      413: refused(`The body is above ${maxBodyBytes} bytes`),
      415: refused('The body is not application/json in UTF-8'),
      422: refused('The request does not fit the model: each field, what came and what is allowed'),
      500: refused('The model failed (model-failed), or gave no finite answer to the only row (no-finite-answer)'),
      503: refused('The model is not loaded yet'),
      504: refused('The deadline of the request passed first'),
    },
  };
}

/** Headers that a request may have. */
function parametersOf({ serving }: ModelVersion): Json[] {
  const header = (name: string, schema: Json, description: string): Json => ({
    name,
    in: 'header',
    schema,
    description,
  });
  const eventTime = header(
    EVENT_TIME_HEADER,
    { type: 'string', anyOf: [{ format: 'date-time' }, { format: 'date' }] },
    'When the prediction is made, where that is not now: a time or a date, UTC where it has no offset',
  );
  return [
    header('x-request-id', { type: 'string' }, '1 to 128 letters, digits and . _ : -; anything else, and it is ours'),
    header('x-gauntlet-deadline-ms', { type: 'integer', minimum: 1, maximum: 600_000 }, 'How long the caller waits'),
    header(
      'x-gauntlet-force-version',
      { type: 'integer', minimum: 1, maximum: 1_000_000 },
      'Asks for a version that is loaded here, whatever traffic it has; in the log, outside all statistics. Needs an API key of scope operate where the bucket has keys',
    ),
    ...(serving?.allowEventTime ? [eventTime] : []),
  ];
}

/** Text without control characters, or a number that JSON carries whole. */
const KEY: Json = {
  type: ['string', 'number'],
  minimum: -(2 ** 53) + 1,
  maximum: 2 ** 53 - 1,
  maxLength: 200,
  pattern: String.raw`^[^\u0000-\u001f\u007f-\u009f]*$`,
};
const ENTITY: Json = { ...KEY, description: 'Entity key: optional, and echoed when given' };

function rowSchema({ model, n, entity, inputs, serving }: ModelVersion): Json {
  const { unit } = serving ?? {};
  const required = Object.entries(inputs)
    .filter(([, input]) => !input.optional)
    .map(([name]) => name);
  if (unit !== undefined && !required.includes(unit)) required.push(unit);
  const properties: Json = {
    ...(entity in inputs ? {} : { [entity]: { ...ENTITY, type: ['string', 'number', 'null'] } }),
    ...Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, inputSchema(input)])),
  };
  if (unit !== undefined && !(unit in inputs))
    properties[unit] = {
      ...KEY,
      minLength: 1,
      description: `Traffic is split by it: the same is answered by the same version${unit === entity ? '; echoed' : ''}`,
    };
  return {
    type: 'object',
    title: `A row of ${model} version ${n}`,
    properties,
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: false,
  };
}

const rowsSchema = (model: string): Json => ({
  type: 'object',
  properties: { rows: { type: 'array', items: ref(`${model}.Row`), minItems: 1, maxItems: MAX_ROWS } },
  required: ['rows'],
  additionalProperties: false,
});

/** What a request may give for one input, as JSON Schema. Limits of dates have no keyword, so words tell them. */
function inputSchema(input: Input): Json {
  const typed = (type: string): Json => ({ type: input.nullable ? [type, 'null'] : type });
  const described = (...words: (string | false | undefined)[]): Json => {
    const text = words.filter(Boolean).join('. ');
    return text ? { description: text } : {};
  };
  switch (input.type) {
    case 'number':
    case 'integer':
      return {
        ...typed(input.type),
        ...(input.min === undefined ? {} : { minimum: input.min }),
        ...(input.max === undefined ? {} : { maximum: input.max }),
        ...described(input.description),
      };
    case 'boolean':
      return { ...typed('boolean'), ...described(input.description) };
    case 'string':
      return input.values
        ? {
            ...typed('string'),
            enum: input.nullable ? [...input.values, null] : input.values,
            ...described(input.description),
          }
        : {
            ...typed('string'),
            // An empty text is a missing value.
            ...(input.nullable || input.optional ? {} : { minLength: 1 }),
            maxLength: input.maxLength,
            ...described(input.description),
          };
    case 'date':
    case 'timestamp':
      return {
        ...typed('string'),
        format: input.type === 'date' ? 'date' : 'date-time',
        ...described(
          input.description,
          input.min !== undefined && `From ${input.min}`,
          input.max !== undefined && `To ${input.max}`,
        ),
      };
  }
}

const STAMP: Json = {
  model: { type: 'string' },
  version: { type: 'integer', description: 'The version that answered' },
  revision: { type: 'integer', description: 'The revision of the serving log that put it there' },
  requestId: { type: 'string' },
};

function predictionSchema(version: ModelVersion, stamped: boolean): Json {
  const probability: Json = { type: 'number', minimum: 0, maximum: 1 };
  const classes = version.classes ?? [];
  const said: Record<ModelVersion['task'], Json> = {
    binary: {
      prediction: {
        type: 'boolean',
        description: `true where the probability is ${version.threshold ?? 0.5} or more`,
      },
      probability: { ...probability, description: 'Of the positive class' },
    },
    multiclass: {
      prediction: { type: 'string', enum: classes },
      probabilities: {
        type: 'object',
        properties: Object.fromEntries(classes.map((name) => [name, probability])),
        required: classes,
        additionalProperties: false,
      },
    },
    regression: { prediction: { type: 'number' } },
  };
  const always: Json = {
    ...said[version.task],
    maturesAt: {
      type: ['string', 'null'],
      format: 'date-time',
      description: 'When the outcome is final, whatever it is; null where that depends on an input that is missing',
    },
    ...(stamped ? STAMP : {}),
  };
  const perRow: Json = { version: { type: 'integer', description: 'Where another answered than the first row' } };
  return {
    type: 'object',
    properties: { [version.entity]: ENTITY, ...(stamped ? {} : perRow), ...always },
    required: Object.keys(always),
    additionalProperties: false,
  };
}

function predictionsSchema(version: ModelVersion): Json {
  const failed: Json = {
    type: 'object',
    properties: {
      [version.entity]: ENTITY,
      error: { type: 'string', description: 'This row has no finite answer; the others are not touched by that' },
      version: { type: 'integer' },
    },
    required: ['error'],
    additionalProperties: false,
  };
  const properties: Json = {
    predictions: { type: 'array', items: { oneOf: [predictionSchema(version, false), failed] } },
    ...STAMP,
  };
  return { type: 'object', properties, required: Object.keys(properties), additionalProperties: false };
}

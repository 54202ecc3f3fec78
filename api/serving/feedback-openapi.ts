import type { ModelVersion } from '../../schemas/index.ts';
import type { OpenApiPart } from '../openapi-part.ts';
import { MAX_BULK_BYTES, MAX_LABELS } from './feedback.ts';
import { entityFields } from './feedback-label.ts';

type Json = Record<string, unknown>;

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const refused = (description: string): Json => ({
  description,
  content: { 'application/problem+json': { schema: ref('Problem') } },
});

/** The feedback route of one served model, its values and entity by their own names: `paths` and `components.schemas`. */
export function feedbackOpenApi(version: ModelVersion, maxBulkBytes = MAX_BULK_BYTES): Required<OpenApiPart> {
  const { model } = version;
  const label = ref(`${model}.Label`);
  const { one, late, corrected, withdrawn } = examplesOf(version);
  const lines = [one, late].map((each) => JSON.stringify(each)).join('\n');
  const operation = {
    tags: ['feedback'],
    operationId: `feedback_${model}`,
    summary: `Say what turned out to be true for ${model}`,
    description:
      `One label as a JSON object, or up to ${MAX_LABELS} as NDJSON: all of a body are kept, or none. ` +
      'A label is about one request, or about every prediction of an entity whose time the outcome falls into. ' +
      'It may come before its request is known, or long after. A labelId that was sent before counts once.',
    requestBody: {
      required: true,
      content: {
        'application/json': {
          schema: label,
          examples: {
            request: { summary: 'Of one request', value: one },
            entity: { summary: 'Of an entity, on a day', value: late },
            correction: { summary: 'In place of an earlier label', value: corrected },
            withdrawal: { summary: 'An earlier label is taken back', value: withdrawn },
          },
        },
        'application/x-ndjson': {
          schema: { type: 'string', description: 'One label on each line' },
          examples: { bulk: { summary: 'Two labels', value: lines } },
        },
      },
    },
    responses: {
      202: {
        description: 'They are on disk, and will be in the prediction log within seconds',
        headers: { 'x-request-id': { schema: { type: 'string' } } },
        content: { 'application/json': { schema: ref('FeedbackAnswer') } },
      },
      400: refused('The body, or a line of it, is not JSON; line and column'),
      404: refused('No such model'),
      413: refused(`More than ${MAX_LABELS} labels, or a body above ${maxBulkBytes} bytes`),
      415: refused('The body is neither application/json nor application/x-ndjson in UTF-8'),
      422: refused('A label does not fit the model: each line and field, what came and what is allowed'),
      503: refused('The labels cannot be kept now, or the model is not loaded yet'),
    },
  };
  return {
    paths: { [`/v1/models/${model}/feedback`]: { post: operation } },
    components: { schemas: { [`${model}.Label`]: labelSchema(version), FeedbackAnswer: ANSWER } },
  };
}

function examplesOf(version: ModelVersion): Record<'one' | 'late' | 'corrected' | 'withdrawn', Json> {
  const { task, classes = [], entity } = version;
  const [first, other] = {
    binary: [true, false],
    multiclass: [classes[0] ?? 'a class', classes.at(-1) ?? 'a class'],
    regression: [12.5, 11],
  }[task] as [unknown, unknown];
  const requestId = '01890a5d-ac96-774b-bcce-b302099a8057';
  return {
    one: { requestId, value: first },
    late: { [entityFields(entity).at(-1)!]: 'A-1', happenedAt: '2017-03-01', value: other, labelId: 'crm-4711' },
    corrected: { requestId, value: other, labelId: 'crm-4712', supersedes: 'crm-4711' },
    withdrawn: { withdrawn: true, labelId: 'crm-4713', supersedes: 'crm-4711' },
  };
}

const ID: Json = { type: 'string', pattern: '^[A-Za-z0-9._:-]{1,128}$' };
const STAMP: Json = {
  type: 'string',
  anyOf: [{ format: 'date' }, { format: 'date-time' }],
  description: 'A date such as 2017-03-01, or a time such as 2017-03-01T12:00:00Z; UTC where it has no offset',
};

function labelSchema({ model, task, classes = [], entity }: ModelVersion): Json {
  const value: Json = {
    binary: { type: 'boolean' },
    multiclass: { type: 'string', enum: classes },
    regression: { type: 'number' },
  }[task];
  const names = entityFields(entity);
  return {
    type: 'object',
    title: `What turned out to be true, for ${model}`,
    properties: {
      requestId: { ...ID, description: 'The x-request-id of the answer; or the entity and happenedAt instead' },
      row: { type: 'integer', minimum: 0, description: 'Place in that request, where it had several; default 0' },
      ...Object.fromEntries(
        names.map((name) => [
          name,
          { type: ['string', 'number'], minLength: 1, maxLength: 200, description: 'Key of what was predicted about' },
        ]),
      ),
      happenedAt: { ...STAMP, description: `When the outcome happened. ${STAMP['description'] as string}` },
      value: { ...value, description: 'The outcome; left out where withdrawn' },
      labelId: { ...ID, description: 'Yours, so that it may be sent again; default ours' },
      knownAt: { ...STAMP, description: 'When it was known; default now, of a date the next midnight' },
      supersedes: { ...ID, description: 'labelId of the label that this one corrects or withdraws' },
      withdrawn: { type: 'boolean', enum: [true], description: 'The superseded label is taken back' },
    },
    allOf: [
      {
        oneOf: [
          { required: ['requestId'], not: { anyOf: names.map((name) => ({ required: [name] })) } },
          ...names.map((name) => ({ required: [name, 'happenedAt'], not: { required: ['requestId'] } })),
          { required: ['withdrawn'], not: { anyOf: ['requestId', ...names].map((name) => ({ required: [name] })) } },
        ],
      },
      {
        oneOf: [
          { required: ['value'], not: { required: ['withdrawn'] } },
          { required: ['withdrawn', 'supersedes'], not: { required: ['value'] } },
        ],
      },
    ],
    dependentRequired: { row: ['requestId'] },
    additionalProperties: false,
  };
}

const ANSWER: Json = {
  type: 'object',
  properties: {
    model: { type: 'string' },
    labels: { type: 'integer' },
    corrections: { type: 'integer', description: 'Labels that supersede an earlier one' },
    withdrawn: { type: 'integer', description: 'Labels that take an earlier one back' },
    labelIds: { type: 'array', items: { type: 'string' }, description: 'One a label, in their order' },
    requestId: { type: 'string' },
  },
  required: ['model', 'labels', 'corrections', 'withdrawn', 'labelIds', 'requestId'],
  additionalProperties: false,
};

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseModelSpec } from '../../../activities/project/parse.ts';
import { UserError } from '../../../schemas/index.ts';
import { modelSpecJsonSchema } from '../../../schemas/json-schema.ts';
import { expectGoldenError } from '../../golden/errors.ts';

const YAML = `apiVersion: gauntlet/v1
name: hotel-cancellations
owner: revenue team
description: Will a booking be cancelled
task: binary
sources:
  hotel_bookings:
    file: hotel_bookings.parquet
    knownAt: booked_on
    knownLater: [assigned_room_type]
rows:
  entity: booking_id
label:
  maturesAt: arrival_date + 14 days
inputs:
  lead_time: { type: integer, min: 0, max: 800 }
  hotel: { type: string }
  arrival_date: { type: date }
derived:
  arrival_month: month(arrival_date)
split:
  asOf: 2016-07-01
decision:
  threshold: 0.5
`;

/** The model with some of its text replaced. */
const changed = (from: string | RegExp, to: string) => {
  expect(YAML).toMatch(from);
  return YAML.replace(from, to);
};
const parse = (text: string) => parseModelSpec(text, 'model.yaml');
function issuesOf(text: string): { at: string; found: string; expected: string }[] {
  try {
    parse(text);
    return [];
  } catch (error) {
    if (error instanceof UserError) return error.issues;
    throw error;
  }
}

describe('parseModelSpec', () => {
  it('reads a model and fills in what is left out', () => {
    const spec = parse(YAML);
    expect(spec).toMatchObject({
      name: 'hotel-cancellations',
      rows: { sql: 'rows.sql', entity: 'booking_id' },
      split: { asOf: '2016-07-01', valid: 0.1 },
      training: { algorithm: 'gradientBoosting', trees: 500 },
    });
    expect(Object.keys(spec.inputs)).toEqual(['lead_time', 'hotel', 'arrival_date']);
  });

  it('takes anchors, comments and Windows line ends', () => {
    const text = changed(
      'lead_time: {',
      'adults: &whole { type: integer, min: 0 }\n  children: *whole\n  lead_time: { # days\n   ',
    );
    expect(Object.keys(parse(text.replaceAll('\n', '\r\n')).inputs)).toEqual([
      'adults',
      'children',
      'lead_time',
      'hotel',
      'arrival_date',
    ]);
  });

  it('says every mistake at once, in the order of the file', async () => {
    const text = YAML.replace('task: binary', 'task: binery')
      .replace('owner: revenue team\n', '')
      .replace('type: integer, min: 0', 'type: intger, min: zero')
      .replace('knownAt:', 'known_at:')
      .replace('threshold: 0.5', 'treshold: 0.5')
      .replace('asOf: 2016-07-01', 'asOf: July\n  valid: 0.9\n  gap: 3 moons');
    await expectGoldenError('yaml-many-mistakes', () => parse(text));
  });

  it.each([
    ['yaml-tab', YAML.replace('  entity:', '\tentity:')],
    ['yaml-duplicate-key', YAML.replace('  hotel: {', '  lead_time: { type: string }\n  hotel: {')],
    ['yaml-unclosed', YAML.replace('max: 800 }', 'max: 800')],
    ['yaml-two-colons', YAML.replace('description: Will', 'description: Q: will')],
    ['yaml-indent', YAML.replace('  knownLater', '   knownLater')],
    ['yaml-two-documents', `${YAML}---\nname: another\n`],
    ['yaml-empty', '# nothing yet\n'],
    ['yaml-list', '- apiVersion: gauntlet/v1\n'],
    ['yaml-unknown-tag', YAML.replace('owner: revenue', 'owner: !secret revenue')],
  ])('%s', async (name, text) => {
    await expectGoldenError(name, () => parse(text));
  });

  it('refuses aliases that unfold without end', async () => {
    const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(', ')}]`);
    await expectGoldenError('yaml-alias-bomb', () => parse(`l0: &l0 [x]\n${levels.join('\n')}\n`));
  });

  it('shows at most 20 mistakes, and counts the rest', () => {
    const text = changed(
      'inputs:',
      `inputs:\n${Array.from({ length: 30 }, (_, i) => `  x${i}: { type: number, mn: 0 }`).join('\n')}`,
    );
    expect(issuesOf(text)).toHaveLength(20);
    expect(() => parse(text)).toThrow('And 10 more.');
  });

  it('label of a booking: its outcome, and when it is final whatever it is', () => {
    expect(
      parse(changed('label:\n', 'label:\n  event: the booking is cancelled\n  affectedByPrediction: true\n')).label,
    ).toEqual({
      event: 'the booking is cancelled',
      absent: 'missing',
      knownAt: 'known_at',
      affectedByPrediction: true,
      maturesAt: 'arrival_date + 14 days',
    });
  });

  it('label of churn: only one outcome is ever reported, and the window says when silence is the other', () => {
    const churn = `label:
  event: the customer cancels the contract
  window: 30 days
  absent: negative
  knownAt: cancelled_on
  import: { sql: cancellations.sql, every: 6 hours }`;
    expect(parse(changed('label:\n  maturesAt: arrival_date + 14 days', churn)).label).toEqual({
      event: 'the customer cancels the contract',
      window: '30 days',
      absent: 'negative',
      knownAt: 'cancelled_on',
      affectedByPrediction: false,
      import: { sql: 'cancellations.sql', every: '6 hours' },
      maturesAt: 'predicted_at + 30 days',
    });
    expect(parse(changed('label:\n  maturesAt: arrival_date + 14 days', 'label: { import: {} }')).label).toMatchObject({
      import: { sql: 'labels.sql', every: '1 day' },
      maturesAt: 'predicted_at',
    });
    expect(parse(changed('label:\n  maturesAt: arrival_date + 14 days\n', '')).label.maturesAt).toBe('predicted_at');
  });

  it.each(['pii: [email]\n    knownAt', 'pii: [booking_id]\n    knownAt'])(
    'what one source calls personal, %j, is so wherever it is named',
    (to) => {
      const text = changed('knownAt', to).replace('  hotel: {', '  email: { type: string }\n  hotel: {');
      const name = to.includes('email') ? 'inputs.email.pii' : 'rows.entityPii';
      const issues = issuesOf(text);
      expect(issues).toHaveLength(1);
      expect(issues[0]).toMatchObject({
        found: 'nothing',
        expected: expect.stringMatching(/^true, since .* is personal \(sources\.hotel_bookings\.pii\)$/) as string,
      });
      expect(issues[0]!.at).toContain(name);
      const right = name.startsWith('inputs')
        ? text.replace('email: { type: string', 'email: { type: string, pii: true')
        : text.replace('entity: booking_id', 'entity: booking_id\n  entityPii: true');
      expect(parse(right).sources.hotel_bookings!.pii).toHaveLength(1);
    },
  );

  it.each<[string, string | RegExp, string, string, string]>([
    [
      'a silence that means a class',
      /binary([\s\S]*)maturesAt: arrival_date \+ 14 days([\s\S]*)decision:[\s\S]*$/,
      'multiclass$1absent: negative$2',
      'model.yaml:14:11 label.absent',
      'only a binary label',
    ],
    [
      'a silence that is no word of ours',
      'maturesAt: arrival_date + 14 days',
      'absent: negativ',
      'model.yaml:14:11 label.absent',
      'Did you mean negative?',
    ],
    [
      'a window without a unit',
      'maturesAt: arrival_date + 14 days',
      'window: 30',
      'model.yaml:14:11 label.window',
      'a text',
    ],
    [
      'a window of another unit',
      'maturesAt: arrival_date + 14 days',
      'window: 1 month',
      'model.yaml:14:11 label.window',
      'such as "14 days"',
    ],
    [
      'a mistyped import',
      'maturesAt: arrival_date + 14 days',
      'import: { sqll: x.sql }',
      'model.yaml:14:13 label.import.sqll',
      'Did you mean sql?',
    ],
    [
      'a personal number',
      /lead_time: \{ type: integer, min: 0, max: 800 \}([\s\S]*)decision:/,
      'booking_id: { type: integer }$1rollout: { unit: booking_id, unitPii: true }\ndecision:',
      'model.yaml:16:23 inputs.booking_id.type',
      'only a text can be hashed',
    ],
    [
      'a unit that is the personal entity',
      'entity: booking_id',
      'entity: booking_id\n  entityPii: true\nrollout: { unit: booking_id }',
      'model.yaml:14:1 rollout.unitPii',
      'true, since booking_id is personal (rows.entityPii)',
    ],
    [
      'a personal unit that is not named',
      'decision:',
      'rollout: { unitPii: true }\ndecision:',
      'model.yaml:23:21 rollout.unitPii',
      'the request id is not personal',
    ],
    [
      'a slice of what is personal',
      'knownAt: booked_on',
      'knownAt: booked_on\n    pii: [lead_time]\nevaluation: { slices: [lead_time] }\nx:',
      'model.yaml:11:24 evaluation.slices[0]',
      'sources.hotel_bookings.pii',
    ],
    ['a mistyped key', 'maturesAt', 'maturesAtt', 'model.yaml:14:3 label.maturesAtt', 'Did you mean maturesAt?'],
    ['a mistyped top key', 'inputs:', 'input:', 'model.yaml:15:1 input', 'Did you mean inputs?'],
    [
      'a key of another kind of input',
      'hotel: { type: string }',
      'hotel: { type: string, min: 3 }',
      'model.yaml:17:26 inputs.hotel.min',
      'values',
    ],
    ['a mistyped type', 'type: date', 'type: dat', 'model.yaml:18:25 inputs.arrival_date.type', 'Did you mean date?'],
    [
      'a value out of range',
      'threshold: 0.5',
      'threshold: 2',
      'model.yaml:24:14 decision.threshold',
      'a number, less than 1',
    ],
    ['a name that is none', 'lead_time:', 'LeadTime:', 'model.yaml:16:3 inputs.LeadTime', 'lower-case letters'],
    [
      'a text where a list is due',
      '[assigned_room_type]',
      'all',
      'model.yaml:10:17 sources.hotel_bookings.knownLater',
      'a list',
    ],
    ['a leak', '[assigned_room_type]', '[hotel]', 'model.yaml:17:3 inputs.hotel', 'leak the outcome'],
    [
      'a metric of another task',
      'decision:',
      'evaluation: { metric: rmse }\ndecision:',
      'model.yaml:23:23 evaluation.metric',
      'a binary model has no rmse',
    ],
    [
      'a stage that is none',
      'decision:',
      'rollout: { stages: [{ kind: shadwo }] }\ndecision:',
      'model.yaml:23:29 rollout.stages[0].kind',
      'Did you mean shadow?',
    ],
    [
      'an expectation that is none',
      'decision:',
      'expectations:\n  - { expect: betwen, column: adr }\ndecision:',
      'model.yaml:24:15 expectations[0].expect',
      'Did you mean between?',
    ],
    [
      'an expectation with a strange limit',
      'decision:',
      'expectations:\n  - { expect: between, column: adr, min: true }\ndecision:',
      'model.yaml:24:42 expectations[0].min',
      'a number or a text',
    ],
    [
      'a whole number with a fraction',
      'decision:',
      'training: { algorithm: linear, maxIterations: 1.5 }\ndecision:',
      'model.yaml:23:47 training.maxIterations',
      'a whole number',
    ],
    [
      'a mistyped training parameter',
      'decision:',
      'training: { algorithm: gradientBoosting, maxDept: 6 }\ndecision:',
      'model.yaml:23:42 training.maxDept',
      'Did you mean maxDepth?',
    ],
    ['a mistyped decision', 'threshold:', 'treshold:', 'model.yaml:24:3 decision.treshold', 'Did you mean threshold?'],
    [
      'a metric that is none',
      'decision:',
      'evaluation: { gates: { atLeast: { aucc: 0.7 } } }\ndecision:',
      'model.yaml:23:35 evaluation.gates.atLeast.aucc',
      'Did you mean auc?',
    ],
    ['what is missing', /task: binary\n/, '', 'model.yaml:1:1 task', 'one of binary, multiclass, regression'],
    ['an empty value', 'owner: revenue team', 'owner:', 'model.yaml:3:7 owner', 'a text'],
  ])('%s has its place and what was expected', (_, from, to, at, expected) => {
    const issues = issuesOf(changed(from, to));
    expect(issues.map((issue) => issue.at)).toContain(at);
    expect(issues.find((issue) => issue.at === at)!.expected).toContain(expected);
  });

  it('a key __proto__ is a mistake like any other', () => {
    expect(issuesOf(`${YAML}__proto__: { polluted: true }\n`).length).toBeGreaterThan(0);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

it('the JSON Schema for editors is up to date (npx tsx bin/write-json-schema.ts writes it)', () => {
  const file = new URL('../../../schemas/model-spec.schema.json', import.meta.url);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(modelSpecJsonSchema());
});

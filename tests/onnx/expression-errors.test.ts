import { describe, expect, it } from 'vitest';
import { checkGraphSpec, derive, graphInputs, parse } from '../../onnx/index.ts';
import { UserError } from '../../schemas/index.ts';
import { graphOf, table } from './support/graphs.ts';

const INPUTS = {
  lead_time: { type: 'integer' },
  adr: { type: 'number' },
  arrival_date: { type: 'date' },
  booked_at: { type: 'timestamp' },
  hotel: { type: 'string' },
  is_repeated_guest: { type: 'boolean' },
};

const MISTAKES = [
  '',
  '1 +',
  'adr adr',
  'adr $ 2',
  "hotel = 'City",
  'adr > 1 > 0',
  '(adr + 1',
  'adr + 1)',
  'min(adr, )',
  'month(arrival_date',
  'arrival_date + 14 dais',
  'arrival_date + 14',
  'arival_date + 14 days',
  'mnth(arrival_date)',
  'Month(arrival_date)',
  'frobnicate(adr)',
  'month()',
  'month(arrival_date, 2)',
  'month(adr)',
  'hour(arrival_date)',
  'ln(hotel)',
  'hotel + 1',
  'adr + hotel',
  'arrival_date + booked_at',
  '14 days * 2 days',
  'adr / 2 days',
  'hotel < 2',
  "hotel < 'a'",
  "hotel = ''",
  'is_repeated_guest > false',
  'adr and is_repeated_guest',
  'not adr',
  '-hotel',
  'if(adr, 1, 2)',
  "if(is_repeated_guest, 1, 'a')",
  'coalesce(adr, arrival_date)',
  "arrival_date > 'tomorrow'",
  "date('2017-02-30')",
  'adr = arrival_date',
  'arrival_date + 14 days',
  'booked_at',
  '3 days * lead_time',
  '1 + 2',
  'toString',
  'constructor(adr)',
  '1e999 + adr',
  `${'('.repeat(200)}adr${')'.repeat(200)}`,
  `adr${' + adr'.repeat(500)}`,
];

describe('mistakes in an expression', () => {
  it('are told with column, caret, what was found and what was expected', async () => {
    const texts = MISTAKES.map((text) => {
      const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
      const message = mistakeIn(text)
        .split('\n')
        .map((line) => (line.length > 200 ? `${line.slice(0, 200)}…` : line))
        .join('\n');
      return `${shown}\n\n${message}\n`;
    });
    await expect(`${texts.join('\n----\n')}`).toMatchFileSnapshot('../golden/onnx/expression-errors.txt');
  });

  it('are all listed, each where it is, once', () => {
    const graph = graphOf(
      { ...INPUTS, scores: { type: 'number' }, constructor: { type: 'number' } },
      { fine: 'adr / 2', user: 'broken + 1', broken: 'adrr', loop: 'pool + 1', pool: 'loop + 1', late: 'arrival_date' },
      { maturesAt: 'lead_time' },
    );
    expect(checkGraphSpec(graph).map(({ at }) => at)).toEqual([
      'inputs.scores',
      'inputs.constructor',
      'derived.broken',
      'derived.pool',
      'derived.late',
      'label.maturesAt',
    ]);
  });

  it('stop what needs the expressions, as an error for people', async () => {
    const graph = graphOf(INPUTS, { a: 'adrr + 1' });
    const attempt = derive(graph, table({ adr: Float64Array.of(1) }), Float64Array.of(0));
    await expect(attempt).rejects.toThrow(UserError);
    await expect(attempt).rejects.toThrow(/derived\.a: column 1: the unknown name adrr; .* Did you mean adr\?/s);
  });

  it('are none in what the guide shows', () => {
    const derived = {
      month: 'month(arrival_date)',
      nights: 'lead_time % 7 + 1',
      lead_days: 'arrival_date - date(predicted_at)',
      hours: '(booked_at + lead_time * 1 day - booked_at) * 24',
      returning: "is_repeated_guest and not (hotel = 'City' or adr >= 1e2)",
      brand: "if(hotel == \"City\", 'city', coalesce(hotel, 'none'))",
    };
    expect(checkGraphSpec(graphOf(INPUTS, derived, { maturesAt: 'arrival_date + 14 days' }))).toEqual([]);
  });

  it('leave positions on every node of a tree that has none', () => {
    const text = 'if( adr >= 2 , month(arrival_date), -1)';
    const tree = parse(text);
    const pieces: string[] = [];
    const visit = (node: object): void => {
      if ('from' in node && 'to' in node) pieces.push(text.slice(node.from as number, node.to as number));
      for (const child of Object.values(node).flat()) if (typeof child === 'object' && child !== null) visit(child);
    };
    visit(tree);
    expect(pieces).toEqual([text, 'adr >= 2', 'adr', '2', 'month(arrival_date)', 'arrival_date', '-1', '1']);
  });
});

function mistakeIn(text: string): string {
  try {
    graphInputs(graphOf(INPUTS, { result: text }));
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  throw new Error(`no mistake was found in ${text}`);
}

import { deserialize, serialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import {
  layoutOf,
  missingColumn,
  packOutputs,
  packRows,
  unpackOutputs,
  unpackRows,
  type RowResult,
} from '../../../../api/serving/challenger/packing.ts';
import { InputSchema, type Columns } from '../../../../schemas/index.ts';

const inputs = InputSchema.parse({
  nights: { type: 'integer' },
  hotel: { type: 'string' },
  unused: { type: 'string' },
  adr: { type: 'number', nullable: true },
});
const layout = layoutOf(inputs, ['nights', 'hotel', 'adr', 'predicted_at']);
const rowsOf = (nights: number[], hotel: (string | null)[], adr: number[]): Columns => ({
  rows: nights.length,
  columns: { nights: Float64Array.from(nights), hotel, adr: Float64Array.from(adr), unused: hotel },
});
const crossed = <T>(value: T): T => deserialize(serialize(value)) as T;

describe('packRows', () => {
  it('sends what the graph takes, slices one below the other, and nothing of it is changed', () => {
    const one = rowsOf([1, 2, 3], ['City', null, ''], [NaN, -0, 1e308]);
    const two = rowsOf([4], ['🏨'], [5]);
    const packed = packRows(layout, [
      { rows: one, predictedAt: Float64Array.of(10, 20, 30), from: 1, to: 3 },
      { rows: two, predictedAt: Float64Array.of(40), from: 0, to: 1 },
    ]);
    expect(unpackRows(layout, crossed(packed))).toEqual({
      rows: {
        rows: 3,
        columns: {
          nights: Float64Array.of(2, 3, 4),
          hotel: [null, '', '🏨'],
          adr: Float64Array.of(-0, 1e308, 5),
        },
      },
      predictedAt: Float64Array.of(20, 30, 40),
    });
  });
});

describe('packOutputs', () => {
  it('gives every row its own output, or why there is none', () => {
    const results: RowResult[] = [
      { failed: 'the score is NaN' },
      { scores: [0.25, 0.75], maturesAt: 7 },
      { threw: 'out of bounds' },
      { scores: [-0, 1e-45], maturesAt: NaN },
    ];
    expect(unpackOutputs(crossed(packOutputs(results)))).toEqual(results);
  });

  it('needs no output at all', () => {
    const results: RowResult[] = [{ failed: 'NaN' }, { failed: 'Infinity' }];
    expect(unpackOutputs(crossed(packOutputs(results)))).toEqual(results);
  });
});

describe('missingColumn', () => {
  it('names a column that is not there or is of another type, if the graph takes it', () => {
    const rows = rowsOf([1], ['City'], [2]);
    const { unused: _, ...enough } = rows.columns;
    expect(missingColumn(layout, { rows: 1, columns: enough })).toBeUndefined();
    const { adr: __, ...less } = rows.columns;
    expect(missingColumn(layout, { rows: 1, columns: less })).toBe('adr');
    expect(missingColumn(layout, { rows: 1, columns: { ...rows.columns, hotel: Float64Array.of(1) } })).toBe('hotel');
  });
});

import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { brokenGraph, type Harm } from '../../../cli/demo/broken-graphs.ts';
import { openModel } from '../../../onnx/index.ts';
import { InputSchema } from '../../../schemas/index.ts';

const inputs = InputSchema.parse({
  hotel: { type: 'string' },
  lead_time: { type: 'integer' },
  arrival_date: { type: 'date' },
});

const open = (harm: Harm) => {
  const bytes = brokenGraph(harm);
  return openModel({ bytes, sha256: createHash('sha256').update(bytes).digest('hex'), inputs });
};

const rows = (...leads: number[]) => ({
  rows: leads.length,
  columns: { lead_time: Float64Array.from(leads), arrival_date: Float64Array.from(leads, () => 17_000) },
});
const at = (n: number) => new Float64Array(n);

it.each(['hangs', 'NaN'] as const)(
  'the graph that %s answers bookings of the day at once, as its warm-up rows are',
  async (harm) => {
    const model = await open(harm);
    const from = performance.now();
    expect(await model.predict(rows(0, 0), at(2))).toEqual([
      { scores: [expect.closeTo(0.3, 6)], maturesAt: 17_014 * 86_400 },
      { scores: [expect.closeTo(0.3, 6)], maturesAt: 17_014 * 86_400 },
    ]);
    expect(performance.now() - from).toBeLessThan(1000);
    await model.close();
  },
);

it('the graph that says NaN fails the row of any other booking, and no other row', async () => {
  const model = await open('NaN');
  const [today, later] = await model.predict(rows(0, 30), at(2));
  expect(today).toHaveProperty('scores');
  expect(later).toHaveProperty('failed');
  await model.close();
});

it('the same graph is the same bytes', () => {
  expect(brokenGraph('hangs')).toEqual(brokenGraph('hangs'));
});

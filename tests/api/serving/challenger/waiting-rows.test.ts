import { describe, expect, it } from 'vitest';
import { WaitingRows, type Waiting } from '../../../../api/serving/challenger/waiting-rows.ts';

const waiting = (key: string, rows: number): Waiting => ({
  key,
  rows: { rows, columns: {} },
  predictedAt: new Float64Array(rows),
  sent: 0,
});

describe('WaitingRows', () => {
  it('takes rows of one version together, in the order in which they came', () => {
    const all = new WaitingRows<Waiting>();
    const [a, b, c] = [waiting('one', 2), waiting('two', 1), waiting('one', 3)];
    for (const one of [a, b, c]) all.add(one);
    expect(all.rows).toBe(6);
    const batch = all.take(64)!;
    expect(batch.key).toBe('one');
    expect(batch.slices.map(({ of, from, to }) => [of, from, to])).toEqual([
      [a, 0, 2],
      [c, 0, 3],
    ]);
    expect(all.rows).toBe(1);
    expect(all.has('one')).toBe(false);
    expect(all.has('two')).toBe(true);
  });

  it('cuts a table that is too long, goes on with the other version, and comes back to the rest', () => {
    const all = new WaitingRows<Waiting>();
    all.add(waiting('long', 10));
    all.add(waiting('short', 1));
    const taken = () => {
      const { key, slices } = all.take(4)!;
      return [key, ...slices.map(({ from, to }) => `${from}-${to}`)];
    };
    expect([taken(), taken(), taken(), taken()]).toEqual([
      ['long', '0-4'],
      ['short', '0-1'],
      ['long', '4-8'],
      ['long', '8-10'],
    ]);
    expect(all.rows).toBe(0);
    expect(all.take(4)).toBeUndefined();
  });

  it('forgets what is dropped, of a table begun the rest', () => {
    const all = new WaitingRows<Waiting>();
    const [a, b] = [waiting('one', 10), waiting('one', 2)];
    all.add(a);
    all.add(b);
    all.take(4);
    all.drop(a);
    all.drop(a);
    expect(all.rows).toBe(2);
    expect(all.take(64)!.slices.map(({ of }) => of)).toEqual([b]);
    all.drop(b);
    expect(all.rows).toBe(0);
  });
});

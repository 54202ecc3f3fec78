import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { alive } from './fixture.ts';
import { WaitingRows, type Waiting } from '../../../../api/serving/challenger/waiting-rows.ts';

const waiting = (key: string, rows: number): Waiting => ({
  key,
  rows: { rows, columns: {} },
  predictedAt: new Float64Array(rows),
  sent: 0,
});

const KEYS = ['one', 'two', 'three'];

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

  it('keeps the order while much passes through', () => {
    const all = new WaitingRows<Waiting>();
    const came = Array.from({ length: 1_000 }, () => waiting('one', 1));
    const left: Waiting[] = [];
    for (const one of came) {
      all.add(one);
      if (all.rows === 50) left.push(...all.take(37)!.slices.map(({ of }) => of));
    }
    left.push(...all.take(64)!.slices.map(({ of }) => of));
    expect(left).toEqual(came);
    expect(all.has('one')).toBe(false);
  });

  it('lets go of what was dropped or taken, though one always waits', async () => {
    const all = new WaitingRows<Waiting>();
    const gone: WeakRef<Waiting>[] = [];
    const pass = (letGo: (one: Waiting) => void) => {
      for (let i = 0; i < 5_000; i++) {
        const one = waiting('one', 1);
        all.add(one);
        gone.push(new WeakRef(one));
        letGo(one);
      }
    };
    const first = waiting('one', 1);
    all.add(first);
    pass((one) => all.drop(one));
    expect(all.rows).toBe(1);
    all.add(waiting('one', 1));
    pass(() => all.take(1));
    expect(all.rows).toBe(2);
    // What is in a register may be seen as in use.
    expect(await alive(gone)).toBeLessThanOrEqual(10);
    expect(all.take(10)!.slices).toHaveLength(2);
  });

  it('stays short, though one always waits and nothing is taken', () => {
    const all = new WaitingRows<Waiting>();
    all.add(waiting('one', 1));
    for (let i = 0; i < 10_000; i++) {
      const one = waiting('one', 1);
      all.add(one);
      all.drop(one);
    }
    const [line] = (all as unknown as { lines: { slots: unknown[] }[] }).lines;
    expect(line!.slots.length).toBeLessThan(300);
  });

  it('does what two lists would, whatever comes, goes and is taken in which order', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('add' as const),
        key: fc.constantFrom(...KEYS),
        rows: fc.integer({ min: 1, max: 9 }),
      }),
      fc.record({ kind: fc.constant('take' as const), rows: fc.integer({ min: 1, max: 12 }) }),
      fc.record({ kind: fc.constant('drop' as const), which: fc.integer({ min: 0, max: 40 }) }),
      fc.record({ kind: fc.constant('clear' as const) }),
    );
    const run = fc.property(fc.array(step, { maxLength: 400, size: 'max' }), (steps) => {
      const ours = new WaitingRows<Waiting>();
      const every: Waiting[] = [];
      let keys: string[] = [];
      let line: { of: Waiting; left: number }[] = [];
      const found: unknown[] = [];
      const expected: unknown[] = [];
      for (const one of steps) {
        if (one.kind === 'add') {
          const of = waiting(one.key, one.rows);
          every.push(of);
          ours.add(of);
          line.push({ of, left: one.rows });
          if (!keys.includes(one.key)) keys.push(one.key);
        } else if (one.kind === 'take') {
          const key = keys.shift();
          const slices: [Waiting, number, number][] = [];
          for (let room = one.rows; room > 0;) {
            const next = line.find(({ of, left }) => of.key === key && left > 0);
            if (!next) break;
            const rows = Math.min(next.left, room);
            const from = next.of.rows.rows - next.left;
            slices.push([next.of, from, from + rows]);
            next.left -= rows;
            room -= rows;
          }
          const taken = ours.take(one.rows);
          found.push(taken?.key, taken?.slices.map(({ of, from, to }) => [of, from, to]) ?? []);
          expected.push(key, slices);
          if (key !== undefined && line.some(({ of, left }) => of.key === key && left > 0)) keys.push(key);
        } else if (one.kind === 'drop') {
          const of = every[one.which];
          if (!of) continue;
          ours.drop(of);
          line = line.filter((other) => other.of !== of);
          keys = keys.filter((key) => line.some((other) => other.of.key === key && other.left > 0));
        } else {
          const all = line.filter(({ left }) => left > 0).map(({ of }) => of);
          found.push(new Set(ours.clear()));
          expected.push(new Set(all));
          line = [];
          keys = [];
        }
        found.push(ours.rows, ...KEYS.map((key) => ours.has(key)));
        expected.push(
          line.reduce((sum, { left }) => sum + left, 0),
          ...KEYS.map((key) => keys.includes(key)),
        );
      }
      expect(found).toEqual(expected);
    });
    fc.assert(run, { numRuns: 200 });
  });
});

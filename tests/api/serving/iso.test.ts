import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isoOf } from '../../../api/serving/iso.ts';

const MOST_MS = 8.64e15;

it('says every time as Date does, whatever was asked before', () => {
  const any = fc.oneof(
    fc.integer({ min: -MOST_MS, max: MOST_MS }),
    fc.integer({ min: Date.UTC(1990, 0), max: Date.UTC(2040, 0) }),
    fc.constantFrom(0, -0, -1, 1, MOST_MS, -MOST_MS, Date.UTC(2024, 1, 29), Date.UTC(2024, 1, 29) - 1),
  );
  const near = fc.tuple(any, fc.array(fc.integer({ min: -90_000_000, max: 90_000_000 }), { maxLength: 5 }));
  fc.assert(
    fc.property(near, ([ms, steps]) => {
      for (const at of [ms, ...steps.map((step) => Math.max(-MOST_MS, Math.min(MOST_MS, ms + step)))])
        expect(isoOf(at)).toBe(new Date(at).toISOString());
    }),
    { numRuns: 2_000 },
  );
});

it('has no words for what Date cannot name', () => {
  for (const ms of [NaN, Infinity, -Infinity, MOST_MS + 1, -MOST_MS - 1]) expect(isoOf(ms)).toBeNull();
});

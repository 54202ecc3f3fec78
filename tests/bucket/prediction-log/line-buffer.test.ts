import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LineBuffer } from '../../../bucket/prediction-log/line-buffer.ts';

it('gives what was added since it last gave, and never touches what it gave', () => {
  const line = fc.oneof(
    { weight: 9, arbitrary: fc.string({ unit: 'grapheme', maxLength: 80 }) },
    // Longer than what it lays out at first.
    { weight: 1, arbitrary: fc.constantFrom('a'.repeat(200_000), '漢'.repeat(120_000), '😀'.repeat(70_000)) },
  );
  const step = fc.oneof({ weight: 5, arbitrary: line }, { weight: 1, arbitrary: fc.constant('take' as const) });
  const run = fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
    const lines = new LineBuffer();
    const given: Buffer[] = [];
    const expected: string[] = [];
    let since: string[] = [];
    const counts: number[] = [];
    const expectedCounts: number[] = [];
    const isAbove: boolean[] = [];
    for (const one of [...steps, 'take' as const])
      if (one === 'take') {
        counts.push(lines.rows, lines.byteLength);
        expectedCounts.push(since.length, Buffer.byteLength(since.join('')));
        given.push(lines.take());
        expected.push(since.join(''));
        since = [];
      } else {
        const bytes = Buffer.byteLength(one);
        const whole = lines.byteLength + bytes;
        isAbove.push(lines.isAbove(whole, one), !lines.isAbove(whole - 1, one));
        counts.push(lines.add(one));
        expectedCounts.push(bytes);
        since.push(one);
      }
    expect(counts).toEqual(expectedCounts);
    expect(isAbove.filter(Boolean)).toEqual([]);
    // At the end, when all that came later has been written.
    expect(given.map(String)).toEqual(expected);
  });
  fc.assert(run, { numRuns: 50 });
});

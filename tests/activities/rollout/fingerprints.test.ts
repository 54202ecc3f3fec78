import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Fingerprints } from '../../../activities/rollout/fingerprints.ts';

it('is a set: what was added is in it, once, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.string()), (added, asked) => {
      const own = new Fingerprints();
      const theirs = new Set<string>();
      for (const text of added) {
        expect(own.add(text)).toBe(!theirs.has(text));
        theirs.add(text);
      }
      expect(own.size).toBe(theirs.size);
      for (const text of [...added, ...asked]) expect(own.has(text)).toBe(theirs.has(text));
    }),
  );
});

it('keeps half a million ids apart that differ by little, whatever they look like', () => {
  const own = new Fingerprints();
  for (let i = 0; i < 250_000; i++) {
    own.add(`0 customer-${i}`);
    own.add(`019a8c5e-7b1e-7000-8000-${i.toString(16).padStart(12, '0')}`);
  }
  expect(own.size).toBe(500_000);
});

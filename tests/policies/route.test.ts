import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucketOf, isOver, route } from '../../policies/index.ts';

const golden = JSON.parse(readFileSync(new URL('../golden/route/route.json', import.meta.url), 'utf8')) as {
  salt: string;
  unit: string;
  bucket: number;
}[];

const NOW = Date.parse('2026-01-01T00:00:00Z');
const canary = (weight: number, until = '2026-01-01T01:00:00.000Z') => ({ version: 2, weight, salt: 's', until });

describe('route', () => {
  it.each(golden)('puts "$unit" under the salt "$salt" where the golden vector has it', ({ salt, unit, bucket }) => {
    expect(bucketOf(salt, unit)).toBe(bucket);
  });

  it('takes the champion where there is no canary, nothing where there is no champion', () => {
    expect(route({ champion: 1 }, 'a', NOW)).toMatchObject({ assigned: 'champion', version: 1, propensity: 1 });
    expect(route({}, 'a', NOW)).toBeUndefined();
  });

  it('only adds units when the weight is raised', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (unit, a, b) => {
          const [low, high] = a < b ? [a, b] : [b, a];
          const before = route({ champion: 1, canary: canary(low) }, unit, NOW)!;
          const after = route({ champion: 1, canary: canary(high) }, unit, NOW)!;
          expect(before.assigned === 'champion' || after.assigned === 'canary').toBe(true);
        },
      ),
    );
  });

  it('gives the share that the weight says, and says the propensity of each arm', () => {
    const answers = Array.from({ length: 20_000 }, (_, i) =>
      route({ champion: 1, canary: canary(0.1) }, `u${i}`, NOW)!,
    );
    const canaries = answers.filter(({ assigned }) => assigned === 'canary');
    expect(Math.abs(canaries.length / answers.length - 0.1)).toBeLessThan(0.01);
    expect(canaries[0]).toMatchObject({ version: 2, propensity: 0.1 });
    expect(answers.find(({ assigned }) => assigned === 'champion')).toMatchObject({ version: 1, propensity: 0.9 });
  });

  it('takes everyone at weight 1 and nobody at weight 0', () => {
    for (let i = 0; i < 100; i++) {
      expect(route({ champion: 1, canary: canary(1) }, `u${i}`, NOW)!.assigned).toBe('canary');
      expect(route({ champion: 1, canary: canary(0) }, `u${i}`, NOW)!.assigned).toBe('champion');
    }
  });

  it('whatever has an until is over from that millisecond on', () => {
    const shadow = { version: 3, until: '2026-01-01T00:00:00.000Z' };
    expect([-1, 0, 1].map((ms) => isOver(shadow, NOW + ms))).toEqual([false, true, true]);
  });

  it('gives nothing to a canary past its until, not even a millisecond', () => {
    const serving = { champion: 1, canary: canary(1, '2026-01-01T00:00:00.000Z') };
    expect(route(serving, 'a', NOW - 1)!.assigned).toBe('canary');
    expect(route(serving, 'a', NOW)).toMatchObject({ assigned: 'champion', propensity: 1 });
  });

  it('forces a version by name, outside all statistics', () => {
    expect(route({ champion: 1, canary: canary(1) }, 'a', NOW, 7)).toMatchObject({
      assigned: 'forced',
      version: 7,
      propensity: 0,
    });
  });
});

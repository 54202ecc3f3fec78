import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maySplitByUnit } from '../../policies/index.ts';

const ask = (over: Partial<Parameters<typeof maySplitByUnit>[0]> = {}) =>
  maySplitByUnit({ weight: 0.05, answers: 10_000, largest: 100, since: '2026-11-17 09:30', ...over });

describe('units of a canary', () => {
  it.each([
    ['bears a unit of a fifth of its share', {}],
    ['refuses one that has more, and says which weight would do', { largest: 101 }],
    ['knows no weight for a unit that has a fifth of everything', { largest: 2000 }],
    ['says nothing of fewer than 1,000 answers', { answers: 999, largest: 999 }],
    ['judges from 1,000 on', { answers: 1000, largest: 1000 }],
    ['bears requests that are units of their own', { largest: 0 }],
    ['has nothing to say where nothing was answered', { answers: 0, largest: 0 }],
  ])('%s', (_, over) => expect(ask(over)).toMatchSnapshot());

  it('names a weight that is enough', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), (largest) => {
        const says = ask({ largest, weight: 1e-6 });
        const named = says.ok ? undefined : /at least ([\d.]+)$/.exec(says.because)?.[1];
        expect(named === undefined ? largest >= 1980 : ask({ largest, weight: Number(named) }).ok).toBe(true);
      }),
    );
  });
});

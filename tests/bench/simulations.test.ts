import { describe, expect, it } from 'vitest';
import { EQUAL, runCanary, type CanaryTerms } from '../../bench/support/canary-simulation.ts';
import {
  A_A,
  checkAgainstPolicy,
  firstPass,
  fixedTwoWeekTest,
  flippedSigns,
  LABELS_NEXT_DAY,
  LATE_LABELS,
  syntheticLog,
  type SyntheticOptions,
  type TrialTerms,
} from '../../bench/support/trial-simulation.ts';
import { clopperPearson, Random } from '../../numerics/index.ts';

// Thousands of trials beside the rest of the suite.
const TIMEOUT_MS = 120_000;
const MOST = 1.5 * A_A.alpha;

const LOG: SyntheticOptions = {
  days: 243,
  requestsPerDay: 140,
  daySd: 0.1,
  weekSd: 0.1,
  twins: 0.31,
  strata: LATE_LABELS,
};
const PROMPT: SyntheticOptions = { ...LOG, strata: LABELS_NEXT_DAY };

/** Upper and lower 95 % bound of how often a trial says better. */
function rate(trials: number, log: SyntheticOptions, terms: Partial<TrialTerms>, effect = 0) {
  const random = new Random(7);
  let passes = 0;
  for (let trial = 0; trial < trials; trial++) {
    const made = syntheticLog(log, random);
    const signs = flippedSigns(made, 1, random);
    if (firstPass(made, { ...A_A, ...terms }, signs, effect) !== undefined) passes++;
  }
  return clopperPearson(passes, trials, 0.05);
}

describe('shadow trials of equal models, looked at every day', () => {
  it(
    'promote in at most 1.5 alpha by week, labels late or not',
    () => {
      expect(rate(400, LOG, {}).upper).toBeLessThanOrEqual(MOST);
      expect(rate(400, LOG, { maxUnseen: 0.3 }).upper).toBeLessThanOrEqual(MOST);
      expect(rate(400, PROMPT, {}).upper).toBeLessThanOrEqual(MOST);
    },
    TIMEOUT_MS,
  );

  it(
    'promote far more often where a request or a day counts as independent',
    () => {
      expect(rate(200, LOG, { unit: 'request' }).lower).toBeGreaterThan(0.25);
      expect(rate(200, LOG, { unit: 'day' }).lower).toBeGreaterThan(MOST);
    },
    TIMEOUT_MS,
  );

  it(
    'are what the policy says, look by look',
    () => {
      const random = new Random(3);
      for (const unit of ['week', 'day'] as const)
        for (const effect of [0, 0.15]) {
          const log = syntheticLog(unit === 'day' ? { ...LOG, days: 120, strata: LABELS_NEXT_DAY } : LOG, random);
          const signs = flippedSigns(log, 1, random);
          const terms = { ...A_A, unit };
          const found = firstPass(log, terms, signs, effect);
          expect(found !== undefined).toBe(effect > 0);
          checkAgainstPolicy(log, terms, found, { signs, effect, every: true });
        }
    },
    TIMEOUT_MS,
  );
});

it('a simulation that is a day off is found out', () => {
  const random = new Random(3);
  const log = syntheticLog(LOG, random);
  const found = firstPass(log, A_A, undefined, 0.15)!;
  expect(() => checkAgainstPolicy(log, A_A, found, { effect: 0.15, every: false })).not.toThrow();
  for (const wrong of [found - 1, undefined])
    expect(() => checkAgainstPolicy(log, A_A, wrong, { effect: 0.15, every: false })).toThrow('the policy');
});

describe('shadow trials of a better model', () => {
  it(
    'find a tenth of a sd of a request within 26 weeks, labels late',
    () => {
      expect(rate(100, { ...LOG, days: 182 }, { maxUnseen: 0.3 }, 0.1).lower).toBeGreaterThan(0.6);
    },
    TIMEOUT_MS,
  );

  it('that the two-week test sees among equal models as well: it errs several times as often as it says', () => {
    const random = new Random(5);
    let wrong = 0;
    for (let trial = 0; trial < 300; trial++) {
      const log = syntheticLog({ ...LOG, days: 14 }, random);
      if (fixedTwoWeekTest(log, A_A.alpha, { signs: flippedSigns(log, 1, random) })) wrong++;
    }
    expect(clopperPearson(wrong, 300, 0.05).lower).toBeGreaterThan(3 * A_A.alpha);
  });
});

describe('canaries', () => {
  const ends = (canaries: number, terms: Partial<CanaryTerms>) => {
    const random = new Random(5);
    return Array.from({ length: canaries }, () => runCanary({ ...EQUAL, maxUnits: 200, ...terms }, random));
  };
  const rolledBack = (canaries: number, terms: Partial<CanaryTerms>) =>
    clopperPearson(ends(canaries, terms).filter(({ rule }) => rule !== undefined).length, canaries, 0.05);

  it(
    'that fail as often as the champion go back in at most 1.5 alpha, though some units come a thousand times',
    () => {
      expect(rolledBack(120, {}).upper).toBeLessThanOrEqual(MOST);
    },
    TIMEOUT_MS,
  );

  it(
    'go back by mistake where every request counts as a unit',
    () => {
      expect(rolledBack(60, { countRequests: true }).lower).toBeGreaterThan(MOST);
    },
    TIMEOUT_MS,
  );

  it(
    'that fail 20 times as often go back within some tens of units',
    () => {
      const bad = ends(40, { canaryRate: 0.2 });
      expect(bad.every(({ rule }) => rule !== undefined)).toBe(true);
      expect(bad.map(({ units }) => units).sort((a, b) => a - b)[20]).toBeLessThanOrEqual(40);
    },
    TIMEOUT_MS,
  );
});

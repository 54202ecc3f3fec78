/**
 * Canaries by the thousand: units that come once or a thousand times, counted by the tally and judged by the policy that
 * watch real ones.
 */
import type { Random } from '../../numerics/index.ts';
import { CanaryTally, type SeenAnswer } from '../../activities/rollout/canary-tally.ts';
import { judgeCanary } from '../../policies/index.ts';
import { CanaryPlan, type CanaryEvidence } from '../../schemas/index.ts';

export interface CanaryTerms {
  alpha: number;
  /** Share of units that go to the canary. */
  weight: number;
  /** Share of a version's requests that fail. */
  championRate: number;
  canaryRate: number;
  /** Share of failures that are the unit's own: all of its requests fail, or none. */
  sticky: number;
  /** Chance that a unit comes k times or more is k^-shape, up to MOST_REQUESTS. */
  shape: number;
  /** Canary units after which it would have passed long ago. */
  maxUnits: number;
  /** Every request counts as a unit of its own: what must not be done. */
  countRequests?: boolean;
}

export const EQUAL: CanaryTerms = {
  alpha: 0.05,
  weight: 0.2,
  championRate: 0.01,
  canaryRate: 0.01,
  sticky: 0.5,
  shape: 1.5,
  maxUnits: 500,
};

export interface CanaryEnd {
  /** Rule that took it back; undefined: none did. */
  rule: string | undefined;
  /** Of the canary, by then. */
  units: number;
}

const MOST_REQUESTS = 1000;
const UNITS_PER_LOOK = 25;
/** A look every 2 seconds. */
const LOOK_MS = 2_000;
/** A unit that comes often comes again over so many looks. */
const SPREAD_LOOKS = 20;

interface Unit {
  name: string;
  isCanary: boolean;
  /** All that is its own fails. */
  isBad: boolean;
  left: number;
  perLook: number;
}

/** One canary from its first request to the verdict that takes it back, or to its end. */
export function runCanary(terms: CanaryTerms, random: Random): CanaryEnd {
  const plan = planOf(terms);
  const tally = new CanaryTally({ plan, revision: 1, since: START });
  let active: Unit[] = [];
  let made = 0;
  let seq = 0;
  let trueUnits = 0;
  for (let look = 1; trueUnits < terms.maxUnits; look++) {
    const answers: SeenAnswer[] = [];
    for (let i = 0; i < UNITS_PER_LOOK; i++) {
      const isCanary = random.float() < terms.weight;
      const rate = isCanary ? terms.canaryRate : terms.championRate;
      const left = Math.min(MOST_REQUESTS, Math.floor((1 - random.float()) ** (-1 / terms.shape)));
      const isBad = random.float() < rate;
      active.push({ name: `unit ${made++}`, isCanary, isBad, left, perLook: Math.ceil(left / SPREAD_LOOKS) });
      if (isCanary) trueUnits++;
    }
    for (const unit of active) {
      const asked = Math.min(unit.left, unit.perLook);
      unit.left -= asked;
      for (let i = 0; i < asked; i++) answers.push(answerOf(terms, unit, look, seq++, random));
    }
    active = active.filter(({ left }) => left > 0);
    tally.add(answers, look * LOOK_MS);
    const now = new Date(look * LOOK_MS).toISOString();
    const evidence = tally.evidence({ asOf: now, watchedMs: look * LOOK_MS }) as CanaryEvidence;
    const { verdict } = judgeCanary(plan, evidence);
    if (verdict.says === 'fail') return { rule: verdict.limitedBy, units: trueUnits };
  }
  return { rule: undefined, units: trueUnits };
}

const START = new Date(0).toISOString();

function answerOf(terms: CanaryTerms, unit: Unit, look: number, seq: number, random: Random): SeenAnswer {
  const { isCanary } = unit;
  const rate = isCanary ? terms.canaryRate : terms.championRate;
  const fails = random.float() < terms.sticky ? unit.isBad : random.float() < rate;
  return {
    requestId: `request ${seq}`,
    row: 0,
    revision: 1,
    unit: terms.countRequests ? `request ${seq}` : unit.name,
    answeredMs: look * LOOK_MS + random.float() * LOOK_MS,
    assigned: isCanary ? 'canary' : 'champion',
    assignedVersion: isCanary ? 2 : 1,
    reason: !isCanary ? 'champion' : fails ? 'canary-failed' : 'canary',
    propensity: isCanary ? terms.weight : 1 - terms.weight,
    graphMs: 1,
    cacheHit: false,
    boot: 'replica',
    seq,
    ...(fails && { failed: { version: isCanary ? 2 : 1, why: 'threw' as const, detail: 'simulated' } }),
  };
}

function planOf({ alpha, weight }: CanaryTerms): CanaryPlan {
  return CanaryPlan.parse({
    kind: 'canary',
    stage: { kind: 'canary', weight, alpha, minRequests: 500 },
    champion: 1,
    challenger: 2,
    alpha,
  });
}

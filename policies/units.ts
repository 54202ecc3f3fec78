/**
 * Can a canary be judged on the units that this model's traffic is split by?
 *
 * - One unit that carries over a fifth of the canary's share of answers is refused: on which side it falls would decide how
 *   much traffic the canary gets, and how that one is served would decide what is said of all.
 * - Of fewer than 1,000 answers nothing can be said: the canary goes on, and its own minRequests counts units.
 *
 * The unit's value is not told: it may be personal.
 */
import { count, grouped, percent } from './words.ts';

const LEAST_ANSWERS = 1000;
const MOST_OF_SHARE = 0.2;
/** A weight as it is written bears what it is said to bear. */
const ROUNDING = 1e-9;

export type UnitsAnswer = { ok: true; line: string } | { ok: false; because: string };

/**
 * @param weight   of the canary stage that comes first
 * @param answers  that were looked at
 * @param largest  answers of the unit that has most of them; a request that is a unit of its own is none
 * @param since    when they begin, in words
 */
export function maySplitByUnit(o: { weight: number; answers: number; largest: number; since: string }): UnitsAnswer {
  const { weight, answers, largest, since } = o;
  const seen = `${count(answers, 'answer')} since ${since}`;
  if (answers < LEAST_ANSWERS)
    return {
      ok: true,
      line: `whether one unit is too large for the canary is not known: ${seen}; judged from ${grouped(LEAST_ANSWERS)} on`,
    };
  const share = largest / answers;
  if (share <= MOST_OF_SHARE * weight * (1 + ROUNDING))
    return {
      ok: true,
      line: `the largest unit has ${percent(share)} of ${seen}; a canary of ${percent(weight)} bears up to ${percent(MOST_OF_SHARE * weight)}`,
    };
  // Rounded up, so that the weight that is named is enough.
  const enough = Math.ceil((share / MOST_OF_SHARE) * 100) / 100;
  return {
    ok: false,
    because:
      `one unit has ${grouped(largest)} (${percent(share)}) of ${seen}, and a canary of weight ${weight} bears at most ${percent(MOST_OF_SHARE * weight)} (a fifth of its share): ` +
      `on which side that unit falls would decide what is seen. Split by another field (rollout.unit in model.yaml; without it each request is a unit)` +
      (enough < 1 ? `, or begin with a weight of at least ${enough}` : ''),
  };
}

/** The scored bookings as the log of a trial: real differences, real delays, horizon strata of the version's own edges. */
import { stratumOf } from '../../policies/index.ts';
import type { Recipe, ScoredBookings } from './bookings.ts';
import type { LogGroup, TrialLog } from './trial-simulation.ts';

const DAY_SECONDS = 86_400;

/**
 * @param o.maxLeadDays  longer ones are cut off in the data, if not at first
 * @param o.days         looks, from asOf on; default until the last booking
 */
export function bookingLog(
  bookings: ScoredBookings,
  champion: Recipe,
  challenger: Recipe,
  o: { maxLeadDays?: number; days?: number } = {},
): TrialLog {
  const { bookedAt, maturesAt, knownAt, cancelled, leadDays, scores, strataEdgesDays, asOf } = bookings;
  const groups = new Map<string, LogGroup>();
  let days = 0;
  for (let row = 0; row < bookedAt.length; row++) {
    if (leadDays[row]! > (o.maxLeadDays ?? Infinity)) continue;
    const day = Math.floor((bookedAt[row]! - asOf) / DAY_SECONDS);
    days = Math.max(days, day + 1);
    const stratum = stratumOf((maturesAt[row]! - bookedAt[row]!) / DAY_SECONDS, strataEdgesDays);
    // Matured: maturesAt is past. Known: knownAt is not later.
    const dueDay = Math.max(
      Math.floor((maturesAt[row]! - asOf) / DAY_SECONDS) + 1,
      Math.ceil((knownAt[row]! - asOf) / DAY_SECONDS),
    );
    const value = logLoss(scores[champion][row]!, cancelled[row]!) - logLoss(scores[challenger][row]!, cancelled[row]!);
    const key = `${day} ${dueDay} ${stratum}`;
    let group = groups.get(key);
    if (!group) groups.set(key, (group = { day, dueDay, stratum, rows: 0, sum: 0, sumOfSquares: 0 }));
    group.rows++;
    group.sum += value;
    group.sumOfSquares += value * value;
  }
  return {
    firstDay: Math.round(asOf / DAY_SECONDS),
    days: o.days ?? days,
    strata: strataEdgesDays.length + 1,
    groups: [...groups.values()],
  };
}

/** As trials clip it. */
function logLoss(probability: number, outcome: number): number {
  const p = Math.min(1 - 1e-6, Math.max(1e-6, outcome === 1 ? probability : 1 - probability));
  return -Math.log(p);
}

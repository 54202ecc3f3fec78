/**
 * Takes a version through canary stages and a bake, without a trial before.
 *
 * Id      rollout-<model>, checked first; the serving log is the lock
 * Cancel  undoes what is routed
 * Leaves  the version as champion, or the champion of before and the reason
 */
import { CanaryRolloutInput, type RolloutResult } from '../schemas/index.ts';
import { failOnBadInput, inputOf } from './manners.ts';
import { rollOut } from './stages.ts';

export async function canaryRollout(given: CanaryRolloutInput): Promise<RolloutResult> {
  const { by, ...question } = inputOf(CanaryRolloutInput, given, '{"model": "hotel-cancellations", "version": 2}');
  return rollOut({ question: { ...question, door: 'canaryRollout' }, by });
}
failOnBadInput(canaryRollout);

/**
 * Takes a version to traffic, through its stages. With an empty list of stages that means: serve now.
 *
 * Id      rollout-<model>, checked first; the serving log is the lock
 * Cancel  undoes what is routed; before the version serves, it stays as it was
 * Leaves  the version as champion, or the champion of before and the reason
 */
import { PromotionInput, type RolloutResult } from '../schemas/index.ts';
import { failOnBadInput, inputOf } from './manners.ts';
import { rollOut } from './stages.ts';

export async function promotion(given: PromotionInput): Promise<RolloutResult> {
  const { by, ...question } = inputOf(PromotionInput, given, '{"model": "hotel-cancellations", "version": 2}');
  return rollOut({ question, by });
}
failOnBadInput(promotion);

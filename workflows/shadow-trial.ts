/**
 * Holds a version against the champion, on the champion's own requests; nobody gets its answers.
 *
 * Id      rollout-<model>, checked first; the serving log is the lock
 * Cancel  ends it; nothing stays routed
 * Leaves  looks, and a verdict that a later promotion can be asked for with; the champion as it was
 */
import { ShadowTrialInput, type RolloutResult } from '../schemas/index.ts';
import { failOnBadInput, inputOf } from './manners.ts';
import { rollOut } from './stages.ts';

export async function shadowTrial(given: ShadowTrialInput): Promise<RolloutResult> {
  const { by, stage, ...question } = inputOf(ShadowTrialInput, given, '{"model": "hotel-cancellations", "version": 2}');
  // A schema's defaults are no wish of the person: what is not named is model.yaml's.
  const named = Object.keys(given.stage ?? {});
  const shadow = Object.fromEntries(Object.entries(stage ?? {}).filter(([name]) => named.includes(name)));
  return rollOut({ question: { ...question, door: 'shadowTrial', shadow }, by });
}
failOnBadInput(shadowTrial);

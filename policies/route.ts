import { hash } from 'node:crypto';
import type { Assigned, Serving } from '../schemas/index.ts';

export interface RouteAnswer {
  assigned: Assigned;
  version: number;
  /** Probability that a unit is assigned so, at the weight in force; 0 where a person forced it. */
  propensity: number;
  why: string;
}

/**
 * Which version a unit is assigned to. Sticky: it depends on the unit and the canary's salt alone, so raising the weight
 * only adds units, and every replica says the same.
 *
 * @param unit    what traffic is split by
 * @param nowMs   a canary past its `until` gets nothing
 * @param forced  a version that a person with the right to asked for
 * @returns undefined where the model has no champion, so nothing serves
 */
export function route(
  { champion, canary }: Pick<Serving, 'champion' | 'canary'>,
  unit: string,
  nowMs: number,
  forced?: number,
): RouteAnswer | undefined {
  if (champion === undefined) return undefined;
  if (forced !== undefined) return { assigned: 'forced', version: forced, propensity: 0, why: 'asked for by name' };
  const weight = canary && !isOver(canary, nowMs) ? canary.weight : 0;
  if (!canary || weight === 0)
    return {
      assigned: 'champion',
      version: champion,
      propensity: 1,
      why: canary ? 'the canary gets nothing now' : 'there is no canary',
    };
  if (bucketOf(canary.salt, unit) < weight)
    return { assigned: 'canary', version: canary.version, propensity: weight, why: 'its bucket is below the weight' };
  return {
    assigned: 'champion',
    version: champion,
    propensity: 1 - weight,
    why: 'its bucket is not below the weight',
  };
}

const untilMs = new WeakMap<object, number>();

/** Whether it gets nothing any more: a canary or a shadow whose `until` has come. Its text is read once, not for each request. */
export function isOver(one: { readonly until: string }, nowMs: number): boolean {
  let ms = untilMs.get(one);
  if (ms === undefined) untilMs.set(one, (ms = Date.parse(one.until)));
  return !(nowMs < ms);
}

/**
 * Where a unit stands in [0, 1): the first 53 bits of SHA-256(salt, 0 byte, unit) as a fraction.
 * Golden vectors: tests/golden/route/route.json.
 */
export function bucketOf(salt: string, unit: string): number {
  const digest = hash('sha256', `${salt}\0${unit}`);
  // 32 bits, and the 21 bits after them.
  return (bitsAt(digest, 0) * 2 ** 21 + (bitsAt(digest, 8) >>> 11)) / 2 ** 53;
}

/** 32 bits of a digest in hexadecimal. */
const bitsAt = (digest: string, at: number): number => parseInt(digest.slice(at, at + 8), 16);

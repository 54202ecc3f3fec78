import { lnGamma } from '../special/ln-gamma.ts';

/**
 * Sequential test that units were split as planned: ln of the odds against it.
 *
 *   ln O = ln Γ(k) − ln Γ(n + k) + Σⱼ [ln Γ(aⱼ + Sⱼ) − ln Γ(aⱼ)] − Σⱼ Sⱼ ln pⱼ,  aⱼ = k pⱼ
 *
 * A Dirichlet mixture over the shares against the planned ones. Under the plan the chance that O ever reaches 1 / α is at
 * most α, however often one looks: stop at O ≥ 1000. It is of units, each once: rows of one unit are no coin tosses.
 *
 * @param planned  [arms] shares pⱼ above 0, of sum 1
 * @param counts   [arms] units Sⱼ
 * @param k        how near to the plan a deviation is expected; 100 finds those of some percent
 * @returns        ln O; 0 before the first unit
 * @throws {RangeError} if lengths differ, a share is not above 0, they do not sum to 1, or a count is no whole number
 * @see Lindon & Malek 2022, "Anytime-valid inference for multinomial count data", arXiv 2011.03567
 * @example sampleRatioLogOdds([0.5, 0.5], [60, 40]) // 0.6589
 */
export function sampleRatioLogOdds(planned: ArrayLike<number>, counts: ArrayLike<number>, k = 100): number {
  if (planned.length !== counts.length || planned.length < 2)
    throw new RangeError(`sampleRatioLogOdds: ${planned.length} shares, ${counts.length} counts`);
  if (!(k > 0 && Number.isFinite(k))) throw new RangeError(`sampleRatioLogOdds: k ${k}`);
  let share = 0;
  let n = 0;
  let sum = 0;
  for (let arm = 0; arm < planned.length; arm++) {
    const p = planned[arm]!;
    const count = counts[arm]!;
    if (!(p > 0)) throw new RangeError(`sampleRatioLogOdds: share ${p} of arm ${arm}`);
    if (!(Number.isSafeInteger(count) && count >= 0))
      throw new RangeError(`sampleRatioLogOdds: ${count} units of arm ${arm}`);
    share += p;
    n += count;
    sum += lnGamma(k * p + count) - lnGamma(k * p) - count * Math.log(p);
  }
  if (!(Math.abs(share - 1) < 1e-9)) throw new RangeError(`sampleRatioLogOdds: shares sum to ${share}`);
  return n === 0 ? 0 : lnGamma(k) - lnGamma(n + k) + sum;
}

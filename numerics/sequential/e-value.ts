/** Units of a canary and of the champion beside it, each counted once. */
export interface EBlock {
  championUnits: number;
  championFailures: number;
  canaryUnits: number;
  canaryFailures: number;
}

/**
 * Safe test of "the canary fails more often than the champion", block by block.
 *
 *   θ_a, θ_b  (½ + failures) / (1 + units) over previous blocks: a Beta(½, ½) prior for each
 *   θ_b       max(θ_a, θ_b): one-sided
 *   θ_0       (n_a θ_a + n_b θ_b) / (n_a + n_b)
 *   E        *= Π p_θ(y) / p_θ0(y)
 *
 * Where the canary fails as often or less, the chance that E ever reaches 1 / α is at most α, however often one looks,
 * provided that the size of a block is settled without looking into it. Blocks may have different sizes.
 *
 * @see Turner, Ly & Grünwald 2024, "Generic e-variables for exact sequential k-sample tests that allow for optional
 *   stopping", doi:10.1016/j.jspi.2023.106116
 * @example a block of 19 and 1 without failures, then another whose canary unit fails: logE is 2.1515
 */
export class CanaryEValue {
  #logE = 0;
  #sum: EBlock = { championUnits: 0, championFailures: 0, canaryUnits: 0, canaryFailures: 0 };

  /** ln E: roll back when it reaches −ln α. */
  get logE(): number {
    return this.#logE;
  }

  /** All blocks so far. */
  get total(): Readonly<EBlock> {
    return this.#sum;
  }

  /** @throws {RangeError} if a count is no whole number, or there are more failures than units */
  add(block: EBlock): void {
    const { championUnits: nA, championFailures: yA, canaryUnits: nB, canaryFailures: yB } = block;
    checkCounts(yA, nA);
    checkCounts(yB, nB);
    const sum = this.#sum;
    const thetaA = (PRIOR + sum.championFailures) / (2 * PRIOR + sum.championUnits);
    const thetaB = Math.max(thetaA, (PRIOR + sum.canaryFailures) / (2 * PRIOR + sum.canaryUnits));
    // Equal rates say nothing, and a division by themselves need not be 1.
    if (thetaB > thetaA && nA + nB > 0) {
      const theta0 = (nA * thetaA + nB * thetaB) / (nA + nB);
      this.#logE += logRatio(yA, nA, thetaA, theta0) + logRatio(yB, nB, thetaB, theta0);
    }
    this.#sum = {
      championUnits: sum.championUnits + nA,
      championFailures: sum.championFailures + yA,
      canaryUnits: sum.canaryUnits + nB,
      canaryFailures: sum.canaryFailures + yB,
    };
  }
}

const PRIOR = 0.5;

const logRatio = (failures: number, units: number, theta: number, theta0: number): number =>
  failures * Math.log(theta / theta0) + (units - failures) * Math.log((1 - theta) / (1 - theta0));

function checkCounts(failures: number, units: number): void {
  if (!(Number.isInteger(failures) && Number.isInteger(units) && failures >= 0 && failures <= units))
    throw new RangeError(`CanaryEValue: ${failures} failures of ${units} units`);
}

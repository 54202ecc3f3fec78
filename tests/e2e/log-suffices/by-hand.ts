/** The figures that a log must yield, each from its definition, row by row, and with nothing of `numerics`. */
import { createHash } from 'node:crypto';

/** The band of stratified rows. */
export function bandOf(
  rows: readonly { stratum: number; week: number; d: number }[],
  shares: readonly number[],
  { alpha, r }: { alpha: number; r: number },
) {
  const of = (h: number) => rows.filter(({ stratum }) => stratum === h);
  const seen = shares.map((_, h) => h).filter((h) => new Set(of(h).map(({ week }) => week)).size >= 10);
  const whole = seen.reduce((sum, h) => sum + shares[h]!, 0);
  const means = new Map(seen.map((h) => [h, of(h).reduce((sum, { d }) => sum + d, 0) / of(h).length]));
  const mean = seen.reduce((sum, h) => sum + (shares[h]! / whole) * means.get(h)!, 0);
  const used = rows.filter(({ stratum }) => seen.includes(stratum));
  const weeks = [...new Set(used.map(({ week }) => week))];
  const n = weeks.length;
  const psi = weeks.map((b) =>
    used
      .filter(({ week }) => week === b)
      .reduce((sum, { stratum: h, d }) => sum + ((shares[h]! / whole) * (d - means.get(h)!)) / of(h).length, 0),
  );
  const s = Math.sqrt((psi.reduce((sum, one) => sum + one ** 2, 0) * n ** 2) / (n - 1));
  const grown = n * r ** 2 + 1;
  const radius = s * Math.sqrt(((2 * grown) / (n ** 2 * r ** 2)) * Math.log(Math.sqrt(grown) / alpha));
  return {
    mean,
    lower: mean - radius,
    upper: mean + radius,
    blocks: n,
    s,
    unseenShare: 1 - whole / shares.reduce((sum, share) => sum + share, 0),
    seen,
  };
}

/** ln E of units in their order; a block ends with each canary unit. */
export function logEOf(units: readonly { isCanary: boolean; failed: boolean }[]): number {
  let e = 1;
  const counted: Record<'a' | 'b', [number, number]> = { a: [0, 0], b: [0, 0] };
  let block: boolean[] = [];
  for (const { isCanary, failed } of units) {
    if (!isCanary) {
      block.push(failed);
      continue;
    }
    const a = (0.5 + counted.a[1]) / (1 + counted.a[0]);
    const b = Math.max(a, (0.5 + counted.b[1]) / (1 + counted.b[0]));
    const pooled = (block.length * a + b) / (block.length + 1);
    for (const one of block) e *= one ? a / pooled : (1 - a) / (1 - pooled);
    e *= failed ? b / pooled : (1 - b) / (1 - pooled);
    for (const one of block) counted.a = [counted.a[0] + 1, counted.a[1] + Number(one)];
    counted.b = [counted.b[0] + 1, counted.b[1] + Number(failed)];
    block = [];
  }
  return Math.log(e);
}

/** ln O of the sample ratio, as an urn that is drawn from unit by unit. */
export function sampleRatioOf(units: readonly { isCanary: boolean }[], weight: number): number {
  const k = 100;
  const seen = [0, 0];
  let logOdds = 0;
  units.forEach(({ isCanary }, n) => {
    const p = isCanary ? weight : 1 - weight;
    logOdds += Math.log((k * p + seen[Number(isCanary)]!) / (k + n) / p);
    seen[Number(isCanary)]!++;
  });
  return logOdds;
}

/** PSI of two sets of shares by bin, neither with an empty bin of both. */
export function psiOf(bins: readonly [number, number][]): number {
  const sums = [0, 1].map((side) => bins.reduce((sum, bin) => sum + bin[side]!, 0));
  return bins.reduce((psi, bin) => {
    const [r, c] = bin.map((count, side) => count / sums[side]! || 0.0001) as [number, number];
    return psi + (r - c) * Math.log(r / c);
  }, 0);
}

/** Where a unit stands in [0, 1): the first 53 bits of the hash. */
export function placeOf(salt: string, unit: string): number {
  const digest = createHash('sha256').update(`${salt}\0${unit}`).digest('hex');
  return Number(BigInt(`0x${digest.slice(0, 14)}`) >> 3n) / 2 ** 53;
}

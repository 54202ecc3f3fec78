import { stirlingError } from './ln-gamma.ts';

/**
 * Regularised incomplete beta function Iₓ(a, b): the distribution function of Beta(a, b).
 *
 * Lentz's continued fraction, on the side of the mean where it converges in O(√max(a, b)) steps. Its prefactor
 * xᵃ (1 − x)ᵇ / B(a, b) is Loader's saddle point form, which keeps its digits where a and b are large.
 *
 * @param x  in [0, 1]
 * @param a  > 0, finite
 * @param b  > 0, finite
 * @throws {RangeError} if an argument is outside
 * @see Press et al. 2007, Numerical Recipes, 6.4; Loader 2000 for the prefactor
 * @example incompleteBeta(0.5, 2, 3) // 0.6875
 */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (!(x >= 0 && x <= 1)) throw new RangeError(`incompleteBeta: x ${x}`);
  checkShape('incompleteBeta', a, b);
  if (x === 0 || x === 1) return x;
  const front = prefactor(x, a, b);
  if (x < (a + 1) / (a + b + 2)) return (front * continuedFraction(x, a, b)) / a;
  return 1 - (front * continuedFraction(1 - x, b, a)) / b;
}

/**
 * The x at which Iₓ(a, b) = p: Newton's steps, halved wherever they leave the bracket.
 *
 * @param p  in [0, 1]
 * @throws {RangeError} if an argument is outside
 * @example inverseIncompleteBeta(0.6875, 2, 3) // 0.5
 */
export function inverseIncompleteBeta(p: number, a: number, b: number): number {
  if (!(p >= 0 && p <= 1)) throw new RangeError(`inverseIncompleteBeta: p ${p}`);
  checkShape('inverseIncompleteBeta', a, b);
  if (p === 0 || p === 1) return p;
  let low = 0;
  let high = 1;
  let x = a / (a + b);
  for (let step = 0; step < MOST_HALVINGS; step++) {
    const excess = incompleteBeta(x, a, b) - p;
    if (excess === 0) return x;
    if (excess > 0) high = x;
    else low = x;
    const density = prefactor(x, a, b) / (x * (1 - x));
    const next = x - excess / density;
    const before = x;
    x = next > low && next < high ? next : between(low, high);
    if (Math.abs(x - before) <= Number.EPSILON * x || x === low || x === high) return x;
  }
  return x;
}

/** A bracket over many powers of two is halved in its exponent: the answer may be 1e-300. */
function between(low: number, high: number): number {
  if (low === 0) return high > 1e-3 ? high / 2 : high * high;
  return high / low > 16 ? Math.sqrt(low) * Math.sqrt(high) : low + (high - low) / 2;
}

const MOST_HALVINGS = 400;

function checkShape(what: string, a: number, b: number): void {
  if (!(a > 0 && b > 0 && Number.isFinite(a) && Number.isFinite(b))) throw new RangeError(`${what}: Beta(${a}, ${b})`);
}

/** xᵃ (1 − x)ᵇ / B(a, b). */
function prefactor(x: number, a: number, b: number): number {
  const n = a + b;
  const exponent =
    stirlingError(n) - stirlingError(a) - stirlingError(b) - deviance(a, n * x) - deviance(b, n * (1 - x));
  return Math.exp(exponent) * Math.sqrt((a * b) / (2 * Math.PI * n));
}

/** a ln(a / mean) + mean − a, without cancellation where a and mean are close. */
function deviance(a: number, mean: number): number {
  const d = a - mean;
  if (Math.abs(d) >= 0.1 * (a + mean)) return a * Math.log(a / mean) - d;
  const v = d / (a + mean);
  let sum = d * v;
  let term = 2 * a * v;
  for (let j = 3; ; j += 2) {
    term *= v * v;
    const next = sum + term / j;
    if (next === sum) return sum;
    sum = next;
  }
}

function continuedFraction(x: number, a: number, b: number): number {
  const kept = (value: number): number => (Math.abs(value) < 1e-300 ? 1e-300 : value);
  let c = 1;
  let d = 1 / kept(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < MOST_TERMS; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / kept(1 + even * d);
    c = kept(1 + even / c);
    fraction *= c * d;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / kept(1 + odd * d);
    c = kept(1 + odd / c);
    fraction *= c * d;
    if (Math.abs(c * d - 1) <= Number.EPSILON) return fraction;
  }
  throw new RangeError(`incompleteBeta: Beta(${a}, ${b}) is too narrow`);
}

const MOST_TERMS = 1_000_000;

/**
 * Natural logarithm of the gamma function.
 *
 * Above 15 Stirling's series, below it shifted up by Γ(x + 1) = x Γ(x).
 *
 * @param x  > 0
 * @throws {RangeError} if x is not above 0
 * @see Abramowitz & Stegun 1964, 6.1.41
 * @example lnGamma(5) // ln 24 = 3.17805383034795
 */
export function lnGamma(x: number): number {
  if (!(x > 0)) throw new RangeError(`lnGamma: ${x}`);
  if (x > LARGE) return (x - 0.5) * Math.log(x) - x + HALF_LN_2PI + stirlingRest(x);
  let product = 1;
  let shifted = x;
  for (; shifted <= LARGE; shifted++) product *= shifted;
  return (shifted - 0.5) * Math.log(shifted) - shifted + HALF_LN_2PI + stirlingRest(shifted) - Math.log(product);
}

/**
 * What Stirling's formula leaves out: ln Γ(x + 1) − (x + ½) ln x + x − ½ ln 2π.
 *
 * @see Loader 2000, "Fast and accurate computation of binomial probabilities", where it is δ(x)
 */
export function stirlingError(x: number): number {
  return x > LARGE ? stirlingRest(x) : lnGamma(x + 1) - (x + 0.5) * Math.log(x) + x - HALF_LN_2PI;
}

/** Σ B₂ₖ / (2k (2k − 1) x^(2k − 1)); above 15 the first term left out is below 1e-17. */
function stirlingRest(x: number): number {
  const square = 1 / (x * x);
  let sum = 0;
  for (let k = STIRLING.length - 1; k >= 0; k--) sum = sum * square + STIRLING[k]!;
  return sum / x;
}

const LARGE = 15;
const HALF_LN_2PI = 0.9189385332046727;
const STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400];
